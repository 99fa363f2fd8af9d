/** Socket options: each is set on a real socket and read back from the kernel. */

import t, { type Test } from 'tap';
import * as abi from '../../../simplenet/kernel/abi.ts';
import { type Libc, libc } from '../../../simplenet/kernel/libc.ts';
import { portOf } from '../../../simplenet/kernel/socket-address.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import {
  applySocketOptions,
  encodeLinger,
  type ListenOptions,
  type OptionTarget,
  type SocketOptions,
} from '../../../simplenet/sockets/socket-options.ts';
import { UdpSocket } from '../../../simplenet/sockets/udp-socket.ts';
import { openDescriptors } from '../../support/open-descriptors.ts';

const V4 = { address: '127.0.0.1', port: 0 };
const V6 = { address: '::1', port: 0 };

function closing<S extends { close(): void }>(t: Test, socket: S): S {
  t.teardown(() => socket.close());
  return socket;
}

/** What each option looks like to the kernel: level, option, and the value that is read back. */
const readBack: readonly [SocketOptions, number, number, number][] = [
  [{ reuseAddress: true }, abi.SOL_SOCKET, abi.SO_REUSEADDR, 1],
  [{ reuseAddress: false }, abi.SOL_SOCKET, abi.SO_REUSEADDR, 0],
  [{ reusePort: true }, abi.SOL_SOCKET, abi.SO_REUSEPORT, 1],
  [{ reusePort: false }, abi.SOL_SOCKET, abi.SO_REUSEPORT, 0],
  [{ noDelay: true }, abi.IPPROTO_TCP, abi.TCP_NODELAY, 1],
  [{ noDelay: false }, abi.IPPROTO_TCP, abi.TCP_NODELAY, 0],
  [{ keepAlive: true }, abi.SOL_SOCKET, abi.SO_KEEPALIVE, 1],
  [{ keepAlive: false }, abi.SOL_SOCKET, abi.SO_KEEPALIVE, 0],
  [{ fastOpenQueue: 5 }, abi.IPPROTO_TCP, abi.TCP_FASTOPEN, 5],
  [{ userTimeoutMs: 12_345 }, abi.IPPROTO_TCP, abi.TCP_USER_TIMEOUT, 12_345],
  [{ userTimeoutMs: 0 }, abi.IPPROTO_TCP, abi.TCP_USER_TIMEOUT, 0],
  [{ broadcast: true }, abi.SOL_SOCKET, abi.SO_BROADCAST, 1],
  [{ broadcast: false }, abi.SOL_SOCKET, abi.SO_BROADCAST, 0],
  // The kernel doubles the sizes of buffers, socket(7).
  [{ sendBufferBytes: 20_000 }, abi.SOL_SOCKET, abi.SO_SNDBUF, 40_000],
  [{ receiveBufferBytes: 20_000 }, abi.SOL_SOCKET, abi.SO_RCVBUF, 40_000],
];

for (const [options, level, option, value] of readBack) {
  t.test(JSON.stringify(options), async (t) => {
    t.equal(closing(t, NetSocket.openFor(V4, options)).getOption(level, option), value);
    t.equal(closing(t, NetSocket.listenOn(V4, options)).getOption(level, option), value, 'on a listener');
  });
}

t.test('ipv6Only', async (t) => {
  const read = (socket: NetSocket) => closing(t, socket).getOption(abi.IPPROTO_IPV6, abi.IPV6_V6ONLY);
  t.equal(read(NetSocket.openFor(V6, { ipv6Only: true })), 1);
  t.equal(read(NetSocket.openFor(V6, { ipv6Only: false })), 0);
  const before = openDescriptors();
  for (const address of [V4, { path: '\0simplenet-options' }]) {
    t.throws(() => NetSocket.openFor(address, { ipv6Only: true }), {
      name: 'RangeError',
      message: 'ipv6Only is for IPv6 addresses',
    });
  }
  t.same(openDescriptors(), before);
});

t.test('keepAlive with times', async (t) => {
  const keepAlive = { idleSeconds: 11, intervalSeconds: 12, probes: 13 };
  const socket = closing(t, NetSocket.openFor(V4, { keepAlive }));
  t.equal(socket.getOption(abi.SOL_SOCKET, abi.SO_KEEPALIVE), 1);
  t.equal(socket.getOption(abi.IPPROTO_TCP, abi.TCP_KEEPIDLE), 11);
  t.equal(socket.getOption(abi.IPPROTO_TCP, abi.TCP_KEEPINTVL), 12);
  t.equal(socket.getOption(abi.IPPROTO_TCP, abi.TCP_KEEPCNT), 13);
});

