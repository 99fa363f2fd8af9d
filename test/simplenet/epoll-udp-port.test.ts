/**
 * A UDP port on the loop: what becomes of datagrams that are too large, come in crowds, or meet a kernel that has no room.
 *
 * On the simulated kernel, whose answers a test can choose.
 */

import { type Test, test } from 'tap';
import { EAGAIN, EINTR, ENOBUFS } from '../../simplenet/abi.ts';
import type { UdpHandler, UdpPort } from '../../simplenet/event-loop.ts';
import type { SystemError } from '../../simplenet/system-error.ts';
import { UdpSocket } from '../../simplenet/udp-socket.ts';
import { SimulatedWorld } from '../contracts/simulated-world.ts';
import { noFaults } from '../simulation/simulated-faults.ts';

/** The receive buffer of the loop of a SimulatedWorld. */
const ROOM = 4_096;

interface Scene {
  readonly world: SimulatedWorld;
  readonly port: UdpPort;
  /** What `onMessage` and `onError` were told. */
  readonly messages: string[];
  readonly errors: SystemError[];
  readonly peer: UdpSocket;
  say(text: string): void;
}

function scene(t: Test, reaction: Partial<UdpHandler> = {}): Scene {
  const world = new SimulatedWorld(1, noFaults);
  const messages: string[] = [];
  const errors: SystemError[] = [];
  const port = world.loop.bindUdp(world.anyAddress, {
    onMessage(udp, bytes, from) {
      messages.push(bytes.toString());
      reaction.onMessage?.(udp, bytes, from);
    },
    onError: (_port, error) => void errors.push(error),
  });
  const peer = UdpSocket.bindTo(world.anyAddress, { libc: world.kernel.peerLibc });
  t.teardown(() => world.close());
  t.teardown(() => peer.close());
  return { world, port, messages, errors, peer, say: (text) => peer.sendTo(Buffer.from(text), port.address) };
}

test('a datagram as large as the buffer is handed over, one byte more is an error, and the next is heard', async (t) => {
  const { world, messages, errors, peer, say } = scene(t);
  say('a'.repeat(ROOM));
  await world.quiet();
  t.same(messages.splice(0), ['a'.repeat(ROOM)]);
  say('b'.repeat(ROOM + 1));
  await world.quiet();
  t.same(messages, [], 'half a datagram is none');
  t.match(errors, [{ code: 'EMSGSIZE', syscall: 'recvfrom', ...peer.localAddress }]);
  say('c');
  await world.quiet();
  t.same(messages, ['c']);
});

test('who does not ask for errors hears of none', async (t) => {
  const { world, peer } = scene(t);
  const messages: string[] = [];
  const deaf = world.loop.bindUdp(world.anyAddress, { onMessage: (_port, bytes) => messages.push(bytes.toString()) });
  peer.sendTo(Buffer.alloc(ROOM + 1), deaf.address);
  peer.sendTo(Buffer.from('small'), deaf.address);
  await world.quiet();
  t.same(messages, ['small']);
});

test('an error of an earlier datagram is told, and the next is heard', async (t) => {
  const { world, port, messages, errors, say } = scene(t);
  const { recvfrom } = world.kernel.libc;
  const ECONNREFUSED = 111;
  world.kernel.libc.recvfrom = () => {
    world.kernel.libc.recvfrom = recvfrom;
    return -ECONNREFUSED;
  };
  say('hello');
  await world.quiet();
  t.match(errors, [{ code: 'ECONNREFUSED', syscall: 'recvfrom', ...port.address }]);
  t.same(messages, ['hello']);
});

test('a port that is closed while a crowd waits hears no more of it', async (t) => {
  const { world, messages, say } = scene(t, {
    onMessage(port, bytes) {
      if (bytes.toString() === 'stop') port.close();
    },
  });
  // One datagram in the first turn, two in the second: the second of those finds the port closed.
  for (const text of ['1', 'stop', '3', '4']) say(text);
  await world.quiet();
  t.same(messages, ['1', 'stop']);
  t.equal(world.loop.openCount, 0);
});

test('an exception over one datagram is raised, and the next is heard', async (t) => {
  const { world, messages, say } = scene(t, {
    onMessage(_port, bytes) {
      if (bytes.toString() === 'bad') throw new Error('a bad datagram');
    },
  });
  say('bad');
  await world.quiet();
  t.match(world.raised.splice(0), [{ message: 'a bad datagram' }]);
  say('good');
  await world.quiet();
  t.same(messages, ['bad', 'good']);
});

test('send: no room is false, an interruption nobody’s business, anything else is thrown', async (t) => {
  const { world, port, peer } = scene(t);
  const { sendto } = world.kernel.libc;
  const to = peer.localAddress;
  for (const result of [-EAGAIN, -ENOBUFS]) {
    world.kernel.libc.sendto = () => result;
    t.equal(port.send(Buffer.from('lost'), to), false);
  }
  world.kernel.libc.sendto = (...args) => {
    world.kernel.libc.sendto = sendto;
    t.ok(args.length > 0);
    return -EINTR;
  };
  t.equal(port.send(Buffer.from('kept'), to), true);
  t.throws(() => port.send(Buffer.alloc(65_508), to), { code: 'EMSGSIZE', syscall: 'sendto', ...to });
  const buffer = Buffer.alloc(10);
  t.equal(buffer.toString('latin1', 0, peer.receiveFrom(buffer).length), 'kept');
});
