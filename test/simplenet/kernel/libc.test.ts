/**
 * The table of system calls: what it refuses, where it writes, and what it returns.
 *
 * A call through FFI that trusts its caller writes outside its buffers, so most of this file is about arguments that are
 * wrong. Each call has one row of good arguments; the tests spoil one argument after the other. The descriptor in all of
 * them is -1, so that a check that is missing here ends in EBADF and not in broken memory.
 */

import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import * as abi from '../../../simplenet/kernel/abi.ts';
import { type Libc, libc } from '../../../simplenet/kernel/libc.ts';
import { LIBRARY } from '../../support/child-program.ts';
import { openDescriptors } from '../../support/open-descriptors.ts';

type Name = keyof Libc;
/** What an argument is; each kind has its own ways of being wrong. */
type Kind =
  | 'integer'
  | 'buffer'
  | 'nullable buffer'
  | 'offset'
  | 'length'
  | 'cell'
  | 'nullable cell'
  | 'events'
  | 'text'
  | 'place'
  | 'mapping';

/** An argument: its kind and a good value. Buffers are 16 bytes, so lengths and cells up to 16 are good. */
type Argument = readonly [Kind, unknown];

const SIZE = 16;
const fd: Argument = ['integer', -1];
const int: Argument = ['integer', 0];
const buffer: Argument = ['buffer', new Uint8Array(SIZE)];
const range: readonly Argument[] = [buffer, ['offset', 0], ['length', SIZE]];
const cell: Argument = ['cell', Int32Array.of(SIZE)];

const rows: { readonly [N in Name]: readonly Argument[] } = {
  socket: [['integer', -1], int, int],
  bind: [fd, buffer, ['length', SIZE]],
  listen: [fd, int],
  accept4: [fd, ['nullable buffer', new Uint8Array(SIZE)], ['nullable cell', Int32Array.of(SIZE)], int],
  connect: [fd, buffer, ['length', SIZE]],
  shutdown: [fd, int],
  close: [fd],
  recv: [fd, ...range, int],
  send: [fd, ...range, int],
  recvfrom: [fd, ...range, int, buffer, cell],
  sendto: [fd, ...range, int, buffer, ['length', SIZE]],
  sendmsg: [fd, ...range, buffer, ['length', SIZE], int],
  recvmsg: [fd, ...range, buffer, cell, int],
  getsockname: [fd, buffer, cell],
  getpeername: [fd, buffer, cell],
  getsockopt: [fd, int, int, buffer, cell],
  setsockopt: [fd, int, int, buffer, ['length', SIZE]],
  setsockopt_fprog: [fd, ['integer', abi.SO_ATTACH_FILTER], buffer, ['length', SIZE]],
  epoll_create1: [['integer', -1]],
  epoll_ctl: [fd, int, fd, ['events', new Int32Array(abi.EPOLL_EVENT_WORDS)]],
  epoll_wait: [fd, ['events', new Int32Array(2 * abi.EPOLL_EVENT_WORDS)], ['integer', 2], int],
  poll: [['buffer', new Uint8Array(SIZE).fill(0xff)], ['integer', 1], int], // the descriptor in there is -1 as well
  fcntl: [fd, ['integer', abi.F_GETFL], int],
  open: [['text', '/no/such/file'], int],
  getrlimit: [['integer', -1], buffer],
  setrlimit: [['integer', -1], buffer],
  if_nametoindex: [['text', 'no such one']],
  eventfd: [int, ['integer', -1]],
  memfd_create: [
    ['text', 'x'.repeat(300)],
    ['integer', abi.MFD_CLOEXEC],
  ], // a name that is too long: nothing is made
  read: [fd, ...range],
  write: [fd, ...range],
  ioctl: [fd, ['integer', abi.TUNSETIFF], ['buffer', new Uint8Array(abi.IFREQ_SIZE)]],
  openat2: [fd, ['text', 'no such file'], int, int],
  pread: [fd, ...range, ['place', 0]],
  sendfile: [fd, fd, ['place', 0], ['integer', SIZE]],
  addressOf: [...range],
  mmap: [['mapping', { memory: null }], ['integer', 4096], fd, ['place', 2 ** 31]],
  munmap: [['mapping', { memory: null }]],
  io_uring_setup: [int, ['buffer', new Uint8Array(abi.IO_URING_PARAMS_SIZE)]],
  io_uring_enter: [fd, int, int, int],
  io_uring_register: [fd, ['integer', abi.IORING_REGISTER_EVENTFD], buffer, ['integer', 1]],
};

