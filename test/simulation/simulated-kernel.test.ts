/**
 * The simulated kernel by itself: its accounts, its faults, its wire, and that the same seed gives the same world.
 *
 * The results of its sockets are compared with Linux in same-as-linux.test.ts and not repeated here.
 *
 * Next: simulated-host.test.ts
 */

import { constants } from 'node:os';
import { type Test, test } from 'tap';
import {
  AF_INET,
  AF_UNIX,
  EAGAIN,
  EBADF,
  ECONNABORTED,
  ECONNRESET,
  EINPROGRESS,
  EINTR,
  EMFILE,
  ENOBUFS,
  EPOLL_CTL_ADD,
  EPOLL_EVENT_DATA_WORD,
  EPOLL_EVENT_WORDS,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  MSG_DONTWAIT,
  O_RDONLY,
  POLLFD_SIZE,
  SHUT_RD,
  SHUT_WR,
  SO_ERROR,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../../simplenet/kernel/abi.ts';
import type { Libc } from '../../simplenet/kernel/libc.ts';
import { encodeSocketAddress, SOCKADDR_MAX_SIZE } from '../../simplenet/kernel/socket-address.ts';
import { ByteQueue } from './byte-queue.ts';
import { epollEvent } from './linux-scenarios.ts';
import { Random } from './random.ts';
import { allFaults, noFaults, type SimulatedFaults } from './simulated-faults.ts';
import { SimulatedKernel, type SimulatedKernelOptions } from './simulated-kernel.ts';

const NONBLOCK = SOCK_NONBLOCK | SOCK_CLOEXEC;
const ADDRESS = encodeSocketAddress({ address: '127.0.0.1', port: 80 });

interface World {
  readonly kernel: SimulatedKernel;
  readonly listener: number;
  readonly client: number;
  readonly server: number;
}

/** A connection made in peace; the faults begin afterwards. */
function connected(options: SimulatedKernelOptions = {}, flags = NONBLOCK): World {
  const kernel = new SimulatedKernel({ ...options, faults: noFaults });
  const { peerLibc } = kernel;
  const listener = peerLibc.socket(AF_INET, SOCK_STREAM | NONBLOCK, 0);
  peerLibc.bind(listener, ADDRESS, ADDRESS.length);
  peerLibc.listen(listener, 16);
  const client = peerLibc.socket(AF_INET, SOCK_STREAM | flags, 0);
  peerLibc.connect(client, ADDRESS, ADDRESS.length);
  const server = peerLibc.accept4(listener, null, null, flags);
  kernel.faults = { ...noFaults, ...options.faults };
  return { kernel, listener, client, server };
}

function sendText(libc: Libc, fd: number, text: string): number {
  return libc.send(fd, Buffer.from(text), 0, Buffer.byteLength(text), 0);
}

function recvText(libc: Libc, fd: number, room = 64): string | number {
  const bytes = Buffer.alloc(room);
  const result = libc.recv(fd, bytes, 0, room, 0);
  return result < 0 ? result : bytes.toString('latin1', 0, result);
}

function eventsOf(kernel: SimulatedKernel, fd: number): number {
  const entry = Buffer.alloc(POLLFD_SIZE);
  entry.writeInt32LE(fd, 0);
  entry.writeInt16LE(EPOLLIN | EPOLLOUT, 4);
  kernel.peerLibc.poll(entry, 1, 0);
  return entry.readInt16LE(6);
}

function takeError(libc: Libc, fd: number): number {
  const value = Buffer.alloc(4);
  libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, value, new Int32Array([4]));
  return value.readInt32LE(0);
}

test('Random repeats itself', (t) => {
  const draw = (seed: number) => {
    const random = new Random(seed);
    return Array.from({ length: 20 }, () => random.below(1000));
  };
  t.same(draw(1), draw(1));
  t.notSame(draw(1), draw(2));
  t.ok(draw(3).every((n) => n >= 0 && n < 1000 && Number.isInteger(n)));
  const random = new Random(7);
  t.equal(random.chance(0), false);
  t.equal(random.chance(1), true);
  const hits = Array.from({ length: 1000 }, () => random.chance(0.25)).filter(Boolean).length;
  t.ok(hits > 180 && hits < 320, `a quarter of 1000 is about ${hits}`);
  t.same([1, 2, 3, 4], random.shuffle([4, 3, 2, 1]).sort());
  t.ok(['a', 'b'].includes(random.pick(['a', 'b'])));
  t.throws(() => random.pick([]), RangeError);
  t.end();
});

