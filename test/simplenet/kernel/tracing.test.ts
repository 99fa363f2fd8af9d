/**
 * Tracing. The formatters are tested on a table with results that the test chooses. Then the lines are compared with those of
 * strace, call by call.
 */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import * as abi from '../../../simplenet/kernel/abi.ts';
import { type Libc, libc } from '../../../simplenet/kernel/libc.ts';
import { encodeSocketAddress, type SocketAddress } from '../../../simplenet/kernel/socket-address.ts';
import { joinTrace, trace, traceFromEnvironment } from '../../../simplenet/kernel/tracing.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { UdpSocket } from '../../../simplenet/sockets/udp-socket.ts';
import { importing, isInstalled, runProgram } from '../../support/child-program.ts';

type Name = keyof Libc;
type Call = (...args: unknown[]) => number;

/** The line for a call that is answered so. */
function lineOf<N extends Name>(t: Test, name: N, args: Parameters<Libc[N]>, result: number): string {
  const lines: string[] = [];
  const table = { ...libc, [name]: () => result };
  trace({ libc: table, write: (line) => lines.push(line) });
  t.equal((table[name] as Call)(...args), result, 'the answer is passed on');
  t.equal(lines.length, 1);
  return lines[0] as string;
}

const V4 = encodeSocketAddress({ address: '127.0.0.1', port: 8080 });
const V6 = encodeSocketAddress({ address: '::1', port: 443 });
const ABSTRACT = encodeSocketAddress({ path: '\0name' });
const HELLO = Buffer.from('hello');
const NOTHING = new Uint8Array(0);

/** A sockaddr in a buffer with more room, as calls get it that fill it in. */
function roomy(sockaddr: Uint8Array): [Uint8Array, Int32Array] {
  const buffer = new Uint8Array(128).fill(0xa5);
  buffer.set(sockaddr);
  return [buffer, Int32Array.of(sockaddr.byteLength)];
}

function events(...masksAndFds: readonly (readonly [number, number])[]): Int32Array {
  const words = new Int32Array(8 * abi.EPOLL_EVENT_WORDS);
  for (const [i, [mask, fd]] of masksAndFds.entries()) {
    words[i * abi.EPOLL_EVENT_WORDS] = mask;
    words[i * abi.EPOLL_EVENT_WORDS + abi.EPOLL_EVENT_DATA_WORD] = fd;
  }
  return words;
}

function pollFds(...fdsAndMasks: readonly (readonly [number, number])[]): Buffer {
  const bytes = Buffer.alloc(8 * fdsAndMasks.length);
  for (const [i, [fd, mask]] of fdsAndMasks.entries()) {
    bytes.writeInt32LE(fd, 8 * i);
    bytes.writeInt16LE(mask, 8 * i + 4);
  }
  return bytes;
}

function int32(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Int32Array.from(values).buffer);
}

function limits(soft: bigint, hard: bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(soft, hard).buffer);
}

function ifreq(name: string, flags: number): Buffer {
  const bytes = Buffer.alloc(abi.IFREQ_SIZE);
  bytes.write(name);
  bytes.writeUInt16LE(flags, abi.IFREQ_FLAGS);
  return bytes;
}

/** One row checks its own types: arguments that fit the call. */
function row<N extends Name>(name: N, args: Parameters<Libc[N]>, result: number, line: string) {
  return (t: Test) => t.equal(lineOf(t, name, args, result), line);
}

const CLOEXEC = abi.SOCK_CLOEXEC;