const noNumbers: readonly unknown[] = [undefined, null, '3', '', true, 3n, {}, [3], Symbol('3'), { valueOf: () => 3 }];
const noIntegers = [
  ...noNumbers,
  1.5,
  -0.5,
  Number.NaN,
  Infinity,
  -Infinity,
  2 ** 31,
  -(2 ** 31) - 1,
  2 ** 32,
  2 ** 53,
];
const noBuffers = [
  undefined,
  'text',
  42,
  [1, 2, 3],
  new ArrayBuffer(SIZE),
  new DataView(new ArrayBuffer(SIZE)),
  new Uint8ClampedArray(SIZE),
  new Uint16Array(SIZE),
  new Float64Array(SIZE),
  new BigInt64Array(SIZE),
  { byteLength: SIZE, length: SIZE },
  Object.create(Uint8Array.prototype),
  new Proxy(new Uint8Array(SIZE), {}),
  detached(),
];
const noCells = [
  undefined,
  16,
  [16],
  new Int32Array(0),
  Uint32Array.of(16),
  new Uint8Array(4),
  Int32Array.of(-1),
  Int32Array.of(SIZE + 1),
  Int32Array.of(2 ** 31 - 1),
  Int32Array.of(-(2 ** 31)),
];

const wrong: { readonly [K in Kind]: readonly unknown[] } = {
  integer: noIntegers,
  buffer: [null, ...noBuffers],
  'nullable buffer': noBuffers,
  offset: [...noIntegers, -1, -SIZE, -(2 ** 31), 1, SIZE, SIZE + 1, 2 ** 31 - 1],
  length: [...noIntegers, -1, -SIZE, -(2 ** 31), SIZE + 1, 2 ** 31 - 1],
  cell: [null, ...noCells],
  'nullable cell': noCells,
  events: [undefined, null, [1, 2, 3], new Int32Array(0), new Int32Array(2), new Uint32Array(6), new Uint8Array(64)],
  place: [...noNumbers, 0.5, Number.NaN, Infinity, 2 ** 53],
  mapping: [undefined, null, 5, 'memory', true],
  text: [undefined, null, 5, {}, ['lo'], Buffer.from('lo'), 'l\0o', '\0'],
};

/** A buffer whose memory has been given away, so that it has no bytes left. */
function detached(): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
}

/** Calls with whatever arguments, which the type of the table would not allow. */
function call(name: Name, args: readonly unknown[]): number {
  return (libc[name] as (...args: readonly unknown[]) => number)(...args);
}

function show(value: unknown): string {
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    const array = value as Uint8Array;
    return `${array.constructor.name} of ${array.length}: ${array.length > 0 ? array[0] : ''}`;
  }
  if (typeof value === 'object' && value !== null) return Object.prototype.toString.call(value);
  return typeof value === 'string' ? JSON.stringify(value) : `${typeof value} ${String(value)}`;
}

t.test('the table has these calls and no others', async (t) => {
  t.same(Object.keys(libc).sort(), Object.keys(rows).sort());
});

for (const name of Object.keys(rows) as Name[]) {
  const args = rows[name];
  t.test(`${name} checks each argument`, async (t) => {
    const before = openDescriptors();
    const good = args.map(([, value]) => value);
    t.type(call(name, good), 'number', 'good arguments reach the kernel');
    for (const [i, [kind]] of args.entries()) {
      for (const value of wrong[kind]) {
        const spoilt = good.with(i, value);
        t.throws(() => call(name, spoilt), Error, `argument ${i} as ${show(value)}`);
      }
    }
    t.same(openDescriptors(), before);
  });
}

t.test('invalid arguments throw a TypeError or a RangeError that says what is wrong', async (t) => {
  const eight = new Uint8Array(8);
  const refusals: readonly [Name, readonly unknown[], Error][] = [
    ['recv', [1.5, eight, 0, 8, 0], new TypeError('a file descriptor must be an integer, not 1.5')],
    ['recv', ['3', eight, 0, 8, 0], new TypeError('a file descriptor must be an integer, not 3')],
    ['recv', [3, [], 0, 8, 0], new TypeError('a buffer must be a Uint8Array')],
    ['recv', [3, eight, 4, 8, 0], new RangeError('offset 4 + length 8 is outside a buffer of 8 bytes')],
    ['recv', [3, eight, -1, 8, 0], new RangeError('offset and length must be integers >= 0, not -1 and 8')],
    ['recv', [3, eight, 0, 8, 0.5], new TypeError('flags must be a 32-bit integer, not 0.5')],
    ['getsockname', [3, eight, [8]], new TypeError('a length must be an Int32Array')],
    ['getsockname', [3, eight, Int32Array.of(9)], new RangeError('a length of 9 is outside a buffer of 8 bytes')],
    ['epoll_wait', [3, eight, 1, 0], new TypeError('epoll events must be an Int32Array')],
    ['epoll_wait', [3, new Int32Array(4), 2, 0], new RangeError('2 epoll events do not fit into 4 words')],
    ['open', ['a\0b', 0], new TypeError('a C string is text without NUL')],
  ];
  for (const [name, args, error] of refusals) {
    t.throws(() => call(name, args), { name: error.name, message: error.message }, `${name}: ${error.message}`);
  }
});