t.test('deferAcceptSeconds', async (t) => {
  // The kernel keeps it as a number of retries, which it reads back in seconds, rounded up.
  const socket = closing(t, NetSocket.listenOn(V4, { deferAcceptSeconds: 3 }));
  t.ok(socket.getOption(abi.IPPROTO_TCP, abi.TCP_DEFER_ACCEPT) >= 3);
  socket.setNonBlocking(true);
  const client = closing(t, NetSocket.connectTo(socket.localAddress));
  t.throws(() => socket.accept(), { code: 'EAGAIN' }, 'a silent client is not shown');
  client.write(Buffer.from('x'));
  t.equal(socket.wait('readable', 1000), true);
  closing(t, socket.accept());
});

t.test('lingerSeconds', async (t) => {
  const read = (lingerSeconds: number | false) =>
    closing(t, NetSocket.openFor(V4, { lingerSeconds }))
      .getOptionBytes(abi.SOL_SOCKET, abi.SO_LINGER, 8)
      .toString('hex');
  t.equal(read(5), '0100000005000000');
  t.equal(read(0), '0100000000000000');
  t.equal(read(false), '0000000000000000');
  t.equal(encodeLinger(2 ** 31 - 1).toString('hex'), '01000000ffffff7f');
});

t.test('accepted connections inherit the options of their listener', async (t) => {
  const options = {
    noDelay: true,
    keepAlive: { idleSeconds: 21, intervalSeconds: 22, probes: 23 },
    userTimeoutMs: 999,
  };
  const listener = closing(t, NetSocket.listenOn(V4, options));
  closing(t, NetSocket.connectTo(listener.localAddress));
  const accepted = closing(t, listener.accept());
  t.equal(accepted.getOption(abi.IPPROTO_TCP, abi.TCP_NODELAY), 1);
  t.equal(accepted.getOption(abi.SOL_SOCKET, abi.SO_KEEPALIVE), 1);
  t.equal(accepted.getOption(abi.IPPROTO_TCP, abi.TCP_KEEPIDLE), 21);
  t.equal(accepted.getOption(abi.IPPROTO_TCP, abi.TCP_USER_TIMEOUT), 999);
});

t.test('a listener may use its address again unless reuseAddress is false', async (t) => {
  const read = (socket: { getOption(level: number, option: number): number; close(): void }) =>
    closing(t, socket).getOption(abi.SOL_SOCKET, abi.SO_REUSEADDR);
  t.equal(read(NetSocket.listenOn(V4)), 1);
  t.equal(
    read(NetSocket.listenOn(V4, { reuseAddress: undefined } as unknown as ListenOptions)),
    1,
    'undefined is unset',
  );
  t.equal(read(NetSocket.listenOn(V4, { reuseAddress: false })), 0);
  t.equal(read(NetSocket.openFor(V4)), 0);
  t.equal(read(UdpSocket.bindTo(V4)), 0, 'for datagrams it would mean sharing the port');
});

t.test('reusePort lets two listen on one port', async (t) => {
  const first = closing(t, NetSocket.listenOn(V4, { reusePort: true }));
  const second = closing(t, NetSocket.listenOn(first.localAddress, { reusePort: true }));
  t.same(second.localAddress, first.localAddress);
  t.throws(() => NetSocket.listenOn(first.localAddress), { code: 'EADDRINUSE' });
});