const rows: { readonly [N in Name]: readonly ((t: Test) => void)[] } = {
  socket: [
    row('socket', [abi.AF_INET, abi.SOCK_STREAM | CLOEXEC, 0], 5, 'socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0) = 5'),
    row(
      'socket',
      [abi.AF_INET6, abi.SOCK_DGRAM | abi.SOCK_NONBLOCK | CLOEXEC, 17],
      5,
      'socket(AF_INET6, SOCK_DGRAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 17) = 5',
    ),
    row('socket', [abi.AF_UNIX, abi.SOCK_STREAM, 0], 0, 'socket(AF_UNIX, SOCK_STREAM, 0) = 0'),
    row('socket', [17, 3, 0], -1, 'socket(17, 3, 0) = -1 EPERM (operation not permitted)'), // AF_PACKET, SOCK_RAW
  ],
  bind: [
    row('bind', [5, V4, 16], 0, 'bind(5, 127.0.0.1:8080, 16) = 0'),
    row('bind', [5, ABSTRACT, 7], 0, 'bind(5, unix:@name, 7) = 0'),
    row('bind', [5, Buffer.from('1100abcd', 'hex'), 4], 0, 'bind(5, {1100abcd}, 4) = 0'),
    row('bind', [5, V4, 16], -98, 'bind(5, 127.0.0.1:8080, 16) = -1 EADDRINUSE (address already in use)'),
  ],
  listen: [row('listen', [5, 4096], 0, 'listen(5, 4096) = 0')],
  accept4: [
    row(
      'accept4',
      [5, ...roomy(V4), abi.SOCK_NONBLOCK | CLOEXEC],
      6,
      'accept4(5, 127.0.0.1:8080, SOCK_NONBLOCK|SOCK_CLOEXEC) = 6',
    ),
    row('accept4', [5, null, null, 0], 6, 'accept4(5, NULL, 0) = 6'),
    row(
      'accept4',
      [5, ...roomy(V4), CLOEXEC],
      -11,
      'accept4(5, NULL, SOCK_CLOEXEC) = -1 EAGAIN (resource temporarily unavailable)',
    ),
  ],
  connect: [
    row('connect', [5, V6, 28], 0, 'connect(5, [::1]:443, 28) = 0'),
    row('connect', [5, V4, 16], -abi.EINPROGRESS, 'connect(5, 127.0.0.1:8080, 16) = -1 EINPROGRESS (error 115)'),
  ],
  shutdown: [
    row('shutdown', [5, abi.SHUT_RD], 0, 'shutdown(5, SHUT_RD) = 0'),
    row('shutdown', [5, abi.SHUT_WR], 0, 'shutdown(5, SHUT_WR) = 0'),
    row('shutdown', [5, abi.SHUT_RDWR], -107, 'shutdown(5, SHUT_RDWR) = -1 ENOTCONN (socket is not connected)'),
    row('shutdown', [5, 9], -22, 'shutdown(5, 9) = -1 EINVAL (invalid argument)'),
  ],
  close: [row('close', [5], 0, 'close(5) = 0'), row('close', [-1], -9, 'close(-1) = -1 EBADF (bad file descriptor)')],
  recv: [
    row('recv', [5, HELLO, 0, 5, 0], 5, 'recv(5, "hello", 5, 0) = 5'),
    row('recv', [5, HELLO, 0, 5, 0], 2, 'recv(5, "he", 5, 0) = 2'),
    row('recv', [5, HELLO, 2, 3, abi.MSG_PEEK | abi.MSG_DONTWAIT], 1, 'recv(5, "l", 3, MSG_PEEK|MSG_DONTWAIT) = 1'),
    row('recv', [5, HELLO, 0, 5, 0], 0, 'recv(5, "", 5, 0) = 0'),
    row('recv', [5, HELLO, 0, 5, 0], -104, 'recv(5, NULL, 5, 0) = -1 ECONNRESET (connection reset by peer)'),
    // A datagram of 20 bytes, told by MSG_TRUNC, of which only five are there.
    row('recv', [5, new Uint8Array(HELLO), 0, 5, abi.MSG_TRUNC], 20, 'recv(5, "hello", 5, MSG_TRUNC) = 20'),
  ],
  send: [
    row('send', [5, HELLO, 0, 5, abi.MSG_NOSIGNAL], 3, 'send(5, "hello", 5, MSG_NOSIGNAL) = 3'),
    row('send', [5, HELLO, 1, 3, 0x100], 3, 'send(5, "ell", 3, 0x100) = 3'),
    row('send', [5, HELLO, 5, 0, 0], -32, 'send(5, "", 0, 0) = -1 EPIPE (broken pipe)'),
  ],
  recvfrom: [
    row(
      'recvfrom',
      [5, HELLO, 0, 5, abi.MSG_TRUNC, ...roomy(V6)],
      9,
      'recvfrom(5, "hello", 5, MSG_TRUNC, [::1]:443) = 9',
    ),
    row('recvfrom', [5, NOTHING, 0, 0, 0, ...roomy(V4)], 0, 'recvfrom(5, "", 0, 0, 127.0.0.1:8080) = 0'),
    row(
      'recvfrom',
      [5, HELLO, 0, 5, 0, ...roomy(V4)],
      -11,
      'recvfrom(5, NULL, 5, 0, NULL) = -1 EAGAIN (resource temporarily unavailable)',
    ),
  ],
  sendto: [
    row('sendto', [5, HELLO, 0, 5, 0, V4, 16], 5, 'sendto(5, "hello", 5, 0, 127.0.0.1:8080) = 5'),
    row(
      'sendto',
      [5, HELLO, 0, 5, abi.MSG_NOSIGNAL, ABSTRACT, 7],
      -90,
      'sendto(5, "hello", 5, MSG_NOSIGNAL, unix:@name) = -1 EMSGSIZE (message too long)',
    ),
  ],
  getsockname: [
    row('getsockname', [5, ...roomy(V4)], 0, 'getsockname(5, 127.0.0.1:8080) = 0'),
    row('getsockname', [-1, ...roomy(V4)], -9, 'getsockname(-1, NULL) = -1 EBADF (bad file descriptor)'),
  ],
  getpeername: [
    row('getpeername', [5, ...roomy(V6)], 0, 'getpeername(5, [::1]:443) = 0'),
    row('getpeername', [5, ...roomy(V6)], -107, 'getpeername(5, NULL) = -1 ENOTCONN (socket is not connected)'),
  ],
  getsockopt: [
    row(
      'getsockopt',
      [5, abi.SOL_SOCKET, abi.SO_ERROR, int32(111), Int32Array.of(4)],
      0,
      'getsockopt(5, SOL_SOCKET, SO_ERROR, [111]) = 0',
    ),
    row(
      'getsockopt',
      [5, abi.IPPROTO_TCP, 9999, int32(0), Int32Array.of(4)],
      -92,
      'getsockopt(5, IPPROTO_TCP, 9999, NULL) = -1 ENOPROTOOPT (protocol not available)',
    ),
  ],
  setsockopt: [
    row(
      'setsockopt',
      [5, abi.SOL_SOCKET, abi.SO_REUSEADDR, int32(1), 4],
      0,
      'setsockopt(5, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0',
    ),
    row(
      'setsockopt',
      [5, abi.IPPROTO_TCP, abi.TCP_NODELAY, int32(-1), 4],
      0,
      'setsockopt(5, IPPROTO_TCP, TCP_NODELAY, [-1], 4) = 0',
    ),
    row(
      'setsockopt',
      [5, abi.IPPROTO_IPV6, abi.IPV6_V6ONLY, int32(0), 4],
      0,
      'setsockopt(5, IPPROTO_IPV6, IPV6_V6ONLY, [0], 4) = 0',
    ),
    row(
      'setsockopt',
      [5, abi.SOL_SOCKET, abi.SO_LINGER, int32(1, 0), 8],
      0,
      'setsockopt(5, SOL_SOCKET, SO_LINGER, "\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00", 8) = 0',
    ),
    row('setsockopt', [5, 77, 1, int32(1), 4], 0, 'setsockopt(5, 77, 1, [1], 4) = 0'),
  ],
  setsockopt_fprog: [
    row(
      'setsockopt_fprog',
      [5, abi.SO_ATTACH_FILTER, new Uint8Array(64), 32],
      0,
      'setsockopt_fprog(5, SO_ATTACH_FILTER, {4 instructions}) = 0',
    ),
    row(
      'setsockopt_fprog',
      [5, abi.SO_ATTACH_REUSEPORT_CBPF, new Uint8Array(8), 8],
      -22,
      'setsockopt_fprog(5, SO_ATTACH_REUSEPORT_CBPF, {1 instructions}) = -1 EINVAL (invalid argument)',
    ),
  ],
  epoll_create1: [
    row('epoll_create1', [abi.EPOLL_CLOEXEC], 4, 'epoll_create1(EPOLL_CLOEXEC) = 4'),
    row('epoll_create1', [0], 4, 'epoll_create1(0) = 4'),
  ],
  epoll_ctl: [
    row(
      'epoll_ctl',
      [4, abi.EPOLL_CTL_ADD, 5, events([abi.EPOLLIN | abi.EPOLLOUT, 5])],
      0,
      'epoll_ctl(4, EPOLL_CTL_ADD, 5, EPOLLIN|EPOLLOUT) = 0',
    ),
    row(
      'epoll_ctl',
      [4, abi.EPOLL_CTL_MOD, 5, events([abi.EPOLLIN, 5])],
      0,
      'epoll_ctl(4, EPOLL_CTL_MOD, 5, EPOLLIN) = 0',
    ),
    row('epoll_ctl', [4, abi.EPOLL_CTL_DEL, 5, events([0, 5])], 0, 'epoll_ctl(4, EPOLL_CTL_DEL, 5, 0) = 0'),
    row(
      'epoll_ctl',
      [4, abi.EPOLL_CTL_ADD, 5, events([1 << 31, 5])],
      0,
      'epoll_ctl(4, EPOLL_CTL_ADD, 5, 0x80000000) = 0', // EPOLLET, which has no name here
    ),
  ],
  epoll_wait: [
    row('epoll_wait', [4, events(), 256, 0], 0, 'epoll_wait(4, {}, 256, 0) = 0'),
    row(
      'epoll_wait',
      [4, events([abi.EPOLLIN, 7], [abi.EPOLLOUT | abi.EPOLLERR | abi.EPOLLHUP, 12]), 256, -1],
      2,
      'epoll_wait(4, {7: EPOLLIN, 12: EPOLLOUT|EPOLLERR|EPOLLHUP}, 256, -1) = 2',
    ),
    row('epoll_wait', [4, events(), 256, 5], -4, 'epoll_wait(4, {}, 256, 5) = -1 EINTR (interrupted system call)'),
  ],
  poll: [
    row('poll', [pollFds([5, abi.POLLIN], [6, abi.POLLOUT]), 2, -1], 1, 'poll({5: POLLIN, 6: POLLOUT}, 2, -1) = 1'),
    row('poll', [pollFds([-1, 0]), 1, 9], 0, 'poll({-1: 0}, 1, 9) = 0'),
  ],
  fcntl: [
    row('fcntl', [5, abi.F_GETFL, 0], 2, 'fcntl(5, F_GETFL, 0) = 2'),
    row('fcntl', [5, abi.F_SETFL, 2048], 0, 'fcntl(5, F_SETFL, 2048) = 0'),
    row('fcntl', [5, abi.F_SETFD, abi.FD_CLOEXEC], 0, 'fcntl(5, F_SETFD, 1) = 0'),
  ],
  open: [
    row('open', ['/dev/null', abi.O_RDONLY | abi.O_CLOEXEC], 5, 'open("/dev/null", O_RDONLY|O_CLOEXEC) = 5'),
    row(
      'open',
      ['a "b"\n', abi.O_RDONLY],
      -2,
      'open("a \\"b\\"\\n", O_RDONLY) = -1 ENOENT (no such file or directory)',
    ),
    row(
      'open',
      ['/dev/net/tun', abi.O_RDWR | abi.O_NONBLOCK | abi.O_CLOEXEC],
      5,
      'open("/dev/net/tun", O_RDWR|O_NONBLOCK|O_CLOEXEC) = 5',
    ),
    row('open', ['x', 1 | 0o100], 5, 'open("x", 1|0x40) = 5'), // O_WRONLY and O_CREAT, which have no name here
  ],
  getrlimit: [
    row('getrlimit', [abi.RLIMIT_NOFILE, limits(1024n, 4096n)], 0, 'getrlimit(RLIMIT_NOFILE, {1024, 4096}) = 0'),
  ],
  setrlimit: [
    row(
      'setrlimit',
      [abi.RLIMIT_NOFILE, limits(2n ** 64n - 1n, 1n)],
      -1,
      'setrlimit(RLIMIT_NOFILE, {18446744073709551615, 1}) = -1 EPERM (operation not permitted)',
    ),
  ],
  if_nametoindex: [
    row('if_nametoindex', ['lo'], 1, 'if_nametoindex("lo") = 1'),
    row('if_nametoindex', ['x'], -19, 'if_nametoindex("x") = -1 ENODEV (no such device)'),
  ],
  eventfd: [row('eventfd', [0, abi.EFD_CLOEXEC | abi.EFD_NONBLOCK], 7, 'eventfd(0, EFD_CLOEXEC|EFD_NONBLOCK) = 7')],
  sendmsg: [
    row(
      'sendmsg',
      [7, HELLO, 1, 3, new Uint8Array(24), 20, abi.MSG_NOSIGNAL],
      3,
      'sendmsg(7, {"ell", 3, control 20}, MSG_NOSIGNAL) = 3',
    ),
  ],
  recvmsg: [
    row(
      'recvmsg',
      [7, HELLO, 0, 5, new Uint8Array(24), Int32Array.of(20, 0), abi.MSG_CMSG_CLOEXEC],
      2,
      'recvmsg(7, {"he", 5, control 20}, MSG_CMSG_CLOEXEC) = 2',
    ),
    row(
      'recvmsg',
      [7, HELLO, 0, 5, new Uint8Array(24), Int32Array.of(20, 0), 0],
      -9,
      'recvmsg(7, {NULL, 5, control 20}, 0) = -1 EBADF (bad file descriptor)',
    ),
  ],
  memfd_create: [row('memfd_create', ['name', abi.MFD_CLOEXEC], 7, 'memfd_create("name", MFD_CLOEXEC) = 7')],
  read: [row('read', [7, HELLO, 0, 5], 2, 'read(7, "he", 5) = 2')],
  write: [row('write', [7, HELLO, 1, 3], 3, 'write(7, "ell", 3) = 3')],
  ioctl: [
    row(
      'ioctl',
      [7, abi.TUNSETIFF, ifreq('tap0', abi.IFF_TAP | abi.IFF_NO_PI)],
      0,
      'ioctl(7, TUNSETIFF, {"tap0", IFF_TAP|IFF_NO_PI}) = 0',
    ),
    row(
      'ioctl',
      [7, abi.TUNSETIFF, ifreq('sixteenletters16', 1)],
      -22,
      'ioctl(7, TUNSETIFF, {"sixteenletters16", 0x1}) = -1 EINVAL (invalid argument)',
    ),
  ],
  openat2: [
    row(
      'openat2',
      [5, 'a/"b"', abi.O_CLOEXEC | abi.O_NONBLOCK, abi.RESOLVE_BENEATH | abi.RESOLVE_NO_MAGICLINKS],
      6,
      'openat2(5, "a/\\"b\\"", {flags=O_RDONLY|O_NONBLOCK|O_CLOEXEC, resolve=RESOLVE_NO_MAGICLINKS|RESOLVE_BENEATH}, 24) = 6',
    ),
    row(
      'openat2',
      [5, 'x', abi.O_RDONLY, 0],
      -2,
      'openat2(5, "x", {flags=O_RDONLY, resolve=0}, 24) = -1 ENOENT (no such file or directory)',
    ),
  ],
  pread: [row('pread', [7, HELLO, 1, 3, 100], 2, 'pread(7, "el", 3, 100) = 2')],
  sendfile: [row('sendfile', [8, 7, 4096, 65536], 1024, 'sendfile(8, 7, [4096], 65536) = 1024')],
  addressOf: [row('addressOf', [HELLO, 1, 4], 4096, 'addressOf({memory}, 1, 4) = 4096')],
  mmap: [
    row(
      'mmap',
      [{ memory: null }, 4096, 7, abi.IORING_OFF_SQES],
      0,
      'mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_POPULATE, 7, 0x10000000) = 0',
    ),
  ],
  munmap: [row('munmap', [{ memory: null }], 0, 'munmap({memory}) = 0')],
  io_uring_setup: [
    row('io_uring_setup', [8, new Uint8Array(abi.IO_URING_PARAMS_SIZE)], 7, 'io_uring_setup(8, {params}) = 7'),
  ],
  io_uring_enter: [
    row(
      'io_uring_enter',
      [7, 2, 0, abi.IORING_ENTER_GETEVENTS],
      2,
      'io_uring_enter(7, 2, 0, IORING_ENTER_GETEVENTS, NULL, 0) = 2',
    ),
    row(
      'io_uring_enter',
      [7, 0, 1, abi.IORING_ENTER_GETEVENTS, 20],
      -abi.ETIME,
      'io_uring_enter(7, 0, 1, IORING_ENTER_GETEVENTS|IORING_ENTER_EXT_ARG, {ts=20 ms}, 24) = -1 ETIME (error 62)',
    ),
  ],
  io_uring_register: [
    row(
      'io_uring_register',
      [7, abi.IORING_REGISTER_EVENTFD, HELLO, 1],
      0,
      'io_uring_register(7, IORING_REGISTER_EVENTFD, {argument}, 1) = 0',
    ),
  ],
};