t.test('the room for events, poll entries and limits is checked against their size', async (t) => {
  const words = abi.EPOLL_EVENT_WORDS;
  for (const count of [0, -1, 3, 2 ** 30, 2 ** 31 - 1]) {
    t.throws(() => libc.epoll_wait(-1, new Int32Array(3 * words - 1), count, 0), RangeError, `${count} events`);
  }
  t.equal(libc.epoll_wait(-1, new Int32Array(3 * words), 3, 0), -abi.EBADF);
  t.throws(() => libc.epoll_ctl(-1, abi.EPOLL_CTL_ADD, 0, new Int32Array(words - 1)), RangeError);
  for (const count of [-1, 3, 2 ** 28, 2 ** 29, 2 ** 31 - 1]) {
    t.throws(() => libc.poll(new Uint8Array(3 * abi.POLLFD_SIZE - 1), count, 0), RangeError, `${count} poll entries`);
  }
  t.equal(libc.poll(new Uint8Array(0), 0, 0), 0, 'no entries, no time: nothing');
  t.throws(() => libc.getrlimit(abi.RLIMIT_NOFILE, new Uint8Array(abi.RLIMIT_SIZE - 1)), RangeError);
  t.throws(() => libc.setrlimit(abi.RLIMIT_NOFILE, new Uint8Array(abi.RLIMIT_SIZE - 1)), RangeError);
});

t.test('no argument of io_uring_register is an array of addresses', async (t) => {
  const room = new Uint8Array(4096);
  const NO_RING = -2; // -1 has a meaning of its own since Linux 6.13
  // IORING_REGISTER_BUFFERS (0) takes iovecs; others take addresses in structs, or write as much as they like.
  for (const operation of [0, 1, 2, 5, 6, 10, 13, 15, 24, 99]) {
    t.throws(() => libc.io_uring_register(-1, operation, room, 1), RangeError, `operation ${operation}`);
  }
  const ring = Buffer.alloc(abi.IO_URING_BUF_REG_SIZE);
  t.throws(() => libc.io_uring_register(-1, abi.IORING_REGISTER_PBUF_RING, ring, 1), RangeError, 'its own memory');
  ring.writeUInt16LE(abi.IOU_PBUF_RING_MMAP, 14);
  t.equal(libc.io_uring_register(NO_RING, abi.IORING_REGISTER_PBUF_RING, ring, 1), -abi.EBADF);
  ring.writeBigUInt64LE(1n);
  t.throws(() => libc.io_uring_register(-1, abi.IORING_REGISTER_PBUF_RING, ring, 1), RangeError, 'an address');
  const probe = (bytes: number, count: number) =>
    libc.io_uring_register(NO_RING, abi.IORING_REGISTER_PROBE, new Uint8Array(bytes), count);
  t.equal(probe(16 + 8 * 3, 3), -abi.EBADF);
  t.throws(() => probe(16 + 8 * 3 - 1, 3), RangeError);
  t.throws(() => libc.io_uring_setup(1, new Uint8Array(abi.IO_URING_PARAMS_SIZE - 1)), RangeError);
});

t.test('ioctl takes one request, with a whole struct', async (t) => {
  const ifreq = new Uint8Array(abi.IFREQ_SIZE);
  const FIONREAD = 0x541b;
  const SIOCGIFCONF = 0x8912; // its struct holds an address
  const TUNATTACHFILTER = 0x401054d5; // and so does this one's
  for (const request of [FIONREAD, SIOCGIFCONF, TUNATTACHFILTER, 0, -1]) {
    t.throws(() => libc.ioctl(-1, request, ifreq), RangeError, `request ${request}`);
  }
  t.throws(() => libc.ioctl(-1, abi.TUNSETIFF, ifreq.subarray(1)), RangeError);
  t.equal(libc.ioctl(-1, abi.TUNSETIFF, ifreq), -abi.EBADF);
});

t.test('openat2 stays beneath its directory', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'inside'), 'x');
  symlinkSync('inside', join(folder, 'link'));
  symlinkSync('/etc/passwd', join(folder, 'out'));
  symlinkSync('/proc/self/fd/0', join(folder, 'magic'));
  const directory = libc.open(folder, abi.O_RDONLY | abi.O_CLOEXEC);
  t.teardown(() => libc.close(directory));
  const { ELOOP, EXDEV } = (await import('node:os')).constants.errno;
  const open = (path: string, resolve: number) => {
    const fd = libc.openat2(directory, path, abi.O_RDONLY | abi.O_CLOEXEC, resolve);
    if (fd >= 0) libc.close(fd);
    return Math.min(fd, 0);
  };
  const beneath = abi.RESOLVE_BENEATH | abi.RESOLVE_NO_MAGICLINKS;
  if (open('inside', beneath) === -abi.ENOSYS) return;
  t.equal(open('inside', beneath), 0);
  t.equal(open('link', beneath), 0);
  t.equal(open('link', beneath | abi.RESOLVE_NO_SYMLINKS), -ELOOP);
  for (const path of ['out', '../x', '/etc/passwd', 'magic']) t.equal(open(path, beneath), -EXDEV, path);
  t.equal(open('magic', abi.RESOLVE_NO_MAGICLINKS), -ELOOP);
});

