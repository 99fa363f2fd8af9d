/**
 * break-out: a program that tries to make every system call read or write outside of its buffers.
 *
 * Each call gets a buffer in the middle of memory full of guard bytes, and the kernel has always more to say than there is
 * room for. Then the buffer lies about its size in every way that JavaScript knows, and the numbers beside it do, too. After
 * each attempt the guards are looked at, and what arrived at the other end. Where an attempt succeeds this process may
 * not survive it, so ffi-edge.test.ts runs it as a child. It writes a line when a group of attempts begins, so that a
 * crash says where, and a line of JSON when it has ended.
 */

import { writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import * as abi from '../../../simplenet/kernel/abi.ts';
import { libc } from '../../../simplenet/kernel/libc.ts';

/** What became of a group of attempts. */
export interface Outcome {
  readonly group: string;
  readonly attempts: number;
  readonly refused: number;
  /** Attempts after which a guard was touched, or had been read. */
  readonly broken: readonly string[];
}

const GUARD = 0xa5;
const MEMORY = 4_096;
/** Where the buffer lies in there, and its true size. */
const AT = 1_024;
const SIZE = 24;
/** What it is said to be. */
const CLAIM = 96;
/** What the kernel has to say: more than that. */
const PLENTY = new Uint8Array(256).fill(1);

const memory = new ArrayBuffer(MEMORY);
const guards = new Uint8Array(memory);

function mustSucceed(result: number, what: string): number {
  if (result < 0) throw new Error(`${what} answered ${result}`);
  return result;
}

/** A struct sockaddr_un with an abstract name of the greatest length. */
function longName(label: string): Uint8Array {
  const name = Buffer.alloc(abi.SOCKADDR_UN_SIZE, 'n');
  name.writeUInt16LE(abi.AF_UNIX, 0);
  name.write(`\0simplenet-${process.pid}-${label}-`, abi.SOCKADDR_UN_PATH);
  return name;
}

function open(domain: number, type: number, name: Uint8Array | null): number {
  const fd = mustSucceed(libc.socket(domain, type | abi.SOCK_CLOEXEC | abi.SOCK_NONBLOCK, 0), 'socket');
  if (name !== null) mustSucceed(libc.bind(fd, name, name.byteLength), 'bind');
  return fd;
}

const listener = open(abi.AF_UNIX, abi.SOCK_STREAM, longName('listener'));
mustSucceed(libc.listen(listener, 16), 'listen');

function connectOne(label: string): number {
  const client = open(abi.AF_UNIX, abi.SOCK_STREAM, longName(label));
  mustSucceed(libc.connect(client, longName('listener'), abi.SOCKADDR_UN_SIZE), 'connect');
  return client;
}

const theirs = connectOne('client');
const ours = mustSucceed(libc.accept4(listener, null, null, abi.SOCK_NONBLOCK | abi.SOCK_CLOEXEC), 'accept4');
const receiver = open(abi.AF_UNIX, abi.SOCK_DGRAM, longName('receiver'));
const sender = open(abi.AF_UNIX, abi.SOCK_DGRAM, longName('sender'));
/** A file that always has more. */
const zeros = mustSucceed(libc.open('/dev/zero', abi.O_RDONLY | abi.O_CLOEXEC), 'open');
const tcp = open(abi.AF_INET, abi.SOCK_STREAM, null);
const epoll = mustSucceed(libc.epoll_create1(abi.EPOLL_CLOEXEC), 'epoll_create1');
for (let i = 0; i < 16; i++) {
  const event = Int32Array.from({ length: abi.EPOLL_EVENT_WORDS }, () => abi.EPOLLOUT);
  const fd = open(abi.AF_UNIX, abi.SOCK_DGRAM, null);
  mustSucceed(libc.epoll_ctl(epoll, abi.EPOLL_CTL_ADD, fd, event), 'epoll_ctl');
}

/** What a peer has received. Empties it. */
function arrived(fd: number): Uint8Array {
  const bytes = new Uint8Array(MEMORY);
  let length = 0;
  for (;;) {
    const more = libc.recv(fd, bytes, length, bytes.length - length, abi.MSG_DONTWAIT);
    if (more <= 0) return bytes.subarray(0, length);
    length += more;
  }
}

/** A call with one buffer under attack, of which it is to use `length` bytes from `offset` on. */
interface Edge {
  /** How the buffer is counted. */
  readonly unit: 'bytes' | 'words';
  /** Whether the call takes an offset. */
  readonly hasOffset?: true;
  /** How many bytes it uses at least, whatever it is told. */
  readonly least?: number;
  call(buffer: Uint8Array, offset: number, length: number): number;
  /** Bytes that have left through it. */
  leak?(): Uint8Array;
}

const cellOf = (length: number) => Int32Array.of(length);
const asEvents = (buffer: Uint8Array) => buffer as unknown as Int32Array;
const eventBytes = 4 * abi.EPOLL_EVENT_WORDS;

const edges: Readonly<Record<string, Edge>> = {
  recv: {
    unit: 'bytes',
    hasOffset: true,
    call(buffer, offset, length) {
      libc.send(theirs, PLENTY, 0, PLENTY.length, abi.MSG_NOSIGNAL);
      try {
        return libc.recv(ours, buffer, offset, length, 0);
      } finally {
        arrived(ours);
      }
    },
  },
  'recvfrom, the bytes': {
    unit: 'bytes',
    hasOffset: true,
    call(buffer, offset, length) {
      libc.sendto(sender, PLENTY, 0, PLENTY.length, abi.MSG_NOSIGNAL, longName('receiver'), abi.SOCKADDR_UN_SIZE);
      try {
        return libc.recvfrom(receiver, buffer, offset, length, abi.MSG_TRUNC, new Uint8Array(16), cellOf(16));
      } finally {
        arrived(receiver);
      }
    },
  },
  'recvfrom, the address': {
    unit: 'bytes',
    call(buffer, _offset, length) {
      libc.sendto(sender, PLENTY, 0, PLENTY.length, abi.MSG_NOSIGNAL, longName('receiver'), abi.SOCKADDR_UN_SIZE);
      try {
        return libc.recvfrom(receiver, new Uint8Array(16), 0, 16, 0, buffer, cellOf(length));
      } finally {
        arrived(receiver);
      }
    },
  },
  accept4: {
    unit: 'bytes',
    call(buffer, _offset, length) {
      const client = connectOne('another');
      let fd = -1;
      try {
        fd = libc.accept4(listener, buffer, cellOf(length), abi.SOCK_CLOEXEC);
        return fd;
      } finally {
        if (fd < 0) fd = libc.accept4(listener, null, null, abi.SOCK_CLOEXEC);
        libc.close(fd);
        libc.close(client);
      }
    },
  },
  getsockname: {
    unit: 'bytes',
    call: (buffer, _offset, length) => libc.getsockname(listener, buffer, cellOf(length)),
  },
  getpeername: { unit: 'bytes', call: (buffer, _offset, length) => libc.getpeername(ours, buffer, cellOf(length)) },
  getsockopt: {
    unit: 'bytes',
    call: (buffer, _offset, length) => libc.getsockopt(tcp, abi.IPPROTO_TCP, TCP_INFO, buffer, cellOf(length)),
  },
  getrlimit: { unit: 'bytes', least: abi.RLIMIT_SIZE, call: (buffer) => libc.getrlimit(abi.RLIMIT_NOFILE, buffer) },
  poll: {
    unit: 'bytes',
    // Descriptors that are not open are reported as such, which is 2 of 8 bytes that are written.
    call: (buffer, _offset, length) => libc.poll(buffer, length / abi.POLLFD_SIZE, 0),
  },
  epoll_wait: {
    unit: 'words',
    call: (buffer, _offset, length) => libc.epoll_wait(epoll, asEvents(buffer), Math.trunc(length / eventBytes), 0),
  },
  send: {
    unit: 'bytes',
    hasOffset: true,
    call: (buffer, offset, length) => libc.send(ours, buffer, offset, length, abi.MSG_NOSIGNAL),
    leak: () => arrived(theirs),
  },
  'sendto, the bytes': {
    unit: 'bytes',
    hasOffset: true,
    call(buffer, offset, length) {
      const to = longName('receiver');
      return libc.sendto(sender, buffer, offset, length, abi.MSG_NOSIGNAL, to, to.byteLength);
    },
    leak: () => arrived(receiver),
  },
  'sendto, the address': {
    unit: 'bytes',
    call: (buffer, _offset, length) => libc.sendto(sender, PLENTY, 0, 1, abi.MSG_NOSIGNAL, buffer, length),
  },
  bind: {
    unit: 'bytes',
    call(buffer, _offset, length) {
      bound = open(abi.AF_UNIX, abi.SOCK_STREAM, null);
      return libc.bind(bound, buffer, length);
    },
    leak() {
      const name = new Uint8Array(abi.SOCKADDR_UN_SIZE);
      const size = cellOf(name.length);
      libc.getsockname(bound, name, size);
      libc.close(bound);
      return name.subarray(0, size[0]);
    },
  },
  connect: {
    unit: 'bytes',
    call(buffer, _offset, length) {
      const fd = open(abi.AF_UNIX, abi.SOCK_STREAM, null);
      const result = tried(() => libc.connect(fd, buffer, length));
      libc.close(fd);
      return result();
    },
  },
  read: {
    unit: 'bytes',
    hasOffset: true,
    call(buffer, offset, length) {
      libc.send(theirs, PLENTY, 0, PLENTY.length, abi.MSG_NOSIGNAL);
      try {
        return libc.read(ours, buffer, offset, length);
      } finally {
        arrived(ours);
      }
    },
  },
  write: {
    unit: 'bytes',
    hasOffset: true,
    call: (buffer, offset, length) => libc.write(ours, buffer, offset, length),
    leak: () => arrived(theirs),
  },
  pread: {
    unit: 'bytes',
    hasOffset: true,
    call: (buffer, offset, length) => libc.pread(zeros, buffer, offset, length, 0),
  },
  setsockopt: {
    unit: 'bytes',
    // What this option is set to can be asked for again: the name of an algorithm, of which there is none like that.
    call: (buffer, _offset, length) => libc.setsockopt(tcp, abi.IPPROTO_TCP, TCP_CONGESTION, buffer, length),
  },
  setsockopt_fprog: {
    unit: 'bytes',
    call: (buffer, _offset, length) => libc.setsockopt_fprog(tcp, abi.SO_ATTACH_FILTER, buffer, length),
  },
  epoll_ctl: {
    unit: 'words',
    least: eventBytes,
    call(buffer) {
      const fd = open(abi.AF_UNIX, abi.SOCK_DGRAM, null);
      const result = tried(() => libc.epoll_ctl(epoll, abi.EPOLL_CTL_ADD, fd, asEvents(buffer)));
      libc.close(fd);
      return result();
    },
  },
  setrlimit: {
    unit: 'bytes',
    least: abi.RLIMIT_SIZE,
    call: (buffer) => libc.setrlimit(9_999, buffer), // no such resource: this process is to live on
  },
};

const TCP_INFO = 11;
const TCP_CONGESTION = 13;
let bound = -1;

/** Runs it now, and answers or throws later. */
function tried(action: () => number): () => number {
  try {
    const result = action();
    return () => result;
  } catch (error) {
    return () => {
      throw error;
    };
  }
}

/** Buffers of `SIZE` bytes, or none, that say that they have `CLAIM`. */
type Disguise = (unit: Edge['unit']) => object;

const typeOf = (unit: Edge['unit']) => (unit === 'bytes' ? Uint8Array : Int32Array);
const countOf = (unit: Edge['unit'], bytes: number) => (unit === 'bytes' ? bytes : bytes / 4);

/** A view of the memory. */
function honest(unit: Edge['unit'], size: number, buffer: ArrayBufferLike = memory, at = AT): Uint8Array {
  return unit === 'bytes'
    ? new Uint8Array(buffer, at, size)
    : (new Int32Array(buffer, at, size / 4) as unknown as Uint8Array);
}

/** A prototype whose instances pass `instanceof`, and say what they like. */
function lyingPrototype(unit: Edge['unit']): object {
  return Object.create(typeOf(unit).prototype, {
    byteLength: { value: CLAIM },
    length: { value: countOf(unit, CLAIM) },
    byteOffset: { value: 0 },
    buffer: { value: memory },
    subarray: { value: () => honest(unit, 4) },
  }) as object;
}

/** Extends the class, which one of the two it is TypeScript need not know. */
const baseOf = (unit: Edge['unit']) => typeOf(unit) as Uint8ArrayConstructor;

const disguises: Readonly<Record<string, Disguise>> = {
  'shorter than said': (unit) => honest(unit, SIZE),
  'at the end of its memory': (unit) => honest(unit, SIZE, memory, MEMORY - SIZE),
  empty: (unit) => honest(unit, 0),
  'with a property byteLength': (unit) =>
    Object.defineProperties(honest(unit, SIZE), {
      byteLength: { value: CLAIM },
      length: { value: countOf(unit, CLAIM) },
    }),
  'of a subclass with getters': (unit) => {
    class Lying extends baseOf(unit) {
      override get byteLength() {
        return CLAIM as never;
      }
      override get length() {
        return countOf(unit, CLAIM) as never;
      }
    }
    return new Lying(memory, AT, countOf(unit, SIZE));
  },
  'whose getters answer more each time': (unit) => {
    let asked = 0;
    const growing = { get: () => (asked++ === 0 ? SIZE : CLAIM) };
    return Object.defineProperties(honest(unit, SIZE), { byteLength: growing, length: growing });
  },
  'that says that it lies elsewhere': (unit) =>
    Object.defineProperties(honest(unit, SIZE), {
      buffer: { value: new ArrayBuffer(8) },
      byteOffset: { value: 0 },
      byteLength: { value: CLAIM },
    }),
  'whose subarray is another': (unit) =>
    Object.defineProperty(honest(unit, SIZE), 'subarray', { value: () => honest('bytes', 1, memory, AT + SIZE - 1) }),
  'of a subclass with a species': (unit) => {
    class Lying extends baseOf(unit) {
      static get [Symbol.species]() {
        return function short() {
          return honest('bytes', 1, memory, AT + SIZE - 1);
        } as unknown as Uint8ArrayConstructor;
      }
    }
    return new Lying(memory, AT, countOf(unit, SIZE));
  },
  'behind a Proxy': (unit) => {
    const target = honest(unit, SIZE);
    const lies: Record<PropertyKey, unknown> = { byteLength: CLAIM, length: countOf(unit, CLAIM) };
    return new Proxy(target, { get: (_, key) => lies[key] ?? Reflect.get(target, key, target) });
  },
  'that is a plain object': (unit) => Object.create(lyingPrototype(unit)) as object,
  'that is a list': (unit) => Object.setPrototypeOf([1, 2, 3], lyingPrototype(unit)) as object,
  'that is an ArrayBuffer': (unit) => Object.setPrototypeOf(new ArrayBuffer(8), lyingPrototype(unit)) as object,
  'that is a SharedArrayBuffer': (unit) =>
    Object.setPrototypeOf(new SharedArrayBuffer(8), lyingPrototype(unit)) as object,
  'that is a DataView': (unit) => Object.setPrototypeOf(new DataView(memory, AT, SIZE), lyingPrototype(unit)) as object,
  'that is a function': (unit) => Object.setPrototypeOf(() => {}, lyingPrototype(unit)) as object,
  'of bytes that pass for words': (unit) =>
    Object.setPrototypeOf(new Uint8Array(memory, AT, SIZE), typeOf(unit).prototype) as object,
  'of floats': (unit) =>
    Object.setPrototypeOf(new Float64Array(memory, AT, SIZE / 8), typeOf(unit).prototype) as object,
  detached: (unit) => {
    const buffer = new ArrayBuffer(CLAIM);
    const view = honest(unit, CLAIM, buffer, 0);
    structuredClone(buffer, { transfer: [buffer] });
    return view;
  },
  'detached, which it denies': (unit) => {
    const buffer = new ArrayBuffer(CLAIM);
    const view = honest(unit, CLAIM, buffer, 0);
    structuredClone(buffer, { transfer: [buffer] });
    return Object.defineProperties(view, { byteLength: { value: CLAIM }, length: { value: countOf(unit, CLAIM) } });
  },
  'whose memory has shrunk': (unit) => shrunk(unit, 0, undefined),
  'whose memory has shrunk before its beginning': (unit) => shrunk(unit, 64, CLAIM),
  'whose memory has shrunk below its end': (unit) => shrunk(unit, 0, CLAIM),
};

/** ArrayBuffer of ECMAScript 2024, which the types here do not know. */
type Resizable = ArrayBuffer & { resize(byteLength: number): void };

function shrunk(unit: Edge['unit'], at: number, size: number | undefined): object {
  const AnyBuffer = ArrayBuffer as unknown as new (byteLength: number, options: object) => Resizable;
  const buffer = new AnyBuffer(4 * CLAIM, { maxByteLength: 4 * CLAIM });
  const view = size === undefined ? new (baseOf(unit))(buffer) : honest(unit, size, buffer, at);
  buffer.resize(8);
  return view;
}

/** Which bytes outside of the buffer are no guards any more. */
function touchedGuards(): string | null {
  for (let i = 0; i < MEMORY; i++) {
    const isInside = (i >= AT && i < AT + SIZE) || i >= MEMORY - SIZE;
    if (!isInside && guards[i] !== GUARD) return `byte ${i - AT} of a buffer of ${SIZE} was written`;
  }
  return null;
}

function reset(): void {
  guards.fill(GUARD);
  for (const at of [AT, MEMORY - SIZE]) {
    guards.fill(7, at, at + SIZE);
    guards.set([abi.AF_UNIX, 0, 0], at); // for bind and connect: a name, and the longer the more of the guards it holds
  }
}

function runGroup(
  group: string,
  attempts: Iterable<readonly [what: string, attempt: () => unknown, edge: Edge | null]>,
) {
  writeSync(1, `${group}\n`);
  let count = 0;
  let refused = 0;
  const broken: string[] = [];
  for (const [what, attempt, edge] of attempts) {
    reset();
    count++;
    try {
      attempt();
    } catch {
      refused++;
    }
    const written = touchedGuards();
    if (written !== null) broken.push(`${what}: ${written}`);
    if (edge?.leak?.().includes(GUARD)) broken.push(`${what}: guards were sent`);
  }
  const outcome: Outcome = { group, attempts: count, refused, broken };
  writeSync(1, `${JSON.stringify(outcome)}\n`);
}

/**
 * These attempts must be able to succeed, or that others fail says nothing: an honest buffer, so large that it covers the
 * guards, is written to or sent. Where neither can be seen, the call is at least refused for what is no buffer.
 */
function lookAtHonestBuffers(): void {
  const broken: string[] = [];
  for (const [name, edge] of Object.entries(edges)) {
    reset();
    tried(() => edge.call(honest(edge.unit, CLAIM), 0, CLAIM));
    const isSeen = touchedGuards() !== null || edge.leak?.().includes(GUARD) === true;
    if (isSeen === UNSEEN.includes(name)) broken.push(name);
  }
  const outcome: Outcome = { group: 'honest buffers are written to and read', attempts: 0, refused: 0, broken };
  writeSync(1, `${JSON.stringify(outcome)}\n`);
}

/** What they read shows nowhere, or is as long as the buffer always is. */
const UNSEEN = [
  'sendto, the address',
  'connect',
  'setsockopt',
  'setsockopt_fprog',
  'epoll_ctl',
  'setrlimit',
  'getrlimit',
];

function* disguisedAttempts(edge: Edge): Generator<readonly [string, () => unknown, Edge]> {
  for (const [what, disguise] of Object.entries(disguises)) {
    const offsets = edge.hasOffset ? [0, 1, SIZE - 1, SIZE, CLAIM - 1] : [0];
    for (const offset of offsets) {
      for (const length of [0, 1, 8, SIZE, SIZE + 8, CLAIM - offset, CLAIM]) {
        const attempt = () => edge.call(disguise(edge.unit) as Uint8Array, offset, length);
        yield [`${what}, ${length} bytes at ${offset}`, attempt, edge];
      }
    }
  }
}

/** One that is small when it is checked, and large when it is used. */
function fickle(): object {
  let asked = 0;
  return { valueOf: () => (asked++ === 0 ? 1 : CLAIM), toString: () => '1', [Symbol.toPrimitive]: undefined };
}

/** One that takes the memory away when it is looked at. */
function thief(buffer: ArrayBuffer): object {
  return {
    valueOf() {
      if (buffer.byteLength > 0) structuredClone(buffer, { transfer: [buffer] });
      return 1;
    },
  };
}

const wicked: readonly unknown[] = [
  ...[0, -0, 1, SIZE - 1, SIZE, SIZE + 1, CLAIM, -1, -8, -SIZE, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, 2 ** 32],
  ...[2 ** 32 + 8, -(2 ** 32), 2 ** 53, 2 ** 64, 1.5, 0.5, -0.5, 1e-300, Number.NaN, Infinity, -Infinity],
  ...['8', '', 'x', null, undefined, true, 8n, 2n ** 64n, [8], [], {}, fickle, Symbol('8'), new Date(8)],
];

const madeAnew = (value: unknown) => (value === fickle ? fickle() : value);

function* numericAttempts(edge: Edge): Generator<readonly [string, () => unknown, Edge]> {
  for (const offset of edge.hasOffset ? wicked : [0]) {
    for (const length of wicked) {
      const attempt = () => edge.call(honest(edge.unit, SIZE), madeAnew(offset) as number, madeAnew(length) as number);
      yield [`${String(length)} at ${String(offset)}`, attempt, edge];
    }
  }
}

function* thievishAttempts(): Generator<readonly [string, () => unknown, null]> {
  for (const [name, edge] of Object.entries(edges)) {
    for (const at of ['offset', 'length']) {
      const buffer = new ArrayBuffer(CLAIM);
      const attempt = () => {
        const stolen = thief(buffer) as unknown as number;
        const view = honest(edge.unit, CLAIM, buffer, 0);
        return at === 'offset' ? edge.call(view, stolen, 8) : edge.call(view, 0, stolen);
      };
      yield [`${name}, ${at}`, attempt, null];
    }
  }
  const buffer = new ArrayBuffer(CLAIM);
  const view = new Uint8Array(buffer);
  yield ['flags', () => libc.recv(ours, view, 0, CLAIM, thief(buffer) as unknown as number), null];
}

type CellCall = (address: Uint8Array, cell: Int32Array) => number;

const cellCalls: Readonly<Record<string, CellCall>> = {
  getsockname: (address, cell) => libc.getsockname(listener, address, cell),
  getpeername: (address, cell) => libc.getpeername(ours, address, cell),
  getsockopt: (value, cell) => libc.getsockopt(tcp, abi.IPPROTO_TCP, TCP_INFO, value, cell),
  recvfrom(address, cell) {
    libc.sendto(sender, PLENTY, 0, 8, abi.MSG_NOSIGNAL, longName('receiver'), abi.SOCKADDR_UN_SIZE);
    const result = tried(() => libc.recvfrom(receiver, new Uint8Array(16), 0, 16, 0, address, cell));
    arrived(receiver);
    return result();
  },
  accept4(address, cell) {
    const client = connectOne('another');
    const result = tried(() => libc.accept4(listener, address, cell, abi.SOCK_CLOEXEC));
    const rest = libc.accept4(listener, null, null, abi.SOCK_CLOEXEC);
    for (const fd of [rest, client]) libc.close(fd);
    const fd = result();
    libc.close(fd);
    return fd;
  },
};

/** Cells that say one thing and are another. The first is honest; some say more than there is. */
const cells: Readonly<Record<string, () => object>> = {
  ...Object.fromEntries(
    [0, 1, SIZE, SIZE + 1, CLAIM, -1, 2 ** 31 - 1, -(2 ** 31)].map((n) => [`${n}`, () => Int32Array.of(n)]),
  ),
  'of one byte before the guards': () => {
    guards[AT + SIZE - 1] = SIZE;
    return Object.setPrototypeOf(new Uint8Array(memory, AT + SIZE - 1, 1), Int32Array.prototype) as object;
  },
  'without memory': () => Object.defineProperty(new Int32Array(0), 'length', { value: 1 }),
  'that is a list': () => Object.setPrototypeOf([SIZE], Int32Array.prototype) as object,
  'that is an object': () =>
    Object.create(Int32Array.prototype, { length: { value: 1 }, 0: { value: SIZE } }) as object,
  'that is fickle': () => {
    let asked = 0;
    const get = (_: object, key: PropertyKey) => (key === '0' ? (asked++ === 0 ? SIZE : CLAIM) : 1);
    return new Proxy(Int32Array.of(SIZE), { get });
  },
  'of a fraction': () => Object.setPrototypeOf(Float64Array.of(1.5), Int32Array.prototype) as object,
  'of NaN': () => Object.setPrototypeOf(Float64Array.of(Number.NaN), Int32Array.prototype) as object,
  'that is detached': () => {
    const cell = Int32Array.of(SIZE);
    structuredClone(cell.buffer, { transfer: [cell.buffer] });
    return cell;
  },
};

function* cellAttempts(): Generator<readonly [string, () => unknown, null]> {
  for (const [name, call] of Object.entries(cellCalls)) {
    for (const [what, cell] of Object.entries(cells)) {
      yield [`${name}, a cell ${what}`, () => call(honest('bytes', SIZE), cell() as Int32Array), null];
    }
  }
}

/** Every option that there may be, on every kind of socket, with counts and addresses in the buffer that are believed. */
function* optionAttempts(): Generator<readonly [string, () => unknown, null]> {
  const group = [239, 1, 2, 3];
  const loopback = [127, 0, 0, 1];
  const udp = open(abi.AF_INET, abi.SOCK_DGRAM, null);
  const IP_ADD_SOURCE_MEMBERSHIP = 39;
  for (let i = 1; i <= 8; i++) {
    const membership = Uint8Array.from([...group, ...loopback, 10, 0, 0, i]);
    libc.setsockopt(udp, abi.IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, membership, membership.length);
  }
  const sockets = [udp, tcp, ours, listener, open(abi.AF_INET6, abi.SOCK_DGRAM, null)];
  const levels = [abi.SOL_SOCKET, abi.IPPROTO_IP, abi.IPPROTO_TCP, abi.IPPROTO_IPV6, 17, 255];
  for (const socket of sockets) {
    for (const level of levels) {
      for (let option = 0; option < 140; option++) {
        for (const room of [4, 16, SIZE]) {
          const attempt = () => {
            const value = honest('bytes', SIZE);
            value.fill(0x7f);
            value.set([...group, ...loopback, 0, 0, 0, 0, 100, 0, 0, 0]); // struct ip_msfilter with 100 sources
            if (libc.getsockopt(socket, level, option, value, cellOf(room)) < 0)
              throw new Error('the kernel knows none');
          };
          yield [`option ${option} of level ${level}, room for ${room}`, attempt, null];
        }
      }
    }
  }
}

/** Options that carry an address are not for us, whatever stands there. */
function* pointerAttempts(): Generator<readonly [string, () => unknown, null]> {
  for (const [level, option] of [
    [abi.SOL_SOCKET, abi.SO_ATTACH_FILTER],
    [abi.SOL_SOCKET, abi.SO_ATTACH_REUSEPORT_CBPF],
    [abi.SOL_SOCKET, abi.SO_ZEROCOPY],
    [abi.IPPROTO_IP, abi.NETFILTER_OPTIONS],
    [abi.IPPROTO_IP, 96],
    [abi.IPPROTO_IP, 128],
    [abi.IPPROTO_IPV6, abi.NETFILTER_OPTIONS],
  ] as const) {
    yield [`${level}, ${option}`, () => libc.setsockopt(tcp, level, option, honest('bytes', 16), 16), null];
  }
}

const RACE_MS = 200;
/** On a busy machine, in however much time they take. */
const LEAST_RACES = 200;

/** Another thread changes the length while the kernel is on its way to read it. */
async function race(): Promise<void> {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(
    `const { workerData: cell, parentPort } = require('node:worker_threads');
     parentPort.postMessage('');
     for (;;) for (let i = 0; i < 1000; i++) { cell[0] = ${CLAIM}; cell[0] = 8; }`,
    { eval: true, workerData: cell },
  );
  await new Promise((resolve) => worker.once('message', resolve));
  const endAt = performance.now() + RACE_MS;
  const attempts = function* () {
    for (let round = 0; round < LEAST_RACES || performance.now() < endAt; round++) {
      for (const [name, call] of Object.entries(cellCalls)) {
        yield [`${name}, a cell that another thread changes`, () => call(honest('bytes', SIZE), cell), null] as const;
      }
    }
  };
  runGroup('a race for the length', attempts());
  await worker.terminate();
}

lookAtHonestBuffers();
for (const [name, edge] of Object.entries(edges)) {
  runGroup(`${name}, disguised`, disguisedAttempts(edge));
  runGroup(`${name}, numbers`, numericAttempts(edge));
}
runGroup('memory that is taken away', thievishAttempts());
runGroup('cells', cellAttempts());
runGroup('options read', optionAttempts());
runGroup('options that hold an address', pointerAttempts());
await race();