t.test('no call is left out', async (t) => {
  t.same(Object.keys(rows).sort(), Object.keys(libc).sort());
});

for (const [name, checks] of Object.entries(rows)) {
  t.test(`lines for ${name}`, async (t) => {
    for (const check of checks) check(t);
  });
}

t.test('bytes are shown as strace shows them', async (t) => {
  const shown = (bytes: Uint8Array) =>
    /"(.*)"(\.\.\.)?, /s.exec(lineOf(t, 'send', [5, bytes, 0, bytes.length, 0], 0))?.[0];
  t.equal(shown(Buffer.from('GET / HTTP/1.1\r\n')), '"GET / HTTP/1.1\\r\\n", ');
  t.equal(shown(Buffer.from('a"b\\c\td')), '"a\\"b\\\\c\\td", ');
  t.equal(shown(Uint8Array.of(0, 1, 0x1b, 0x7f, 0x80, 0xff)), '"\\x00\\x01\\x1b\\x7f\\x80\\xff", ');
  t.equal(shown(Buffer.from('ü')), '"\\xc3\\xbc", ');
  t.equal(shown(Buffer.from(' ~')), '" ~", ');
  t.equal(shown(Buffer.alloc(31, 'x')), `"${'x'.repeat(31)}", `);
  t.equal(shown(Buffer.alloc(32, 'x')), `"${'x'.repeat(32)}", `);
  t.equal(shown(Buffer.alloc(33, 'x')), `"${'x'.repeat(32)}"..., `, 'cut after 32 bytes');
  t.equal(shown(Buffer.alloc(33, '\r')), `"${'\\r'.repeat(32)}"..., `, 'bytes count, not what they look like');
  const every = Uint8Array.from({ length: 256 }, (_, i) => i);
  for (let i = 0; i < 256; i += 32) {
    t.match(shown(every.subarray(i, i + 32)), /^"[ -~]*", $/, 'nothing that a terminal would act upon');
  }
});