t.test('pread and sendfile read from their offset, and leave that of the descriptor', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'file');
  writeFileSync(path, '0123456789');
  const file = libc.open(path, abi.O_RDONLY | abi.O_CLOEXEC);
  t.teardown(() => libc.close(file));
  const copy = openSync(join(folder, 'copy'), 'w');
  t.teardown(() => closeSync(copy));
  const bytes = Buffer.alloc(8, '.');
  t.equal(libc.pread(file, bytes, 2, 4, 3), 4);
  t.equal(bytes.toString(), '..3456..');
  t.equal(libc.pread(file, bytes, 0, 8, 10), 0);
  t.equal(libc.sendfile(copy, file, 5, 100), 5);
  t.equal(libc.sendfile(copy, file, 10, 100), 0, 'the end of the file');
  t.equal(libc.sendfile(copy, file, 0, 2), 2);
  t.equal(readFileSync(join(folder, 'copy'), 'utf8'), '5678901');
  t.throws(() => libc.sendfile(copy, file, 0, -1), RangeError);
  t.equal(libc.sendfile(copy, file, -1, 1), -abi.EINVAL);
  t.equal(libc.read(file, bytes, 0, 1), 1);
  t.equal(bytes.toString('latin1', 0, 1), '0');
});

t.test('no bytes have no address', async (t) => {
  t.throws(() => libc.addressOf(new Uint8Array(4), 4, 0), RangeError);
  t.equal(libc.addressOf(new Uint8Array(new ArrayBuffer(8), 4), 2, 2) % 8, 6);
});

t.test('munmap unmaps only what mmap has mapped', async (t) => {
  t.equal(libc.munmap({ memory: new ArrayBuffer(8) }), -abi.EINVAL);
  const mapping = { memory: null };
  t.equal(libc.mmap(mapping, 4096, -1, 0), -abi.EBADF);
  t.same(mapping, { memory: null });
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  writeFileSync(join(folder, 'page'), Buffer.alloc(4096, 'p'));
  const fd = openSync(join(folder, 'page'), 'r+');
  t.equal(libc.mmap(mapping, 4096, fd, 0), 0);
  t.throws(() => libc.mmap(mapping, 4096, fd, 0), {
    name: 'TypeError',
    message: 'this mapping is in use: call munmap first',
  });
  t.equal(libc.munmap(mapping), 0);
  t.same(mapping, { memory: null });
  t.equal(libc.munmap(mapping), -abi.EINVAL, 'once');
  closeSync(fd);
  rmSync(folder, { recursive: true });
});

t.test('no argument of fcntl is a pointer', async (t) => {
  // F_GETLK (5), F_SETLK (6), F_SETLKW (7), F_OFD_GETLK (36) and F_GETOWN_EX (16) take their argument for an address.
  for (const command of [5, 6, 7, 16, 36]) {
    t.throws(() => libc.fcntl(-1, command, 0x400000), Error, `command ${command}`);
  }
});

t.test('SO_GET_FILTER, which counts in instructions of 8 bytes and not in bytes, gets no room', async (t) => {
  // socket(7), 26 on every architecture here: given room for 8 "bytes", the kernel may write 64.
  t.throws(() => libc.getsockopt(-1, abi.SOL_SOCKET, 26, new Uint8Array(8), Int32Array.of(8)), Error);
  // Without room it writes nothing, and tells how many instructions there are.
  t.equal(libc.getsockopt(-1, abi.SOL_SOCKET, 26, new Uint8Array(0), Int32Array.of(0)), -abi.EBADF);
});

t.test(
  'a filter is whole instructions, no more than the kernel takes, for the two options that take one',
  async (t) => {
    const most = abi.BPF_MAXINSNS * abi.SOCK_FILTER_SIZE;
    const room = new Uint8Array(most + abi.SOCK_FILTER_SIZE);
    for (const option of [abi.SO_ATTACH_FILTER, abi.SO_ATTACH_REUSEPORT_CBPF]) {
      for (const length of [0, 8, most]) t.equal(libc.setsockopt_fprog(-1, option, room, length), -abi.EBADF);
      for (const length of [1, 7, 9, most - 1, most + abi.SOCK_FILTER_SIZE]) {
        t.throws(() => libc.setsockopt_fprog(-1, option, room, length), RangeError, `${length} bytes`);
      }
    }
    // SO_ATTACH_BPF (50) and SO_ATTACH_REUSEPORT_EBPF (52) take a descriptor instead, SO_RCVBUF an int.
    for (const option of [50, 52, abi.SO_RCVBUF]) {
      t.throws(() => libc.setsockopt_fprog(-1, option, room, 8), RangeError, `option ${option}`);
    }
  },
);