test('ByteQueue keeps order and forgets boundaries', (t) => {
  const queue = new ByteQueue();
  const chunk = Buffer.from('abc');
  queue.push(chunk);
  chunk.fill(0);
  queue.push(Buffer.from('defg'));
  queue.push(Buffer.alloc(0));
  t.equal(queue.length, 7);
  const target = Buffer.alloc(5);
  t.equal(queue.peek(target), 5);
  t.equal(target.toString(), 'abcde');
  t.equal(queue.length, 7);
  t.equal(queue.read(target.subarray(0, 4)), 4);
  t.equal(queue.take(100).toString(), 'efg');
  t.equal(queue.take(1).length, 0);
  queue.push(Buffer.from('x'));
  queue.clear();
  t.equal(queue.length, 0);
  t.end();
});

test('descriptors: the lowest free number first', (t) => {
  const { libc, ...kernel } = new SimulatedKernel();
  t.ok(kernel);
  const open = () => libc.open('/dev/null', O_RDONLY);
  t.same([open(), open(), open(), open()], [3, 4, 5, 6]);
  libc.close(5);
  libc.close(3);
  t.equal(libc.socket(AF_INET, SOCK_STREAM, 0), 3);
  t.equal(libc.epoll_create1(0), 5);
  t.equal(open(), 7);
  t.end();
});

test('accounts: each misuse is written down', async (t) => {
  const misuse = (what: string, expected: RegExp, act: (libc: Libc, fd: number) => number | undefined) => {
    t.test(what, (t) => {
      const { kernel, server } = connected();
      t.same(kernel.violations, []);
      const result = act(kernel.libc, server);
      t.equal(kernel.violations.length, 1);
      t.match(kernel.violations[0], expected);
      if (result !== undefined) t.equal(result, -EBADF);
      t.end();
    });
  };
  const bytes = Buffer.alloc(4);
  misuse('close twice', /^close on fd 5, which is not open any more: it was a tcp socket/, (libc, fd) => {
    libc.close(fd);
    return libc.close(fd);
  });
  misuse('recv after close', /^recv on fd 5/, (libc, fd) => {
    libc.close(fd);
    return libc.recv(fd, bytes, 0, 4, 0);
  });
  misuse('a number that never was', /^send on fd 99, which is not open$/, (libc) => libc.send(99, bytes, 0, 4, 0));
  misuse('epoll_ctl on a closed fd', /^epoll_ctl on fd 5/, (libc, fd) => {
    const epoll = libc.epoll_create1(0);
    libc.close(fd);
    return libc.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, epollEvent(EPOLLIN, 0));
  });
  misuse('poll on a closed fd', /^poll on fd 5/, (libc, fd) => {
    libc.close(fd);
    const entry = Buffer.alloc(POLLFD_SIZE);
    entry.writeInt32LE(fd, 0);
    t.equal(libc.poll(entry, 1, 0), 1);
    t.equal(entry.readInt16LE(6), 0x20);
    return undefined;
  });
  const refused = (what: string, expected: RegExp, act: (libc: Libc, fd: number) => number) => {
    misuse(what, expected, (libc, fd) => {
      t.throws(() => act(libc, fd), what);
      return undefined;
    });
  };
  refused('a fraction', /^recv: 5.5 is not/, (libc, fd) => libc.recv(fd + 0.5, bytes, 0, 4, 0));
  refused('too long', /^recv: 1 \+ 4 is outside/, (libc, fd) => libc.recv(fd, bytes, 1, 4, 0));
  refused('a negative offset', /^send: -1 \+ 4 is outside/, (libc, fd) => libc.send(fd, bytes, -1, 4, 0));
  refused('a negative length', /^send: 0 \+ -1 is outside/, (libc, fd) => libc.send(fd, bytes, 0, -1, 0));
  refused('a length of NaN', /^send: NaN is not/, (libc, fd) => libc.send(fd, bytes, 0, Number.NaN, 0));
  refused('no buffer', /must be a Uint8Array/, (libc, fd) => libc.send(fd, 'x' as unknown as Buffer, 0, 1, 0));
  refused('an address cut short', /^bind: 0 \+ 16 is outside/, (libc, fd) => libc.bind(fd, bytes, 16));
  refused('no room for an address', /^getsockname: a length of 16/, (libc, fd) =>
    libc.getsockname(fd, bytes, new Int32Array([16])),
  );
  refused('no room for events', /^epoll_wait: 2 epoll events/, (libc, fd) =>
    libc.epoll_wait(fd, new Int32Array(EPOLL_EVENT_WORDS), 2, 0),
  );
  refused('not even one event', /^epoll_wait: 0 epoll events/, (libc, fd) =>
    libc.epoll_wait(fd, new Int32Array(EPOLL_EVENT_WORDS), 0, 0),
  );
  t.end();
});

