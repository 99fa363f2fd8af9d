/** UDP ports of a stack, and the layer that finds the port of a datagram. */

import t from 'tap';
import type { SocketAddress } from '../../../simplenet/kernel/socket-address.ts';
import type { SystemError } from '../../../simplenet/kernel/system-error.ts';
import type { UdpHandler, UdpPort } from '../../../simplenet/loop/event-loop.ts';
import type { InternetLayer } from '../../../simplenet/tcpip/ip/internet-layer.ts';
import { decodeEthernet, type EthernetFrame } from '../../../simplenet/tcpip/link/ethernet-frame.ts';
import { UdpLayer } from '../../../simplenet/tcpip/udp-layer.ts';
import { StackWorld } from '../../contracts/stack-world.ts';

class Mailbox implements UdpHandler {
  readonly texts: string[] = [];
  readonly errors: SystemError[] = [];
  from: SocketAddress | null = null;

  onMessage(_port: UdpPort, bytes: Buffer, from: SocketAddress): void {
    this.texts.push(bytes.toString());
    this.from = from;
  }

  onError(_port: UdpPort, error: SystemError): void {
    this.errors.push(error);
  }
}

t.test('datagrams of any size go to and fro', async (t) => {
  const world = new StackWorld(1);
  const [near, far] = [new Mailbox(), new Mailbox()];
  const left = world.left.bindUdp(world.anyAddress, near);
  const right = world.right.bindUdp({ address: '10.9.0.2', port: 5_000 }, far);
  const large = 'x'.repeat(65_507);
  for (const text of ['', 'small']) t.equal(left.send(Buffer.from(text), right.address), true);
  await world.until(
    () => far.texts.length === 2,
    'ARP has found the neighbour: so many fragments as follow may not wait for it',
  );
  t.equal(left.send(Buffer.from(large), right.address), true);
  await world.until(() => far.texts.length === 3, 'they have come');
  t.ok(far.texts[2] === large);
  t.same(far.texts.slice(0, 2), ['', 'small']);
  t.same(far.from, left.address);
  t.equal(right.send(Buffer.from('reply'), far.from as SocketAddress), true);
  await world.until(() => near.texts.length === 1, 'the reply has come');
  t.match(world.right.statistics, { datagramsReceived: 3, datagramsSent: 1, malformedDatagrams: 0 });
  await world.close();
});

t.test('a port that is taken, and one that is free again', async (t) => {
  const world = new StackWorld(1);
  const place = { address: '10.9.0.1', port: 53 };
  const port = world.left.bindUdp(place, new Mailbox());
  t.throws(() => world.left.bindUdp(place, new Mailbox()), { code: 'EADDRINUSE', syscall: 'bind' });
  port.close();
  port.close();
  t.equal(port.send(Buffer.from('x'), place), false, 'it is closed');
  await world.until(() => world.left.openCount === 0, 'the turn has ended');
  world.left.bindUdp(place, new Mailbox());
  await world.close();
});

t.test('when all dynamic ports are taken', async (t) => {
  const world = new StackWorld(1, {}, { openMembers: 20_000 });
  const ports = new Set<number>();
  for (let i = 0; i < 16_384; i++) {
    const { address } = world.left.bindUdp(world.anyAddress, new Mailbox());
    ports.add((address as { port: number }).port);
  }
  t.same([ports.size, Math.min(...ports), Math.max(...ports)], [16_384, 49_152, 65_535]);
  t.throws(() => world.left.bindUdp(world.anyAddress, new Mailbox()), { code: 'EADDRNOTAVAIL' });
  world.left.bindUdp({ address: '0.0.0.0', port: 53 }, new Mailbox());
  await world.close();
});

t.test('what cannot be sent is reported soon, and one at a time', async (t) => {
  const world = new StackWorld(1);
  const mailbox = new Mailbox();
  const port = world.left.bindUdp(world.anyAddress, mailbox);
  const silent = world.left.bindUdp(world.anyAddress, { onMessage: () => {} });
  const errorOf = async (address: string, size: number, toPort = 9): Promise<SystemError | undefined> => {
    mailbox.errors.length = 0;
    t.equal(port.send(Buffer.alloc(size), { address, port: toPort }), false);
    t.equal(port.send(Buffer.alloc(size), { address, port: toPort }), false);
    t.equal(silent.send(Buffer.alloc(size), { address, port: toPort }), false);
    t.same(mailbox.errors, [], 'not within the call');
    await world.until(() => mailbox.errors.length > 0, 'it is reported');
    await world.quiet();
    t.equal(mailbox.errors.length, 1);
    return mailbox.errors[0];
  };
  t.match(await errorOf('192.0.2.1', 1), { code: 'ENETUNREACH', syscall: 'sendto', address: '192.0.2.1', port: 9 });
  t.match(await errorOf('10.9.0.255', 1), { code: 'EACCES' });
  t.match(await errorOf('10.9.0.2', 65_508), { code: 'EMSGSIZE' });
  t.match(await errorOf('10.9.0.2', 1, 0), { code: 'EINVAL' });
  t.throws(() => port.send('text' as never, { address: '10.9.0.2', port: 9 }), TypeError);
  t.throws(() => port.send(Buffer.alloc(1), { address: '::1', port: 9 }), { code: 'ENOTSUP' });
  t.throws(() => port.send(Buffer.alloc(1), { address: '10.9.0.2', port: -1 }), RangeError);
  await world.close();
});