t.test('a descriptor that is not open returns EBADF', async (t) => {
  const before = openDescriptors();
  const unopened = libc.open('/dev/null', abi.O_RDONLY | abi.O_CLOEXEC);
  t.equal(libc.close(unopened), 0);
  const events = new Int32Array(abi.EPOLL_EVENT_WORDS);
  for (const fd of [-1, unopened, 2 ** 31 - 1, -(2 ** 31)]) {
    const answers = {
      bind: libc.bind(fd, new Uint8Array(16), 16),
      listen: libc.listen(fd, 1),
      accept4: libc.accept4(fd, null, null, 0),
      connect: libc.connect(fd, new Uint8Array(16), 16),
      shutdown: libc.shutdown(fd, abi.SHUT_WR),
      close: libc.close(fd),
      recv: libc.recv(fd, new Uint8Array(16), 0, 16, 0),
      send: libc.send(fd, new Uint8Array(16), 0, 16, abi.MSG_NOSIGNAL),
      recvfrom: libc.recvfrom(fd, new Uint8Array(16), 0, 16, 0, new Uint8Array(16), Int32Array.of(16)),
      sendto: libc.sendto(fd, new Uint8Array(16), 0, 16, abi.MSG_NOSIGNAL, new Uint8Array(16), 16),
      sendmsg: libc.sendmsg(fd, new Uint8Array(16), 0, 16, new Uint8Array(0), 0, abi.MSG_NOSIGNAL),
      recvmsg: libc.recvmsg(fd, new Uint8Array(16), 0, 16, new Uint8Array(16), Int32Array.of(16, 0), 0),
      getsockname: libc.getsockname(fd, new Uint8Array(16), Int32Array.of(16)),
      getpeername: libc.getpeername(fd, new Uint8Array(16), Int32Array.of(16)),
      getsockopt: libc.getsockopt(fd, abi.SOL_SOCKET, abi.SO_TYPE, new Uint8Array(4), Int32Array.of(4)),
      setsockopt: libc.setsockopt(fd, abi.SOL_SOCKET, abi.SO_REUSEADDR, new Uint8Array(4), 4),
      setsockopt_fprog: libc.setsockopt_fprog(fd, abi.SO_ATTACH_FILTER, new Uint8Array(8), 8),
      epoll_ctl: libc.epoll_ctl(fd, abi.EPOLL_CTL_ADD, 0, events),
      epoll_wait: libc.epoll_wait(fd, events, 1, 0),
      fcntl: libc.fcntl(fd, abi.F_GETFL, 0),
      read: libc.read(fd, new Uint8Array(16), 0, 16),
      write: libc.write(fd, new Uint8Array(16), 0, 16),
      ioctl: libc.ioctl(fd, abi.TUNSETIFF, new Uint8Array(abi.IFREQ_SIZE)),
      openat2: libc.openat2(fd, 'x', abi.O_RDONLY, abi.RESOLVE_BENEATH),
      pread: libc.pread(fd, new Uint8Array(16), 0, 16, 0),
      sendfile: libc.sendfile(fd, fd, 0, 16),
    };
    t.same(answers, Object.fromEntries(Object.keys(answers).map((name) => [name, -abi.EBADF])), `descriptor ${fd}`);
  }
  t.same(openDescriptors(), before);
});