test('accounts: -1 is just EBADF', (t) => {
  const kernel = new SimulatedKernel();
  t.equal(kernel.libc.close(-1), -EBADF);
  t.equal(kernel.libc.recv(-1, Buffer.alloc(1), 0, 1, 0), -EBADF);
  t.same(kernel.report(), []);
  t.end();
});

test('accounts: leaks and calls', (t) => {
  const { kernel, listener, client, server } = connected();
  const { libc } = kernel;
  t.match(kernel.openFds(), [
    /^fd 3: tcp socket, listening 127\.0\.0\.1:80$/,
    /^fd 4: tcp socket, connected 127\.0\.0\.1:\d+ <-> 127\.0\.0\.1:80$/,
    /^fd 5: tcp socket, connected 127\.0\.0\.1:80 <-> /,
  ]);
  t.equal(kernel.report().length, 3);
  t.match(kernel.report()[0], /^leaked fd 3/);
  t.equal(kernel.calls.size, 0, 'the calls of the peer are not counted');
  libc.close(listener);
  libc.close(client);
  libc.close(server);
  t.same(kernel.report(), []);
  t.same([...kernel.calls], [['close', 3]]);
  t.end();
});

test('a call that could never return does not hang', (t) => {
  const { kernel, listener, client, server } = connected({}, 0);
  const { libc } = kernel;
  t.throws(() => libc.recv(server, Buffer.alloc(1), 0, 1, 0), /recv would block for ever \(tcp socket, connected/);
  t.throws(() => libc.send(client, Buffer.alloc(100_000), 0, 100_000, 0), /send would block for ever/);
  const epoll = libc.epoll_create1(0);
  t.throws(() => libc.epoll_wait(epoll, new Int32Array(EPOLL_EVENT_WORDS), 1, -1), /epoll_wait would block/);
  libc.fcntl(listener, 4, 0);
  t.throws(() => libc.accept4(listener, null, null, 0), /accept4 would block/);
  t.equal(kernel.violations.length, 4);
  t.equal(libc.recv(server, Buffer.alloc(1), 0, 1, MSG_DONTWAIT), 1, 'what was sent is there');
  t.end();
});

test('a call with a timeout lets the clock run', (t) => {
  const kernel = new SimulatedKernel();
  const epoll = kernel.libc.epoll_create1(0);
  const before = kernel.nowMs;
  t.equal(kernel.libc.epoll_wait(epoll, new Int32Array(EPOLL_EVENT_WORDS), 1, 250), 0);
  t.equal(kernel.nowMs, before + 250);
  t.end();
});

test('blocking calls wait for the wire', (t) => {
  const { kernel, client, server } = connected({ faults: { delayedDelivery: 1 } }, 0);
  const { libc } = kernel;
  t.equal(sendText(libc, client, 'hello'), 5);
  let received = '';
  while (received.length < 5) received += recvText(libc, server);
  t.equal(received, 'hello');
  libc.shutdown(client, SHUT_WR);
  t.equal(recvText(libc, server), '');
  const another = libc.socket(AF_INET, SOCK_STREAM, 0);
  t.equal(libc.connect(another, ADDRESS, ADDRESS.length), 0);
  const refused = libc.socket(AF_INET, SOCK_STREAM, 0);
  const nobody = encodeSocketAddress({ address: '127.0.0.1', port: 81 });
  t.equal(libc.connect(refused, nobody, nobody.length), -constants.errno.ECONNREFUSED);
  t.same(kernel.violations, []);
  t.end();
});

test('addresses without a host, and networks that cannot be reached', (t) => {
  const kernel = new SimulatedKernel();
  const { libc } = kernel;
  const silent = encodeSocketAddress({ address: '192.0.2.1', port: 80 });
  const fd = libc.socket(AF_INET, SOCK_STREAM | NONBLOCK, 0);
  t.equal(libc.connect(fd, silent, silent.length), -EINPROGRESS);
  kernel.deliverAll();
  t.equal(eventsOf(kernel, fd), 0);
  libc.close(fd);
  const blocking = libc.socket(AF_INET, SOCK_STREAM, 0);
  t.throws(() => libc.connect(blocking, silent, silent.length), /would block for ever/);
  const far = encodeSocketAddress({ address: '203.0.113.1', port: 80 });
  const other = libc.socket(AF_INET, SOCK_STREAM, 0);
  t.equal(libc.connect(other, far, far.length), -constants.errno.ENETUNREACH);
  t.end();
});

test('a Unix path outlives its socket until it is unlinked', (t) => {
  const kernel = new SimulatedKernel();
  const { libc } = kernel;
  const path = encodeSocketAddress({ path: '/run/a.sock' });
  const bind = () => {
    const fd = libc.socket(AF_UNIX, SOCK_STREAM | NONBLOCK, 0);
    const result = libc.bind(fd, path, path.length);
    libc.close(fd);
    return result;
  };
  t.equal(bind(), 0);
  t.equal(bind(), -constants.errno.EADDRINUSE);
  const client = libc.socket(AF_UNIX, SOCK_STREAM | NONBLOCK, 0);
  t.equal(libc.connect(client, path, path.length), -constants.errno.ECONNREFUSED);
  t.equal(kernel.unlink('/run/a.sock'), true);
  t.equal(kernel.unlink('/run/a.sock'), false);
  t.equal(libc.connect(client, path, path.length), -constants.errno.ENOENT);
  t.equal(bind(), 0);
  t.end();
});

test('the wire: nothing arrives before it is delivered, then all of it in order', (t) => {
  const { kernel, client, server } = connected({ seed: 3, faults: { delayedDelivery: 1 } });
  const { libc } = kernel;
  const text = Array.from({ length: 500 }, (_, i) => `${i} `).join('');
  t.equal(sendText(libc, client, text), text.length);
  t.equal(libc.shutdown(client, SHUT_WR), 0);
  t.equal(recvText(libc, server), -EAGAIN);
  t.equal(eventsOf(kernel, server), EPOLLOUT);
  let received = '';
  let steps = 0;
  let isEnded = false;
  while (kernel.deliver()) {
    steps++;
    for (;;) {
      const part = recvText(libc, server, 5000);
      if (typeof part === 'number') break;
      isEnded = part === '';
      if (isEnded) break;
      received += part;
    }
  }
  t.equal(received, text);
  t.ok(isEnded);
  t.ok(steps > 2, `${steps} portions`);
  t.same(kernel.violations, []);
  t.end();
});

test('the wire: connect takes time, and the listener is readable at the same moment', (t) => {
  const { kernel, listener } = connected({ faults: { delayedDelivery: 1 } });
  const { libc } = kernel;
  const client = libc.socket(AF_INET, SOCK_STREAM | NONBLOCK, 0);
  t.equal(libc.connect(client, ADDRESS, ADDRESS.length), -EINPROGRESS);
  t.equal(eventsOf(kernel, client), 0);
  t.equal(libc.accept4(listener, null, null, 0), -EAGAIN);
  t.equal(kernel.deliver(), true);
  t.equal(eventsOf(kernel, client), EPOLLOUT);
  t.equal(eventsOf(kernel, listener), EPOLLIN);
  t.equal(kernel.deliver(), false);
  t.end();
});

test('the wire: RST arrives, too, only when it is delivered', (t) => {
  const { kernel, client, server } = connected({ faults: { delayedDelivery: 1 } });
  const { libc } = kernel;
  sendText(libc, client, 'unread');
  kernel.deliverAll();
  libc.close(server);
  t.equal(eventsOf(kernel, client), EPOLLOUT);
  t.equal(sendText(libc, client, 'into the void'), 13);
  kernel.deliverAll();
  t.equal(eventsOf(kernel, client), EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP);
  t.equal(recvText(libc, client), -ECONNRESET);
  t.equal(recvText(libc, client), '');
  t.end();
});

test('the wire: a FIN that comes after an RST was sent changes nothing', (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const { kernel, client, server } = connected({ seed, faults: { delayedDelivery: 1 } });
    const { libc } = kernel;
    libc.shutdown(client, SHUT_WR);
    libc.shutdown(client, SHUT_RD);
    kernel.deliverAll();
    sendText(libc, server, 'nobody reads this');
    libc.shutdown(server, SHUT_WR);
    kernel.deliverAll();
    t.equal(recvText(libc, client), -ECONNRESET);
  }
  t.end();
});