t.test('values that are no values are refused, and nothing is left open', async (t) => {
  const before = openDescriptors();
  const counted: readonly [keyof SocketOptions, number][] = [
    ['deferAcceptSeconds', 0],
    ['fastOpenQueue', 0],
    ['sendBufferBytes', 1],
    ['receiveBufferBytes', 1],
    ['lingerSeconds', 0],
    ['userTimeoutMs', 0],
  ];
  for (const [name, least] of counted) {
    for (const value of [least - 1, -1, 0.5, Number.NaN, Infinity, 2 ** 31, '5', null, true, 5n]) {
      t.throws(() => NetSocket.listenOn(V4, { [name]: value }), {
        name: 'RangeError',
        message: `${name} must be an integer >= ${least}, not ${String(value)}`,
      });
    }
  }
  const good = { idleSeconds: 1, intervalSeconds: 1, probes: 1 };
  for (const part of ['idleSeconds', 'intervalSeconds', 'probes'] as const) {
    for (const value of [0, -1, 1.5, Number.NaN, '5', undefined]) {
      t.throws(() => NetSocket.listenOn(V4, { keepAlive: { ...good, [part]: value as number } }), {
        name: 'RangeError',
        message: `keepAlive.${part} must be an integer >= 1, not ${String(value)}`,
      });
    }
  }
  t.throws(() => NetSocket.listenOn(V4, { keepAlive: { ...good, idleSeconds: 32_768 } }), {
    name: 'SystemError',
    code: 'EINVAL',
    syscall: 'setsockopt',
  });
  t.throws(() => UdpSocket.bindTo(V4, { noDelay: true }), { name: 'SystemError', code: 'ENOPROTOOPT' });
  t.same(openDescriptors(), before);
});

t.test('a flag is a boolean, not something that looks true', async (t) => {
  const before = openDescriptors();
  for (const name of ['reuseAddress', 'reusePort', 'noDelay', 'broadcast', 'keepAlive', 'ipv6Only'] as const) {
    for (const value of ['false', 'no', 0, 1, null]) {
      const message = new RegExp(`^${name}`);
      t.throws(() => NetSocket.openFor(V6, { [name]: value }), { message }, `${name}: ${value}`);
    }
  }
  t.same(openDescriptors(), before);
});

t.test('setOption and getOption', async (t) => {
  const socket = closing(t, NetSocket.openFor(V4));
  socket.setOption(abi.IPPROTO_TCP, abi.TCP_NODELAY, 1);
  t.equal(socket.getOption(abi.IPPROTO_TCP, abi.TCP_NODELAY), 1);
  socket.setOption(abi.IPPROTO_TCP, abi.TCP_NODELAY, Uint8Array.of(0, 0, 0, 0));
  t.equal(socket.getOption(abi.IPPROTO_TCP, abi.TCP_NODELAY), 0, 'bytes do as well');
  t.same([...socket.getOptionBytes(abi.SOL_SOCKET, abi.SO_TYPE, 64)], [1, 0, 0, 0], 'as many as the kernel has');
  t.same([...socket.getOptionBytes(abi.SOL_SOCKET, abi.SO_TYPE, 2)], [1, 0], 'and no more than asked for');
  t.equal(socket.getOptionBytes(abi.SOL_SOCKET, abi.SO_TYPE, 0).length, 0);
  t.throws(() => socket.setOption(abi.SOL_SOCKET, 9999, 1), { code: 'ENOPROTOOPT', syscall: 'setsockopt' });
  t.throws(() => socket.getOption(abi.SOL_SOCKET, 9999), { code: 'ENOPROTOOPT', syscall: 'getsockopt' });
  for (const wrong of [2 ** 31, -(2 ** 31) - 1, 1.5, Number.NaN, Infinity, '1', undefined, null, true, [1, 0, 0, 0]]) {
    const set = () => socket.setOption(abi.IPPROTO_TCP, abi.TCP_NODELAY, wrong as number);
    t.throws(set, Error, `setOption to ${String(wrong)}`);
    t.equal(socket.getOption(abi.IPPROTO_TCP, abi.TCP_NODELAY), 0, 'and nothing was set');
  }
  for (const wrong of [-1, Number.NaN, '4', undefined]) {
    t.throws(() => socket.getOptionBytes(abi.SOL_SOCKET, abi.SO_TYPE, wrong as number), Error, String(wrong));
  }
});

t.test('getOption of an option without a value does not return the value of another option', async (t) => {
  const TCP_FASTOPEN_KEY = 33; // tcp(7); no bytes at all while there is no key
  const socket = closing(t, NetSocket.openFor(V4));
  socket.setOption(abi.SOL_SOCKET, abi.SO_RCVBUF, 10_000);
  socket.getOption(abi.SOL_SOCKET, abi.SO_RCVBUF);
  t.not(socket.getOption(abi.IPPROTO_TCP, TCP_FASTOPEN_KEY), 20_000);
});