t.test('a call that fails returns its own errno, whatever failed before', async (t) => {
  const file = libc.open('/dev/null', abi.O_RDONLY | abi.O_CLOEXEC);
  const socket = libc.socket(abi.AF_INET, abi.SOCK_STREAM | abi.SOCK_CLOEXEC, 0);
  const other = libc.socket(abi.AF_INET, abi.SOCK_STREAM | abi.SOCK_CLOEXEC, 0);
  const epoll = libc.epoll_create1(abi.EPOLL_CLOEXEC);
  const event = new Int32Array(abi.EPOLL_EVENT_WORDS);
  const foreign = Uint8Array.of(2, 0, 0, 0, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0); // 192.0.2.1 is nobody's, RFC 5737
  t.equal(libc.epoll_ctl(epoll, abi.EPOLL_CTL_ADD, socket, event), 0);
  const failures: readonly [string, () => number, string][] = [
    ['open', () => libc.open('/no/such/file', abi.O_RDONLY), 'ENOENT'],
    ['open', () => libc.open('/dev/null/x', abi.O_RDONLY), 'ENOTDIR'],
    ['open', () => libc.open(`/${'x'.repeat(5000)}`, abi.O_RDONLY), 'ENAMETOOLONG'],
    ['socket', () => libc.socket(12345, abi.SOCK_STREAM, 0), 'EAFNOSUPPORT'],
    ['socket', () => libc.socket(abi.AF_INET, abi.SOCK_STREAM, 17), 'EPROTONOSUPPORT'],
    ['listen', () => libc.listen(file, 1), 'ENOTSOCK'],
    ['accept4', () => libc.accept4(socket, null, null, 0), 'EINVAL'],
    ['accept4', () => libc.accept4(socket, null, null, 1), 'EINVAL'],
    ['bind', () => libc.bind(socket, foreign, 16), 'EADDRNOTAVAIL'],
    ['bind', () => libc.bind(socket, foreign, 4), 'EINVAL'],
    ['recv', () => libc.recv(socket, new Uint8Array(1), 0, 1, 0), 'ENOTCONN'],
    ['send', () => libc.send(socket, new Uint8Array(1), 0, 1, abi.MSG_NOSIGNAL), 'EPIPE'],
    ['shutdown', () => libc.shutdown(other, abi.SHUT_RD), 'ENOTCONN'],
    ['shutdown', () => libc.shutdown(socket, 17), 'EINVAL'],
    ['getpeername', () => libc.getpeername(socket, new Uint8Array(16), Int32Array.of(16)), 'ENOTCONN'],
    ['getsockopt', () => libc.getsockopt(socket, 1, 9999, new Uint8Array(4), Int32Array.of(4)), 'ENOPROTOOPT'],
    ['setsockopt', () => libc.setsockopt(socket, 9999, 1, new Uint8Array(4), 4), 'ENOPROTOOPT'],
    ['setsockopt_fprog', () => libc.setsockopt_fprog(socket, abi.SO_ATTACH_FILTER, new Uint8Array(8), 0), 'EINVAL'],
    ['setsockopt_fprog', () => libc.setsockopt_fprog(file, abi.SO_ATTACH_FILTER, new Uint8Array(8), 8), 'ENOTSOCK'],
    ['epoll_create1', () => libc.epoll_create1(1), 'EINVAL'],
    ['epoll_ctl', () => libc.epoll_ctl(epoll, abi.EPOLL_CTL_ADD, socket, event), 'EEXIST'],
    ['epoll_ctl', () => libc.epoll_ctl(epoll, abi.EPOLL_CTL_DEL, epoll, event), 'EINVAL'],
    ['epoll_ctl', () => libc.epoll_ctl(epoll, abi.EPOLL_CTL_ADD, file, event), 'EPERM'],
    ['epoll_wait', () => libc.epoll_wait(socket, event, 1, 0), 'EINVAL'],
    ['getrlimit', () => libc.getrlimit(9999, new Uint8Array(abi.RLIMIT_SIZE)), 'EINVAL'],
    ['setrlimit', () => libc.setrlimit(9999, new Uint8Array(abi.RLIMIT_SIZE)), 'EINVAL'],
    ['if_nametoindex', () => libc.if_nametoindex('no such one'), 'ENODEV'],
    ['write', () => libc.write(file, new Uint8Array(1), 0, 1), 'EBADF'], // it is open for reading
    ['ioctl', () => libc.ioctl(file, abi.TUNSETIFF, new Uint8Array(abi.IFREQ_SIZE)), 'ENOTTY'],
    ['openat2', () => libc.openat2(file, 'x', abi.O_RDONLY, abi.RESOLVE_BENEATH), 'ENOTDIR'],
    ['pread', () => libc.pread(socket, new Uint8Array(1), 0, 1, 0), 'ESPIPE'],
    ['sendfile', () => libc.sendfile(epoll, file, 0, 1), 'EINVAL'],
    ['close', () => libc.close(-1), 'EBADF'],
  ];
  const { errno } = (await import('node:os')).constants;
  for (let round = 0; round < 3; round++) {
    for (const [name, fail, code] of failures) {
      t.equal(fail(), -(errno as Record<string, number>)[code]!, `${name}: ${code}`);
      libc.getrlimit(abi.RLIMIT_NOFILE, new Uint8Array(abi.RLIMIT_SIZE)); // succeeds, and leaves errno alone
    }
  }
  for (const fd of [file, socket, other, epoll]) libc.close(fd);
});

t.test('the first interface is the loopback', async (t) => {
  t.equal(libc.if_nametoindex('lo'), 1);
});

/** Two connected Unix sockets, by nothing but system calls. */
function connectedPair(): [number, number] {
  const name = new Uint8Array(abi.SOCKADDR_UN_SIZE);
  const length = Int32Array.of(name.byteLength);
  const listener = libc.socket(abi.AF_UNIX, abi.SOCK_STREAM | abi.SOCK_CLOEXEC, 0);
  libc.bind(listener, Uint8Array.of(abi.AF_UNIX, 0), 2); // no name: the kernel makes up an abstract one, unix(7)
  libc.getsockname(listener, name, length);
  libc.listen(listener, 1);
  const client = libc.socket(abi.AF_UNIX, abi.SOCK_STREAM | abi.SOCK_CLOEXEC, 0);
  libc.connect(client, name, length[0] as number);
  const server = libc.accept4(listener, null, null, abi.SOCK_CLOEXEC);
  libc.close(listener);
  if (client < 0 || server < 0) throw new Error(`no pair: ${client} ${server}`);
  return [client, server];
}

/** Bytes in untouched memory. More than one kind, because any byte may be what the kernel writes. */
const POISONS = [0xa5, 0x5a, 0xee];

/** Which stretches of the memory an action writes to: [first, last] of each. It is tried on every poison. */
function touchedBy(memory: ArrayBufferLike, action: () => void): [number, number][] {
  const bytes = new Uint8Array(memory);
  const isTouched = new Array<boolean>(bytes.length).fill(false);
  for (const poison of POISONS) {
    bytes.fill(poison);
    action();
    for (const [i, byte] of bytes.entries()) if (byte !== poison) isTouched[i] = true;
  }
  const stretches: [number, number][] = [];
  for (const [i, touched] of isTouched.entries()) {
    const last = stretches[stretches.length - 1];
    if (touched && last?.[1] === i - 1) last[1] = i;
    else if (touched) stretches.push([i, i]);
  }
  return stretches;
}