test('a full backlog: the connect waits, and accept lets it in', (t) => {
  const { kernel, listener } = connected();
  const { libc } = kernel;
  const clients = Array.from({ length: 18 }, () => {
    const fd = libc.socket(AF_INET, SOCK_STREAM | NONBLOCK, 0);
    libc.connect(fd, ADDRESS, ADDRESS.length);
    return fd;
  });
  const events = () => clients.slice(15).map((fd) => eventsOf(kernel, fd));
  t.same(events(), [EPOLLOUT, EPOLLOUT, 0], '16 and one more fit');
  t.equal(kernel.canDeliver, false);
  t.ok(libc.accept4(listener, null, null, NONBLOCK) > 0);
  t.same(events(), [EPOLLOUT, EPOLLOUT, EPOLLOUT]);
  t.end();
});

test('backpressure: small buffers fill, and a third must be free before EPOLLOUT', (t) => {
  const { kernel, client, server } = connected({ sendBufferBytes: 6000, receiveBufferBytes: 3000 });
  const { libc } = kernel;
  const bytes = Buffer.alloc(20_000);
  t.equal(libc.send(client, bytes, 0, 20_000, 0), 6000, 'at first no more than the send buffer');
  t.equal(libc.send(client, bytes, 0, 20_000, 0), 3000, 'of which the receiver has taken its share');
  t.equal(libc.send(client, bytes, 0, 20_000, 0), -EAGAIN);
  t.equal(libc.recv(server, bytes, 0, 1000, 0), 1000);
  t.equal(eventsOf(kernel, client), 0, 'a sixth is free');
  t.equal(libc.recv(server, bytes, 0, 1001, 0), 1001);
  t.equal(eventsOf(kernel, client), EPOLLOUT, 'a third and one byte');
  t.end();
});

