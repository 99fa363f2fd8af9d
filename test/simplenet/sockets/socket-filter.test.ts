/** Socket filters: how they are encoded, and what the kernel does with them. */

import t, { type Test } from 'tap';
import * as abi from '../../../simplenet/kernel/abi.ts';
import { portOf, type SocketAddress } from '../../../simplenet/kernel/socket-address.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { encodeFilter, type FilterInstruction } from '../../../simplenet/sockets/socket-filter.ts';
import type { OptionTarget } from '../../../simplenet/sockets/socket-options.ts';
import { UdpSocket } from '../../../simplenet/sockets/udp-socket.ts';

const V4 = { address: '127.0.0.1', port: 0 };
const UDP_HEADER_SIZE = 8;
const ALL = { code: abi.BPF_RET | abi.BPF_K, k: 0xffff_ffff };
const NONE = { code: abi.BPF_RET | abi.BPF_K, k: 0 };

function closing<S extends { close(): void }>(t: Test, socket: S): S {
  t.teardown(() => socket.close());
  return socket;
}

t.test('instructions are encoded as struct sock_filter', async (t) => {
  t.equal(encodeFilter([]).length, 0);
  t.equal(encodeFilter([{ code: 0x15, jt: 1, jf: 2, k: 0x01020304 }]).toString('hex'), '1500010204030201');
  t.equal(encodeFilter([ALL, NONE]).toString('hex'), '06000000ffffffff0600000000000000');
  t.equal(encodeFilter([{ code: 0x20, k: abi.SKF_AD_OFF + abi.SKF_AD_CPU }]).toString('hex'), '2000000024f0ffff');
  t.equal(encodeFilter([{ code: 0, jt: 255, jf: 255, k: -(2 ** 31) }]).toString('hex'), '0000ffff00000080');
});

t.test('an invalid instruction is refused', async (t) => {
  for (const wrong of [
    ...[-1, 0x1_0000, 1.5, Number.NaN, '6', undefined].map((code) => ({ code, k: 0 })),
    ...[-1, 256, 0.5, '1', null].flatMap((jump) => [
      { code: 0x15, k: 0, jt: jump },
      { code: 0x15, k: 0, jf: jump },
    ]),
    ...[2 ** 32, -(2 ** 31) - 1, 0.5, Number.NaN, '0', undefined].map((k) => ({ code: 6, k })),
  ]) {
    t.throws(() => encodeFilter([wrong as FilterInstruction]), RangeError, JSON.stringify(wrong));
  }
});

t.test('attachFilter decides which datagrams arrive, and how much of them', async (t) => {
  const program: readonly FilterInstruction[] = [
    { code: abi.BPF_LD | abi.BPF_B | abi.BPF_ABS, k: UDP_HEADER_SIZE },
    { code: abi.BPF_JMP | abi.BPF_JEQ | abi.BPF_K, k: 0x2a, jt: 0, jf: 1 },
    { code: abi.BPF_RET | abi.BPF_K, k: UDP_HEADER_SIZE + 4 },
    NONE,
  ];
  const control = (socket: OptionTarget) => socket.attachFilter(program);
  const server = closing(t, UdpSocket.bindTo(V4, { control, nonBlocking: true }));
  const client = closing(t, UdpSocket.openFor(V4));
  const buffer = Buffer.alloc(64);
  for (const text of ['noise', '*one', '', ' *two', '*three', '*'])
    client.sendTo(Buffer.from(text), server.localAddress);
  for (const text of ['*one', '*thr', '*']) {
    t.equal(buffer.toString('latin1', 0, server.receiveFrom(buffer).length), text);
  }
  t.throws(() => server.receiveFrom(buffer), { code: 'EAGAIN' });
});

t.test('the kernel refuses programs that may run astray', async (t) => {
  const socket = closing(t, UdpSocket.openFor(V4));
  const refused = { name: 'SystemError', code: 'EINVAL', syscall: 'setsockopt' };
  const bad: Readonly<Record<string, readonly FilterInstruction[]>> = {
    'without an instruction': [],
    'without an end': [{ code: abi.BPF_LD | abi.BPF_B | abi.BPF_ABS, k: 0 }],
    'that jumps out': [{ code: abi.BPF_JMP | abi.BPF_JEQ | abi.BPF_K, k: 0, jt: 5 }, ALL],
    'of no opcode': [{ code: 0xffff, k: 0 }, ALL],
    'that divides by 0': [{ code: abi.BPF_ALU | abi.BPF_MOD | abi.BPF_K, k: 0 }, ALL],
  };
  for (const [what, program] of Object.entries(bad)) t.throws(() => socket.attachFilter(program), refused, what);
  socket.attachFilter(new Array<FilterInstruction>(abi.BPF_MAXINSNS).fill(ALL));
  t.throws(() => socket.attachFilter(new Array<FilterInstruction>(abi.BPF_MAXINSNS + 1).fill(ALL)), RangeError);
  t.throws(() => socket.attachReusePortFilter([ALL]), refused, 'a socket of no group');
});

/** Three sockets on one port. The first one's filter is that of the group. */
function group<S extends { localAddress: SocketAddress; close(): void }>(
  t: Test,
  program: readonly FilterInstruction[],
  make: (address: SocketAddress, control: (socket: OptionTarget) => void) => S,
): S[] {
  const attach = (socket: OptionTarget) => socket.attachReusePortFilter(program);
  const first = closing(t, make(V4, attach));
  const address = first.localAddress;
  return [
    first,
    closing(
      t,
      make(address, () => {}),
    ),
    closing(
      t,
      make(address, () => {}),
    ),
  ];
}

t.test('attachReusePortFilter chooses the socket of a datagram, whose payload begins at 0', async (t) => {
  const program = [
    { code: abi.BPF_LD | abi.BPF_B | abi.BPF_ABS, k: 0 },
    { code: abi.BPF_RET | abi.BPF_A, k: 0 },
  ];
  const sockets = group(t, program, (address, control) =>
    UdpSocket.bindTo(address, { reusePort: true, nonBlocking: true, control }),
  );
  const client = closing(t, UdpSocket.openFor(V4));
  const buffer = Buffer.alloc(8);
  for (const index of [2, 0, 1, 1, 2, 0, 0]) {
    client.sendTo(Uint8Array.of(index, 7), (sockets[0] as UdpSocket).localAddress);
    t.equal((sockets[index] as UdpSocket).receiveFrom(buffer).length, 2, `socket ${index}`);
    for (const other of sockets) t.throws(() => other.receiveFrom(buffer), { code: 'EAGAIN' });
  }
});

t.test('attachReusePortFilter chooses the listener of a connection, here by the port of the client', async (t) => {
  const program = [
    { code: abi.BPF_LD | abi.BPF_H | abi.BPF_ABS, k: abi.SKF_NET_OFF + 20 }, // behind an IPv4 header without options
    { code: abi.BPF_ALU | abi.BPF_MOD | abi.BPF_K, k: 3 },
    { code: abi.BPF_RET | abi.BPF_A, k: 0 },
  ];
  const listeners = group(t, program, (address, control) =>
    NetSocket.listenOn(address, { reusePort: true, nonBlocking: true, control }),
  );
  for (let i = 0; i < 20; i++) {
    const client = closing(t, NetSocket.connectTo((listeners[0] as NetSocket).localAddress));
    const port = portOf(client.localAddress);
    const accepted = closing(t, (listeners[port % 3] as NetSocket).accept());
    t.same(accepted.remoteAddress, client.localAddress);
  }
  for (const listener of listeners) t.throws(() => listener.accept(), { code: 'EAGAIN' });
});