t.test('bytes that lie about their length are sent as they are', async (t) => {
  const world = new StackWorld(1);
  const far = new Mailbox();
  const left = world.left.bindUdp(world.anyAddress, new Mailbox());
  const right = world.right.bindUdp(world.anyAddress, far);
  const bytes = Object.defineProperty(Buffer.from('true'), 'length', { value: 1_000 });
  left.send(bytes, right.address);
  await world.until(() => far.texts.length === 1, 'they have come');
  t.same(far.texts, ['true']);
  await world.close();
});

t.test('a port that nobody has: ICMP says so, and the sender is told', async (t) => {
  const world = new StackWorld(1);
  const mailbox = new Mailbox();
  const port = world.left.bindUdp(world.anyAddress, mailbox);
  t.equal(port.send(Buffer.from('anybody there?'), { address: '10.9.0.2', port: 9 }), true);
  await world.until(() => mailbox.errors.length > 0, 'the report has come');
  t.match(mailbox.errors, [{ code: 'ECONNREFUSED', syscall: 'recvfrom', address: '10.9.0.2', port: 9 }]);
  await world.close();
});

t.test('no report reaches a port that is closed', async (t) => {
  const world = new StackWorld(1);
  const mailbox = new Mailbox();
  const port = world.left.bindUdp(world.anyAddress, mailbox);
  port.send(Buffer.alloc(1), { address: '192.0.2.1', port: 9 });
  port.close();
  const other = new Mailbox();
  const closing = world.left.bindUdp(world.anyAddress, other);
  const talker = world.right.bindUdp(world.anyAddress, { onMessage: () => {} });
  closing.send(Buffer.from('x'), talker.address);
  await world.quiet();
  // The refusal of the first datagram and the second datagram of the talker come in one turn with `close`.
  world.left.bindUdp({ address: '0.0.0.0', port: 7 }, { onMessage: () => closing.close() });
  closing.send(Buffer.from('x'), { address: '10.9.0.2', port: 9 });
  talker.send(Buffer.from('x'), { address: '10.9.0.1', port: 7 });
  talker.send(Buffer.from('late'), closing.address);
  await world.quiet();
  t.same([mailbox.errors, other.errors, other.texts], [[], [], []]);
  await world.close();
});

t.test('a port that closes in a turn gets no further datagram of that turn', async (t) => {
  const world = new StackWorld(1);
  const texts: string[] = [];
  const port = world.left.bindUdp(world.anyAddress, {
    onMessage(port, bytes) {
      texts.push(bytes.toString());
      port.close();
    },
  });
  for (const text of ['first', 'second']) port.send(Buffer.from(text), port.address);
  await world.until(() => world.left.openCount === 0, 'it is closed');
  t.same(texts, ['first']);
  await world.close();
});

t.test('an ICMP error that quotes less than a UDP header is about nobody', async (t) => {
  const udp = new UdpLayer({} as InternetLayer, () => 0);
  const receiver = { received: () => {}, refused: () => t.fail('it is refused') };
  udp.open(7, receiver);
  const error = { kind: 'unreachable', errno: 111, isHard: true, mtu: null, protocol: 17 } as const;
  udp.onIcmpError({ ...error, source: 1, destination: 2, bytes: Buffer.from([0, 7, 0, 9]), start: 0, end: 4 });
});

t.test('an exception in a callback is raised, and the port goes on', async (t) => {
  const world = new StackWorld(1);
  const mistake = new Error('a mistake of the program');
  let calls = 0;
  const fail = () => {
    calls++;
    throw mistake;
  };
  const left = world.left.bindUdp(world.anyAddress, { onMessage: fail, onError: fail });
  const right = world.right.bindUdp(world.anyAddress, { onMessage: () => {} });
  right.send(Buffer.from('1'), left.address);
  right.send(Buffer.from('2'), left.address);
  await world.until(() => calls === 2, 'both have come');
  left.send(Buffer.alloc(1), { address: '192.0.2.1', port: 9 });
  await world.until(() => calls === 3, 'the refusal is reported');
  t.same(world.raised.splice(0), [mistake, mistake, mistake]);
  await world.close();
});

t.test('a datagram with a wrong checksum is counted', async (t) => {
  const world = new StackWorld(1, {
    drop(frame, _index, from) {
      const { type, start } = decodeEthernet(frame, 0, frame.length) as EthernetFrame;
      if (from === 1 && type === 0x0800) frame[start + 20 + 8] = 0; // the text
      return false;
    },
  });
  const mailbox = new Mailbox();
  const left = world.left.bindUdp(world.anyAddress, mailbox);
  const right = world.right.bindUdp(world.anyAddress, new Mailbox());
  right.send(Buffer.from('x'), left.address);
  await world.until(() => world.left.statistics.malformedDatagrams === 1, 'it has come');
  t.same(mailbox.texts, []);
  await world.close();
});