const faultTests: Readonly<Record<string, (t: Test, fault: keyof SimulatedFaults) => void>> = {
  shortRead(t) {
    const { kernel, client, server } = connected({ faults: { shortRead: 1 } });
    sendText(kernel.libc, client, 'abcdefghij');
    let received = '';
    while (received.length < 10) {
      const part = recvText(kernel.libc, server) as string;
      t.ok(part.length >= 1 && (part.length < 10 - received.length || part.length === 1));
      received += part;
    }
    t.equal(received, 'abcdefghij');
  },
  shortWrite(t) {
    const { kernel, client } = connected({ faults: { shortWrite: 1 } });
    for (let i = 0; i < 10; i++) {
      const sent = sendText(kernel.libc, client, 'abcdefghij');
      t.ok(sent >= 1 && sent < 10);
    }
    t.equal(sendText(kernel.libc, client, 'x'), 1);
    t.equal(sendText(kernel.libc, client, ''), 0);
  },
  interrupt(t) {
    const { kernel, listener, client, server } = connected({ faults: { interrupt: 1 } }, 0);
    const { libc } = kernel;
    const bytes = Buffer.alloc(SOCKADDR_MAX_SIZE);
    const size = new Int32Array([bytes.length]);
    t.equal(recvText(libc, server), -EINTR);
    t.equal(sendText(libc, client, 'x'), -EINTR);
    t.equal(libc.accept4(listener, null, null, 0), -EINTR);
    t.equal(libc.recvfrom(server, bytes, 0, 1, 0, bytes, size), -EINTR);
    t.equal(libc.sendto(client, bytes, 0, 1, 0, ADDRESS, ADDRESS.length), -EINTR);
    t.equal(libc.epoll_wait(libc.epoll_create1(0), new Int32Array(4), 1, 0), -EINTR);
    t.equal(libc.poll(bytes, 0, 0), -EINTR);
    const another = libc.socket(AF_INET, SOCK_STREAM, 0);
    t.equal(libc.connect(another, ADDRESS, ADDRESS.length), -EINTR);
    kernel.faults = noFaults;
    t.equal(libc.connect(another, ADDRESS, ADDRESS.length), 0, 'it went on by itself');
    t.equal(libc.connect(another, ADDRESS, ADDRESS.length), -constants.errno.EISCONN);
    t.equal(sendText(libc, client, 'x'), 1);
    t.equal(recvText(libc, server), 'x', 'nothing was sent before');
  },
  spuriousAgain(t) {
    const { kernel, listener, client, server } = connected({ faults: { spuriousAgain: 1 } });
    const { libc, peerLibc } = kernel;
    const another = peerLibc.socket(AF_INET, SOCK_STREAM | NONBLOCK, 0);
    peerLibc.connect(another, ADDRESS, ADDRESS.length);
    t.equal(sendText(libc, client, 'x'), -EAGAIN);
    sendText(peerLibc, client, 'x');
    for (let i = 0; i < 3; i++) {
      t.equal(recvText(libc, server), -EAGAIN);
      t.equal(libc.accept4(listener, null, null, 0), -EAGAIN);
      t.equal(eventsOf(kernel, server), EPOLLIN | EPOLLOUT, 'and it is told again');
      t.equal(eventsOf(kernel, listener), EPOLLIN);
    }
    kernel.faults = noFaults;
    t.equal(recvText(libc, server), 'x');
    const { kernel: other, client: blocking } = connected({ faults: { spuriousAgain: 1 } }, 0);
    t.equal(sendText(other.libc, blocking, 'x'), 1, 'a blocking socket never answers EAGAIN');
    t.equal(libc.accept4(listener, null, null, 0) >= 0, true);
  },
  reset(t) {
    for (const first of ['recv', 'send', 'epoll_wait']) {
      const { kernel, client, server } = connected({ faults: { reset: 1 } });
      const { libc, peerLibc } = kernel;
      sendText(peerLibc, client, 'queued');
      if (first === 'recv') t.equal(recvText(libc, server), 'queued', 'what has arrived stays readable');
      if (first === 'send') t.equal(sendText(libc, server, 'x'), -ECONNRESET);
      if (first === 'epoll_wait') libc.epoll_wait(libc.epoll_create1(0), new Int32Array(4), 1, 0);
      kernel.faults = noFaults;
      for (const fd of [client, server]) t.equal(eventsOf(kernel, fd) & EPOLLHUP, EPOLLHUP, 'both ends see it');
      t.equal(takeError(peerLibc, client), ECONNRESET);
      if (first !== 'send') t.equal(takeError(peerLibc, server), ECONNRESET);
    }
  },
  tooManyFiles(t) {
    const { kernel, listener } = connected({ faults: { tooManyFiles: 1 } });
    t.equal(kernel.libc.socket(AF_INET, SOCK_STREAM, 0), -EMFILE);
    const client = kernel.peerLibc.socket(AF_INET, SOCK_STREAM | NONBLOCK, 0);
    kernel.peerLibc.connect(client, ADDRESS, ADDRESS.length);
    t.equal(kernel.libc.accept4(listener, null, null, 0), -EMFILE);
    t.equal(eventsOf(kernel, listener), EPOLLIN);
    kernel.faults = noFaults;
    t.ok(kernel.libc.accept4(listener, null, null, 0) > 0, 'the connection waited');
  },
  noBuffers(t) {
    const { kernel, listener, client, server } = connected({ faults: { noBuffers: 1 } });
    t.equal(sendText(kernel.libc, client, 'x'), -ENOBUFS);
    const another = kernel.peerLibc.socket(AF_INET, SOCK_STREAM | NONBLOCK, 0);
    kernel.peerLibc.connect(another, ADDRESS, ADDRESS.length);
    t.equal(kernel.libc.accept4(listener, null, null, 0), -ENOBUFS);
    kernel.faults = noFaults;
    t.equal(recvText(kernel.libc, server), -EAGAIN, 'nothing was sent');
    t.ok(kernel.libc.accept4(listener, null, null, 0) > 0, 'the connection waited');
  },
  connectionAborted(t) {
    const { kernel, listener } = connected({ faults: { connectionAborted: 1 } });
    t.equal(kernel.libc.accept4(listener, null, null, 0), -EAGAIN, 'there is nothing to abort');
    const client = kernel.peerLibc.socket(AF_INET, SOCK_STREAM | NONBLOCK, 0);
    kernel.peerLibc.connect(client, ADDRESS, ADDRESS.length);
    kernel.peerLibc.connect(client, ADDRESS, ADDRESS.length);
    t.equal(kernel.libc.accept4(listener, null, null, 0), -ECONNABORTED);
    t.equal(eventsOf(kernel, listener), 0, 'the connection is gone');
    t.equal(recvText(kernel.libc, client), -ECONNRESET, 'and its client knows');
  },
  delayedDelivery(t) {
    const { kernel, client, server } = connected({ faults: { delayedDelivery: 1 } });
    sendText(kernel.libc, client, 'x');
    t.equal(recvText(kernel.libc, server), -EAGAIN);
    t.equal(kernel.deliver(), true);
    t.equal(recvText(kernel.libc, server), 'x');
    const a = kernel.libc.socket(AF_INET, SOCK_DGRAM | NONBLOCK, 0);
    const b = kernel.libc.socket(AF_INET, SOCK_DGRAM | NONBLOCK, 0);
    kernel.libc.bind(a, ADDRESS, ADDRESS.length);
    for (const text of ['one', 'two']) {
      kernel.libc.sendto(b, Buffer.from(text), 0, 3, 0, ADDRESS, ADDRESS.length);
    }
    t.equal(recvText(kernel.libc, a), -EAGAIN);
    kernel.deliverAll();
    t.equal(recvText(kernel.libc, a), 'one');
    t.equal(recvText(kernel.libc, a), 'two');
  },
};