t.test('only the bytes of the view are shown', async (t) => {
  const memory = Buffer.from('secret hello secret');
  const view = new Uint8Array(memory.buffer, memory.byteOffset + 7, 5);
  t.equal(lineOf(t, 'recv', [5, view, 0, 5, 0], 5), 'recv(5, "hello", 5, 0) = 5');
  t.equal(lineOf(t, 'recv', [5, view, 1, 4, abi.MSG_TRUNC], 12), 'recv(5, "ello", 4, MSG_TRUNC) = 12');
});

t.test('an error that has no name', async (t) => {
  t.match(lineOf(t, 'close', [5], -9999), /^close\(5\) = -1 E9999 \(.*\)$/);
});

t.test('time: when it began, and how long it took', async (t) => {
  const lines: string[] = [];
  const table: Libc = {
    ...libc,
    close() {
      const until = performance.now() + 20;
      while (performance.now() < until);
      return 0;
    },
  };
  trace({ libc: table, time: true, write: (line) => lines.push(line) });
  const before = new Date();
  table.close(5);
  const after = new Date();
  const [, time, took] = /^(\d\d:\d\d:\d\d\.\d{6}) close\(5\) = 0 <(\d+\.\d{6})>$/.exec(lines[0] ?? '') ?? [];
  t.type(time, 'string', lines[0] ?? '');
  const seconds = Number(took);
  t.ok(seconds >= 0.019 && seconds < 5, `${seconds} s`);
  // Both clocks may differ by a little; at midnight there is nothing to compare.
  const clock = (date: Date) => date.toISOString().slice(11, 23);
  if (clock(before) < clock(after)) {
    const [early, late] = [before, after].map((date, i) => clock(new Date(date.getTime() + (i === 0 ? -50 : 50))));
    t.ok((time as string) >= (early as string) && (time as string) <= (late as string), `${early} ${time} ${late}`);
  }
});