t.test('recv writes into its range and nowhere else', async (t) => {
  const [ours, theirs] = connectedPair();
  t.teardown(() => [ours, theirs].map((fd) => libc.close(fd)));
  const flood = new Uint8Array(512).fill(1);
  const cases: readonly [start: number, size: number, offset: number, length: number][] = [
    [0, 512, 0, 512],
    [100, 50, 0, 50],
    [100, 50, 0, 1],
    [100, 50, 10, 5],
    [100, 50, 49, 1],
    [101, 51, 17, 33],
    [511, 1, 0, 1],
    [3, 9, 7, 2],
  ];
  for (const shared of [false, true]) {
    for (const [start, size, offset, length] of cases) {
      const memory = shared ? new SharedArrayBuffer(512) : new ArrayBuffer(512);
      const view = new Uint8Array(memory, start, size);
      const stretches = touchedBy(memory, () => {
        t.equal(libc.send(theirs, flood, 0, flood.byteLength, abi.MSG_NOSIGNAL), flood.byteLength);
        t.equal(libc.recv(ours, view, offset, length, 0), length);
        for (let rest = flood.byteLength - length; rest > 0; ) {
          rest -= libc.recv(ours, new Uint8Array(512), 0, rest, 0);
        }
      });
      const [first, last] = [start + offset, start + offset + length - 1];
      t.same(stretches, [[first, last]], `offset ${offset}, length ${length} of a view at ${start}`);
    }
  }
});

t.test('a length of 0 touches nothing, at any offset up to the end', async (t) => {
  const [ours, theirs] = connectedPair();
  t.teardown(() => [ours, theirs].map((fd) => libc.close(fd)));
  libc.send(theirs, Uint8Array.of(1, 2, 3), 0, 3, abi.MSG_NOSIGNAL);
  const memory = new ArrayBuffer(64);
  const view = new Uint8Array(memory, 16, 8);
  const stretches = touchedBy(memory, () => {
    for (const offset of [0, 4, 8]) t.equal(libc.recv(ours, view, offset, 0, 0), 0);
    t.throws(() => libc.recv(ours, view, 9, 0, 0), RangeError);
  });
  t.same(stretches, []);
  t.equal(libc.recv(ours, new Uint8Array(0), 0, 0, 0), 0, 'a buffer without bytes');
});

t.test('send reads its range and nothing else', async (t) => {
  const [ours, theirs] = connectedPair();
  t.teardown(() => [ours, theirs].map((fd) => libc.close(fd)));
  const memory = Uint8Array.from({ length: 256 }, (_, i) => i).buffer;
  const received = new Uint8Array(256);
  for (const [start, size, offset, length] of [
    [0, 256, 0, 256],
    [10, 100, 0, 100],
    [10, 100, 20, 30],
    [200, 56, 55, 1],
  ] as const) {
    t.equal(libc.send(ours, new Uint8Array(memory, start, size), offset, length, abi.MSG_NOSIGNAL), length);
    t.equal(libc.recv(theirs, received, 0, 256, 0), length);
    const first = start + offset;
    t.same(received.subarray(0, length), new Uint8Array(memory).subarray(first, first + length));
  }
});

t.test('small arrays, which V8 keeps on its moving heap, get their bytes at every offset', async (t) => {
  const [ours, theirs] = connectedPair();
  t.teardown(() => [ours, theirs].map((fd) => libc.close(fd)));
  for (let round = 0; round < 2000; round++) {
    // Fresh arrays each time: once an array's memory has been asked for, it has moved off the heap.
    const offset = round % 9;
    const outgoing = Uint8Array.of(9, 9, 9, 9, 9, 9, 9, 9, round & 0xff, round >>> 8, 9, 9);
    const incoming = new Uint8Array(16);
    const sent = libc.send(ours, outgoing, 8, 2, abi.MSG_NOSIGNAL);
    const length = libc.recv(theirs, incoming, offset, 2, 0);
    const expected = new Uint8Array(16);
    expected.set([round & 0xff, round >>> 8], offset);
    if (sent === 2 && length === 2 && Buffer.compare(incoming, expected) === 0) continue;
    t.same(incoming, expected, `round ${round}`);
    return;
  }
  t.pass('2000 rounds');
});