test('each fault happens at the call for which it is planned', (t) => {
  t.same(Object.keys(faultTests).sort(), Object.keys(noFaults).sort(), 'each has a test');
  t.same(Object.keys(allFaults).sort(), Object.keys(noFaults).sort());
  t.ok(Object.values(allFaults).every((probability) => probability > 0 && probability < 1));
  for (const fault of Object.keys(noFaults) as (keyof SimulatedFaults)[]) {
    t.test(fault, (t) => {
      faultTests[fault]?.(t, fault);
      t.end();
    });
  }
  t.end();
});

test('breakConnection destroys one connection, and only a connection', (t) => {
  const { kernel, listener, client, server } = connected();
  kernel.breakConnection(server);
  t.equal(recvText(kernel.libc, client), -ECONNRESET);
  t.equal(recvText(kernel.libc, server), -ECONNRESET);
  t.throws(() => kernel.breakConnection(listener), /is no TCP connection/);
  t.throws(() => kernel.breakConnection(server), /is no TCP connection/);
  t.end();
});

test('calls that are not simulated are refused', (t) => {
  const { kernel, server } = connected();
  const { libc } = kernel;
  t.throws(() => libc.recv(server, Buffer.alloc(1), 0, 1, 0x100), /flags 100 are not simulated/);
  t.throws(() => libc.send(server, Buffer.alloc(1), 0, 1, 0x100), /flags 100 are not simulated/);
  t.throws(() => libc.fcntl(server, 99, 0), /fcntl command 99 is not simulated/);
  const edgeTriggered = epollEvent(EPOLLIN | (1 << 31), 0);
  t.throws(() => libc.epoll_ctl(libc.epoll_create1(0), EPOLL_CTL_ADD, server, edgeTriggered), /are not simulated/);
  t.end();
});