t.test('stopping puts back the very same functions', async (t) => {
  const original = { ...libc };
  const lines: string[] = [];
  const stop = trace({ write: (line) => lines.push(line) });
  for (const name of Object.keys(original) as Name[]) t.not(libc[name], original[name], `${name} is traced`);
  t.same(Object.keys(libc), Object.keys(original));
  const socket = NetSocket.openFor({ address: '127.0.0.1', port: 0 });
  socket.close();
  stop();
  for (const name of Object.keys(original) as Name[]) t.equal(libc[name], original[name], `${name} is back`);
  NetSocket.openFor({ address: '127.0.0.1', port: 0 }).close();
  t.same(lines, [
    `socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0) = ${/\d+$/.exec(lines[0] ?? '')?.[0]}`,
    `close(${/\d+$/.exec(lines[0] ?? '')?.[0]}) = 0`,
  ]);
  stop();
  t.equal(libc.recv, original.recv, 'stopping twice');
});

t.test('two traces at once both write, and none writes after both have ended, in either order', async (t) => {
  for (const isFirstEndedFirst of [false, true]) {
    const table = { ...libc };
    const lines: string[] = [];
    const stops = ['first', 'second'].map((name) => trace({ libc: table, write: () => lines.push(name) }));
    table.close(-1);
    t.same(lines.sort(), ['first', 'second']);
    if (!isFirstEndedFirst) stops.reverse();
    for (const stop of stops) stop();
    table.close(-1);
    t.equal(lines.length, 2, isFirstEndedFirst ? 'the first one ended first' : 'the last one ended first');
  }
});