t.test('the kernel writes through the other pointers only within the given length', async (t) => {
  const listener = libc.socket(abi.AF_INET, abi.SOCK_STREAM | abi.SOCK_CLOEXEC, 0);
  const epoll = libc.epoll_create1(abi.EPOLL_CLOEXEC);
  const receiver = libc.socket(abi.AF_INET, abi.SOCK_DGRAM | abi.SOCK_CLOEXEC, 0);
  const opened = [listener, epoll, receiver];
  const loopback = Uint8Array.of(abi.AF_INET, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0);
  const nameOf = (fd: number) => {
    const name = new Uint8Array(16);
    libc.getsockname(fd, name, Int32Array.of(16));
    return name;
  };
  libc.bind(listener, loopback, 16);
  libc.listen(listener, 1);
  libc.bind(receiver, loopback, 16);
  const memory = new ArrayBuffer(64);
  const view = new Uint8Array(memory, 16, 32);
  const connect = () => {
    const client = libc.socket(abi.AF_INET, abi.SOCK_STREAM | abi.SOCK_CLOEXEC, 0);
    opened.push(client);
    t.equal(libc.connect(client, nameOf(listener), 16), 0);
    return client;
  };
  const client = connect();
  const writers: readonly [string, (room: Int32Array) => number][] = [
    ['getsockname', (room) => libc.getsockname(listener, view, room)],
    ['getpeername', (room) => libc.getpeername(client, view, room)],
    [
      'accept4',
      (room) => {
        const fd = libc.accept4(listener, view, room, abi.SOCK_CLOEXEC);
        opened.push(fd);
        connect();
        return fd;
      },
    ],
    [
      'recvfrom',
      (room) => {
        libc.sendto(receiver, Uint8Array.of(1), 0, 1, abi.MSG_NOSIGNAL, nameOf(receiver), 16);
        return libc.recvfrom(receiver, new Uint8Array(1), 0, 1, 0, view, room);
      },
    ],
  ];
  for (const [name, write] of writers) {
    for (const room of [0, 1, 7, 16, 32]) {
      const stretches = touchedBy(memory, () => {
        const length = Int32Array.of(room);
        t.ok(write(length) >= 0, name);
        t.equal(length[0], 16, 'and says how much it had');
      });
      const written = Math.min(room, 16);
      t.same(stretches, written === 0 ? [] : [[16, 16 + written - 1]], `${name} with room for ${room}`);
    }
  }

  const optionLength = Int32Array.of(2);
  const readType = () => t.equal(libc.getsockopt(listener, abi.SOL_SOCKET, abi.SO_TYPE, view, optionLength), 0);
  t.same(touchedBy(memory, readType), [[16, 17]], 'getsockopt');
  t.equal(optionLength[0], 2);

  const readLimit = () => t.equal(libc.getrlimit(abi.RLIMIT_NOFILE, view), 0);
  t.same(touchedBy(memory, readLimit), [[16, 31]], 'getrlimit');

  const change = new Int32Array(abi.EPOLL_EVENT_WORDS);
  for (const fd of [listener, receiver]) {
    change[0] = abi.EPOLLIN;
    change[abi.EPOLL_EVENT_DATA_WORD] = fd;
    t.equal(libc.epoll_ctl(epoll, abi.EPOLL_CTL_ADD, fd, change), 0);
  }
  libc.sendto(receiver, Uint8Array.of(1), 0, 1, abi.MSG_NOSIGNAL, nameOf(receiver), 16);
  const events = new Int32Array(memory, 16, 2 * abi.EPOLL_EVENT_WORDS);
  const eventBytes = 4 * abi.EPOLL_EVENT_WORDS;
  const isBeyond = ([, last]: [number, number], size: number) => last >= 16 + size;
  const waitForOne = () => t.equal(libc.epoll_wait(epoll, events, 1, 0), 1, 'two are ready, one was asked for');
  t.notOk(touchedBy(memory, waitForOne).some((stretch) => isBeyond(stretch, eventBytes)));
  t.equal(libc.epoll_wait(epoll, events, 2, 0), 2);

  // struct pollfd: the last two of its eight bytes are the answer.
  const pollOne = () => {
    new DataView(memory).setInt32(16, listener, true);
    new DataView(memory).setInt16(20, abi.POLLIN, true);
    t.equal(libc.poll(view, 1, 0), 1);
    t.equal(new DataView(memory).getInt16(22, true), abi.POLLIN);
  };
  t.notOk(touchedBy(memory, pollOne).some((stretch) => isBeyond(stretch, abi.POLLFD_SIZE)));

  for (const fd of opened) t.equal(libc.close(fd), 0);
});

t.test('each thread has its own errno', async (t) => {
  // The worker fails with ENOENT all the time and the main thread with EBADF; neither may ever see the other's.
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads');
     import('${new URL('kernel/libc.js', LIBRARY).href}').then(({ libc }) => {
       const seen = new Set();
       const stop = new Promise((resolve) => parentPort.once('message', resolve));
       parentPort.postMessage('ready');
       let isStopped = false;
       void stop.then(() => { isStopped = true; });
       const round = () => {
         for (let i = 0; i < 1000; i++) seen.add(libc.open('/no/such/file', 0));
         if (!isStopped) setImmediate(round);
         else { parentPort.postMessage([...seen]); }
       };
       round();
     });`,
    { eval: true },
  );
  const message = () => new Promise((resolve) => worker.once('message', resolve));
  t.equal(await message(), 'ready');
  const seen = new Set<number>();
  for (let i = 0; i < 50_000; i++) seen.add(libc.recv(-1, new Uint8Array(1), 0, 1, 0));
  worker.postMessage('stop');
  t.same(await message(), [-2], 'the worker saw nothing but ENOENT');
  t.same([...seen], [-abi.EBADF], 'the main thread saw nothing but EBADF');
  await worker.terminate();
});