/** An echo server and some clients, badly written but correct, in a world where everything goes wrong. */
function storm(
  seed: number,
  faults: Partial<SimulatedFaults>,
): { readonly log: string[]; readonly problems: string[] } {
  const kernel = new SimulatedKernel({ seed, faults, sendBufferBytes: 1000, receiveBufferBytes: 700 });
  const random = new Random(seed);
  const { libc } = kernel;
  const log: string[] = [];
  const problems: string[] = [];
  const told = (what: string, result: number): number => {
    log.push(`${what} ${result}`);
    return result;
  };
  const listener = kernel.peerLibc.socket(AF_INET, SOCK_STREAM | NONBLOCK, 0);
  kernel.peerLibc.bind(listener, ADDRESS, ADDRESS.length);
  kernel.peerLibc.listen(listener, 2);
  const epoll = libc.epoll_create1(0);
  libc.epoll_ctl(epoll, EPOLL_CTL_ADD, listener, epollEvent(EPOLLIN, listener));
  interface Client {
    readonly fd: number;
    readonly text: Buffer;
    sent: number;
    received: number;
    isEnded: boolean;
  }
  const clients = new Map<number, Client>();
  const servers = new Map<number, { queued: Buffer; isEnded: boolean }>();
  const again = (result: number) => [EAGAIN, EINTR, ENOBUFS].includes(-result);
  const buffer = Buffer.alloc(512);

  const stepServer = (fd: number) => {
    const state = servers.get(fd) as { queued: Buffer; isEnded: boolean };
    if (state.queued.length === 0 && !state.isEnded) {
      const received = told(`recv ${fd}`, libc.recv(fd, buffer, 0, buffer.length, 0));
      if (received > 0) state.queued = Buffer.from(buffer.subarray(0, received));
      else if (received === 0) state.isEnded = true;
      else if (!again(received)) return closeServer(fd);
    }
    if (state.queued.length > 0) {
      const sent = told(`send ${fd}`, libc.send(fd, state.queued, 0, state.queued.length, 0));
      if (sent > 0) state.queued = state.queued.subarray(sent);
      else if (!again(sent)) return closeServer(fd);
    }
    if (state.queued.length === 0 && state.isEnded) closeServer(fd);
  };
  const closeServer = (fd: number) => {
    servers.delete(fd);
    told(`close ${fd}`, libc.close(fd));
  };
  const stepClient = (client: Client) => {
    if (client.sent < client.text.length) {
      const sent = told(
        `client send ${client.fd}`,
        libc.send(client.fd, client.text, client.sent, client.text.length - client.sent, 0),
      );
      if (sent >= 0) client.sent += sent;
      else if (!again(sent)) return closeClient(client);
      if (client.sent === client.text.length) libc.shutdown(client.fd, SHUT_WR);
    }
    const received = told(`client recv ${client.fd}`, libc.recv(client.fd, buffer, 0, buffer.length, 0));
    if (received > 0) {
      const expected = client.text.subarray(client.received, client.received + received);
      if (!expected.equals(buffer.subarray(0, received))) problems.push(`wrong bytes after ${client.received}`);
      client.received += received;
    } else if (received === 0) {
      client.isEnded = true;
      closeClient(client);
    } else if (!again(received)) {
      closeClient(client);
    }
  };
  const closeClient = (client: Client) => {
    clients.delete(client.fd);
    libc.close(client.fd);
    const { reset = 0, connectionAborted = 0 } = faults;
    if (reset + connectionAborted > 0) return;
    if (client.received !== client.text.length) problems.push(`only ${client.received} bytes of ${client.text.length}`);
    if (!client.isEnded) problems.push('an error, though nothing was to be reset');
  };

  let connects = 10;
  const events = new Int32Array(2 * EPOLL_EVENT_WORDS);
  for (let step = 0; step < 50_000 && (connects > 0 || clients.size > 0 || servers.size > 0); step++) {
    const choice = random.below(4);
    if (choice === 0 && connects > 0) {
      const fd = libc.socket(AF_INET, SOCK_STREAM | NONBLOCK, 0);
      if (fd < 0) continue;
      connects--;
      libc.connect(fd, ADDRESS, ADDRESS.length);
      const text = Buffer.from(Array.from({ length: 1 + random.below(5000) }, () => random.below(256)));
      clients.set(fd, { fd, text, sent: 0, received: 0, isEnded: false });
    } else if (choice === 1) {
      kernel.deliver();
    } else if (choice === 2 && clients.size > 0) {
      stepClient(random.pick([...clients.values()]));
    } else {
      const count = told('epoll_wait', libc.epoll_wait(epoll, events, 2, 0));
      for (let i = 0; i < count; i++) {
        const fd = events[i * EPOLL_EVENT_WORDS + EPOLL_EVENT_DATA_WORD] as number;
        if (fd !== listener) {
          stepServer(fd);
          continue;
        }
        const accepted = told('accept4', libc.accept4(listener, null, null, NONBLOCK));
        if (accepted < 0) continue;
        libc.epoll_ctl(epoll, EPOLL_CTL_ADD, accepted, epollEvent(EPOLLIN | EPOLLOUT, accepted));
        servers.set(accepted, { queued: Buffer.alloc(0), isEnded: false });
      }
    }
  }
  if (connects > 0 || clients.size > 0 || servers.size > 0) problems.push('it did not end', ...kernel.openFds());
  libc.close(epoll);
  libc.close(listener);
  problems.push(...kernel.report());
  return { log, problems };
}

test('the same seed gives the same results, another seed gives others', (t) => {
  for (let seed = 1; seed <= 5; seed++) t.same(storm(seed, allFaults).log, storm(seed, allFaults).log);
  t.notSame(storm(1, allFaults).log, storm(2, allFaults).log);
  t.end();
});

test('whatever goes wrong, bytes arrive in order, and without resets all of them do', (t) => {
  const peaceful = { ...allFaults, reset: 0, connectionAborted: 0 };
  for (let seed = 1; seed <= 100; seed++) {
    for (const faults of [noFaults, peaceful, allFaults]) {
      const { problems } = storm(seed, faults);
      if (problems.length > 0) t.same(problems, [], `seed ${seed} ${JSON.stringify(faults)}`);
    }
  }
  t.pass('100 seeds');
  t.end();
});