t.test('a table that is an object with a state of its own can be traced', async (t) => {
  class Kernel {
    opened = 0;
    epoll_create1(): number {
      this.opened++;
      return this.opened;
    }
  }
  const kernel = new Kernel();
  const table = kernel as unknown as Libc;
  for (const name of Object.keys(libc) as Name[]) {
    if (name !== 'epoll_create1') Object.assign(table, { [name]: () => 0 });
  }
  const lines: string[] = [];
  const stop = trace({ libc: table, write: (line) => lines.push(line) });
  t.doesNotThrow(() => t.equal(table.epoll_create1(0), 1));
  stop();
  t.doesNotThrow(() => t.equal(table.epoll_create1(0), 2));
  t.same(lines, ['epoll_create1(0) = 1']);
});

t.test(
  'a writer that throws does not affect the call: its exception is uncaught, and the result is returned',
  async (t) => {
    const table: Libc = { ...libc, epoll_create1: () => 7 };
    trace({
      libc: table,
      write() {
        throw new Error('the disk is full');
      },
    });
    const { nextTick } = process;
    const ticks: (() => void)[] = [];
    let answer = 0;
    process.nextTick = (callback: () => void) => void ticks.push(callback);
    try {
      answer = table.epoll_create1(0);
    } finally {
      process.nextTick = nextTick;
    }
    t.equal(answer, 7, 'it may be a descriptor');
    t.equal(ticks.length, 1);
    t.throws(() => ticks[0]?.(), { message: 'the disk is full' });
  },
);