/** A table that notes the calls by which a socket is made, with options by their number. */
function noting(): { table: Libc; calls: string[] } {
  const calls: string[] = [];
  const table: Libc = {
    ...libc,
    socket: (...args) => {
      calls.push('socket');
      return libc.socket(...args);
    },
    setsockopt: (...args) => {
      calls.push(`setsockopt ${args[1]} ${args[2]}`);
      return libc.setsockopt(...args);
    },
    bind: (...args) => {
      calls.push('bind');
      return libc.bind(...args);
    },
    listen: (...args) => {
      calls.push('listen');
      return libc.listen(...args);
    },
    connect: (...args) => {
      calls.push('connect');
      return libc.connect(...args);
    },
  };
  return { table, calls };
}

t.test('control has the raw socket after the options and before bind', async (t) => {
  const { table, calls } = noting();
  let port = -1;
  let flags = '';
  const control = (socket: OptionTarget) => {
    calls.push('control');
    flags = `${socket.family} ${socket.getOption(abi.SOL_SOCKET, abi.SO_REUSEADDR)}`;
    port =
      (NetSocket.prototype as unknown) === Object.getPrototypeOf(socket)
        ? portOf((socket as NetSocket).localAddress)
        : -2;
    socket.setOption(abi.SOL_SOCKET, abi.SO_KEEPALIVE, 1);
    t.equal(socket.getOptionBytes(abi.SOL_SOCKET, abi.SO_TYPE, 4)[0], abi.SOCK_STREAM);
  };
  const listener = closing(t, NetSocket.listenOn(V4, { libc: table, noDelay: true, control }));
  t.same(calls, [
    'socket',
    `setsockopt ${abi.SOL_SOCKET} ${abi.SO_REUSEADDR}`,
    `setsockopt ${abi.IPPROTO_TCP} ${abi.TCP_NODELAY}`,
    'control',
    `setsockopt ${abi.SOL_SOCKET} ${abi.SO_KEEPALIVE}`,
    'bind',
    'listen',
  ]);
  t.equal(port, 0, 'not bound yet');
  t.equal(flags, `${abi.AF_INET} 1`, 'the options are set');
  t.equal(listener.getOption(abi.SOL_SOCKET, abi.SO_KEEPALIVE), 1, 'and what control set has stayed');

  calls.length = 0;
  closing(t, NetSocket.connectTo(listener.localAddress, { libc: table, control: () => calls.push('control') }));
  t.same(calls, ['socket', 'control', 'connect']);
  calls.length = 0;
  closing(t, UdpSocket.bindTo(V4, { libc: table, broadcast: true, control: () => calls.push('control') }));
  t.same(calls, ['socket', `setsockopt ${abi.SOL_SOCKET} ${abi.SO_BROADCAST}`, 'control', 'bind']);
});

t.test('a control that throws stops it all and leaves nothing open', async (t) => {
  const before = openDescriptors();
  const { table, calls } = noting();
  const refusal = new Error('not this one');
  const setup = {
    libc: table,
    control: () => {
      throw refusal;
    },
  };
  for (const make of [
    () => NetSocket.listenOn(V4, setup),
    () => NetSocket.connectTo({ address: '127.0.0.1', port: 9 }, setup),
    () => NetSocket.openFor(V4, setup),
    () => UdpSocket.bindTo(V4, setup),
    () => UdpSocket.connectTo({ address: '127.0.0.1', port: 9 }, setup),
  ]) {
    try {
      make();
      t.fail('it should have thrown');
    } catch (error) {
      t.equal(error, refusal, 'the very same error');
    }
  }
  t.same(
    calls.filter((call) => !call.startsWith('setsockopt')),
    Array(5).fill('socket'),
  );
  t.same(openDescriptors(), before);
});

t.test('no options, no calls', async (t) => {
  const { table, calls } = noting();
  closing(t, NetSocket.openFor(V4, { libc: table }));
  t.same(calls, ['socket']);
  const set: number[][] = [];
  const target: OptionTarget = {
    fd: 3,
    family: abi.AF_INET,
    setOption: (...args) => void set.push(args.map(Number)),
    getOption: () => 0,
    getOptionBytes: () => Buffer.alloc(0),
    attachFilter() {},
    attachReusePortFilter() {},
  };
  applySocketOptions(target, {});
  t.same(set, []);
  applySocketOptions(target, { userTimeoutMs: 7, noDelay: true, reusePort: true });
  t.same(
    set,
    [
      [abi.SOL_SOCKET, abi.SO_REUSEPORT, 1],
      [abi.IPPROTO_TCP, abi.TCP_NODELAY, 1],
      [abi.IPPROTO_TCP, abi.TCP_USER_TIMEOUT, 7],
    ],
    'always in the same order',
  );
});