t.test('without `write` the lines go to standard error', async (t) => {
  const written = t.capture(process.stderr, 'write', () => true);
  const table: Libc = { ...libc, close: () => 0 };
  trace({ libc: table });
  table.close(5);
  written.restore();
  t.same(written.args(), [['close(5) = 0\n']]);
});

t.test('a traced call refuses the same arguments', async (t) => {
  const lines: string[] = [];
  const stop = trace({ write: (line) => lines.push(line) });
  t.teardown(stop);
  t.throws(() => libc.recv(1.5, new Uint8Array(8), 0, 8, 0), TypeError);
  t.throws(() => libc.recv(5, new Uint8Array(8), 0, 9, 0), RangeError);
  t.same(lines, [], 'no call, no line');
});

t.test('a traced conversation', async (t) => {
  const lines: string[] = [];
  const table = { ...libc };
  trace({ libc: table, write: (line) => lines.push(line) });
  const receiver = UdpSocket.bindTo({ address: '127.0.0.1', port: 0 }, { libc: table });
  const { port } = receiver.localAddress as { port: number };
  const { fd } = receiver;
  receiver.sendTo(Buffer.from('ping'), receiver.localAddress as SocketAddress);
  receiver.receiveFrom(Buffer.alloc(8));
  receiver.close();
  t.same(lines, [
    `socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, 0) = ${fd}`,
    `bind(${fd}, 127.0.0.1:0, 16) = 0`,
    `getsockname(${fd}, 127.0.0.1:${port}) = 0`,
    `getsockname(${fd}, 127.0.0.1:${port}) = 0`,
    `sendto(${fd}, "ping", 4, MSG_NOSIGNAL, 127.0.0.1:${port}) = 4`,
    `recvfrom(${fd}, "ping", 8, MSG_TRUNC, 127.0.0.1:${port}) = 4`,
    `close(${fd}) = 0`,
  ]);
});

t.test('traceFromEnvironment knows which values ask for something', async (t) => {
  const original = { ...libc };
  for (const value of [undefined, '', '0']) {
    traceFromEnvironment(value)();
    t.equal(libc.recv, original.recv, String(value));
  }
  for (const value of ['1', 'time']) {
    const stop = traceFromEnvironment(value);
    t.not(libc.recv, original.recv, value);
    stop();
    t.equal(libc.recv, original.recv);
  }
});

t.test('SIMPLENET_TRACE', async (t) => {
  const program = `${importing('NetSocket')} NetSocket.openFor({ address: '::1', port: 0 }).close(); console.log('done');`;
  const socket = 'socket\\(AF_INET6, SOCK_STREAM\\|SOCK_CLOEXEC, 0\\) = \\d+';
  const close = 'close\\(\\d+\\) = 0';
  const time = '\\d\\d:\\d\\d:\\d\\d\\.\\d{6} ';
  const took = ' <\\d+\\.\\d{6}>';
  for (const [value, expected] of [
    ['1', `${socket}\n${close}\n`],
    ['time', `${time}${socket}${took}\n${time}${close}${took}\n`],
    ['0', ''],
    ['', ''],
    [undefined, ''],
  ] as const) {
    const child = runProgram(program, { env: value === undefined ? {} : { SIMPLENET_TRACE: value } });
    t.match(child.stderr, new RegExp(`^${expected}$`), `SIMPLENET_TRACE=${value}`);
    t.same([child.stdout, child.status], ['done\n', 0]);
  }
});

/** Calls that reach the kernel under another name, because glibc has no system call of that name to make. */
const kernelNames: Readonly<Record<string, string>> = {
  recv: 'recvfrom',
  send: 'sendto',
  open: 'openat',
  getrlimit: 'prlimit64',
  setrlimit: 'prlimit64',
  ...(process.arch === 'arm64' ? { poll: 'ppoll', epoll_wait: 'epoll_pwait' } : {}),
};

const BEGIN = '/simplenet-trace-begin';
const END = '/simplenet-trace-end';

/** What the two kinds of line have in common: `recvfrom 7 "hello" = 5`, `accept4 5 = -1 EAGAIN`. */
function essence(line: string): string {
  const [, name = '', args = '', result = '', code = ''] =
    /^(?:\d+ +)?(\w+)\((.*)\) += (-?\w+)(?: (E\w+))?/.exec(line) ?? [];
  const syscall = kernelNames[name] ?? name;
  // prlimit(2) takes a process number first, which getrlimit does not.
  const fd = syscall === 'prlimit64' ? '' : (/^(-?\d+)/.exec(args)?.[1] ?? '');
  const bytes = /^(?:recvfrom|sendto|openat)$/.test(syscall)
    ? (/"(?:[^"\\]|\\.)*"(?:\.\.\.)?/.exec(args)?.[0] ?? '')
    : '';
  return [syscall, fd, bytes, '=', String(Number(result)), code].filter((part) => part !== '').join(' ');
}

/** Everything the library can do, on the loopback, in a few lines. The trace goes to standard output at the end. */
const conversation = `${importing('NetSocket, UdpSocket, Epoll, trace, libc, raiseOpenFileLimit, abi')}
  const lines = [];
  const stop = trace({ write: (line) => lines.push(line) });
  libc.open('${BEGIN}', 0);
  const local = { address: '127.0.0.1', port: 0 };
  const listener = NetSocket.listenOn(local, { noDelay: true, keepAlive: true });
  const client = NetSocket.connectTo(listener.localAddress);
  const server = listener.accept();
  const buffer = Buffer.alloc(64);
  client.writeAll(Buffer.from('GET / HTTP/1.1\\r\\nHost: "localhost"\\r\\n\\r\\n'));
  server.read(buffer);
  server.write(Buffer.from('ok'));
  client.read(buffer);
  server.setNonBlocking(true);
  try { server.read(buffer); } catch {}
  const epoll = new Epoll();
  epoll.add(server.fd, abi.EPOLLIN);
  epoll.wait(0);
  client.shutdown('write');
  epoll.wait(-1);
  epoll.modify(server.fd, abi.EPOLLOUT);
  epoll.delete(server.fd);
  server.wait('readable', 100);
  server.read(buffer);
  server.reset();
  try { client.write(buffer); client.write(buffer); } catch {}
  try { NetSocket.listenOn(listener.localAddress); } catch {}
  try { NetSocket.connectTo({ path: '/no/such/path' }); } catch {}
  const slow = NetSocket.connectTo(listener.localAddress, { nonBlocking: true });
  const udp = UdpSocket.bindTo({ address: '::1', port: 0 });
  udp.sendTo(Buffer.from('ping'), udp.localAddress);
  udp.receiveFrom(buffer);
  raiseOpenFileLimit(64);
  for (const socket of [slow, udp, epoll, client, listener]) socket.close();
  try { udp.takeError(); } catch {}
  libc.open('${END}', 0);
  stop();
  console.log(lines.join('\\n'));`;

t.test('strace shows the same calls, in the same order, with the same bytes and results', async (t) => {
  if (!isInstalled('strace')) {
    t.pass('nothing to compare with', { skip: 'strace is not installed' });
    return;
  }
  const root = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  const output = join(root, 'strace');
  const syscalls = 'network,close,fcntl,openat,?poll,ppoll,epoll_create1,epoll_ctl,?epoll_wait,epoll_pwait,prlimit64';
  // Without -f, so only the main thread is watched: libuv's threads have nothing to do with this.
  const child = runProgram(conversation, { wrapper: ['strace', '-o', output, '-e', `trace=${syscalls}`] });
  if (/ptrace|PTRACE/.test(child.stderr)) {
    t.pass('nothing to compare with', { skip: `strace is not allowed here: ${child.stderr.slice(0, 200)}` });
    return;
  }
  t.equal(child.status, 0, child.stderr);
  // All that Node does for itself on that thread lies before and after the two files that are not there.
  const between = (text: string) => {
    const lines = text.split('\n').map(essence);
    const [begin, end] = [BEGIN, END].map((path) => lines.findIndex((line) => line.includes(path)));
    return lines.slice(begin, (end as number) + 1);
  };
  const ours = between(child.stdout);
  t.same(ours, between(readFileSync(output, 'utf8')));
  t.ok(ours.length > 50, `${ours.length} calls were compared`);
  t.ok(ours.some((line) => line.includes('"GET / HTTP/1.1\\r\\nHost: \\"localhost"...')));
});

t.test('a table that joins is traced as long as the process is, also if it joins late', async (t) => {
  const lines: string[] = [];
  const table = { double: (n: number) => 2 * n };
  const stop = trace({ write: (line) => lines.push(line) });
  joinTrace({ table, names: ['double'], describe: (name, [n], result) => `${name}(${n}) = ${result}` });
  t.equal(table.double(21), 42);
  stop();
  table.double(1);
  t.ok(lines.includes('double(21) = 42'));
  t.notOk(lines.some((line) => line.startsWith('double(1)')));
});
