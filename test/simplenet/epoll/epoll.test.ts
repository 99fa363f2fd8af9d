/** Epoll: on real sockets. */

import t, { type Test } from 'tap';
import { Epoll } from '../../../simplenet/epoll/epoll.ts';
import * as abi from '../../../simplenet/kernel/abi.ts';
import { type Libc, libc } from '../../../simplenet/kernel/libc.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { descriptorFlags, openDescriptors } from '../../support/open-descriptors.ts';

function closing<S extends { close(): void }>(t: Test, socket: S): S {
  t.teardown(() => socket.close());
  return socket;
}

function connectedPair(t: Test): [NetSocket, NetSocket] {
  const listener = closing(t, NetSocket.listenOn({ address: '127.0.0.1', port: 0 }));
  const client = closing(t, NetSocket.connectTo(listener.localAddress));
  return [client, closing(t, listener.accept())];
}

/** What a wait brings: descriptors and their masks. */
function events(epoll: Epoll, timeoutMs = 0): [number, number][] {
  const count = epoll.wait(timeoutMs);
  return Array.from({ length: count }, (_, i): [number, number] => [epoll.fdOf(i), epoll.eventsOf(i)]).sort(
    (a, b) => a[0] - b[0],
  );
}

t.test('a descriptor is reported for as long as it is ready', async (t) => {
  const [client, server] = connectedPair(t);
  const epoll = closing(t, new Epoll());
  epoll.add(server.fd, abi.EPOLLIN);
  t.same(events(epoll), []);
  client.write(Buffer.from('ab'));
  t.same(events(epoll), [[server.fd, abi.EPOLLIN]]);
  server.read(Buffer.alloc(1));
  t.same(events(epoll), [[server.fd, abi.EPOLLIN]], 'half of it is still there');
  server.read(Buffer.alloc(1));
  t.same(events(epoll), []);
});

t.test('masks', async (t) => {
  const [client, server] = connectedPair(t);
  const epoll = closing(t, new Epoll());
  epoll.add(server.fd, abi.EPOLLIN | abi.EPOLLOUT);
  t.same(events(epoll), [[server.fd, abi.EPOLLOUT]]);
  client.write(Buffer.from('x'));
  t.same(events(epoll), [[server.fd, abi.EPOLLIN | abi.EPOLLOUT]]);
  epoll.modify(server.fd, abi.EPOLLIN);
  t.same(events(epoll), [[server.fd, abi.EPOLLIN]]);
  epoll.modify(server.fd, 0);
  t.same(events(epoll), []);
  client.reset();
  const [[fd, mask = 0] = []] = events(epoll, 1000);
  t.equal(fd, server.fd, 'errors and hang-ups are always reported');
  t.equal(mask & (abi.EPOLLERR | abi.EPOLLHUP), abi.EPOLLERR | abi.EPOLLHUP);
  t.equal(mask & (abi.EPOLLIN | abi.EPOLLOUT), 0);
  epoll.delete(server.fd);
  t.same(events(epoll), []);
});

t.test('close takes a descriptor out', async (t) => {
  const [client, server] = connectedPair(t);
  const epoll = closing(t, new Epoll());
  epoll.add(server.fd, abi.EPOLLIN);
  client.write(Buffer.from('x'));
  server.close();
  t.same(events(epoll), []);
});

t.test('one wait brings no more than maxEvents, and the next one the others', async (t) => {
  const epoll = closing(t, new Epoll({ maxEvents: 3 }));
  const pairs = Array.from({ length: 4 }, () => connectedPair(t));
  const fds = pairs.map(([, server]) => server.fd).sort((a, b) => a - b);
  for (const [i, [client, server]] of pairs.entries()) {
    epoll.add(server.fd, abi.EPOLLIN);
    client.write(Buffer.from('x'));
    t.equal(epoll.wait(0), Math.min(i + 1, 3), `${i + 1} are ready`);
  }
  const seen = new Set([...events(epoll), ...events(epoll)].map(([fd]) => fd));
  t.same(
    [...seen].sort((a, b) => a - b),
    fds,
    'nobody is forgotten',
  );
});

t.test('many at once', async (t) => {
  const epoll = closing(t, new Epoll());
  const pairs = Array.from({ length: 50 }, () => connectedPair(t));
  for (const [, server] of pairs) epoll.add(server.fd, abi.EPOLLIN | abi.EPOLLOUT);
  const writers = pairs.filter((_, i) => i % 3 === 0);
  for (const [client] of writers) client.write(Buffer.from('x'));
  const readable = new Set(writers.map(([, server]) => server.fd));
  t.same(
    events(epoll),
    pairs
      .map(([, { fd }]) => [fd, readable.has(fd) ? abi.EPOLLIN | abi.EPOLLOUT : abi.EPOLLOUT])
      .sort(([a = 0], [b = 0]) => a - b),
  );
});

t.test('it closes on exec, and leaves nothing behind', async (t) => {
  const before = openDescriptors();
  const epoll = new Epoll();
  t.equal(descriptorFlags(epoll.fd) & abi.O_CLOEXEC, abi.O_CLOEXEC);
  epoll.close();
  t.throws(() => epoll.wait(0), { code: 'EBADF', syscall: 'epoll_wait' });
  t.throws(() => epoll.add(0, abi.EPOLLIN), { code: 'EBADF', syscall: 'epoll_ctl' });
  t.same(openDescriptors(), before);
});

t.test('an epoll descriptor can be watched itself', async (t) => {
  const [client, server] = connectedPair(t);
  const inner = closing(t, new Epoll());
  const outer = closing(t, new Epoll());
  inner.add(server.fd, abi.EPOLLIN);
  outer.add(inner.fd, abi.EPOLLIN);
  t.same(events(outer), []);
  client.write(Buffer.from('x'));
  t.same(events(outer), [[inner.fd, abi.EPOLLIN]]);
});

t.test('errors of the kernel are thrown as SystemError', async (t) => {
  const [, server] = connectedPair(t);
  const epoll = closing(t, new Epoll());
  epoll.add(server.fd, abi.EPOLLIN);
  const file = libc.open('/proc/self/stat', abi.O_RDONLY | abi.O_CLOEXEC);
  for (const [use, code] of [
    [() => epoll.add(server.fd, abi.EPOLLIN), 'EEXIST'],
    [() => epoll.add(epoll.fd, abi.EPOLLIN), 'EINVAL'],
    [() => epoll.add(-1, abi.EPOLLIN), 'EBADF'],
    [() => epoll.add(file, abi.EPOLLIN), 'EPERM'],
    [() => epoll.modify(file, abi.EPOLLIN), 'EPERM'],
    [() => epoll.modify(closing(t, NetSocket.openFor({ path: 'x' })).fd, abi.EPOLLIN), 'ENOENT'],
    [() => epoll.delete(closing(t, NetSocket.openFor({ path: 'x' })).fd), 'ENOENT'],
  ] as const) {
    t.throws(use, { name: 'SystemError', code, syscall: 'epoll_ctl' });
  }
  libc.close(file);
  for (const fd of [1.5, Number.NaN, '3', undefined]) {
    t.throws(() => epoll.add(fd as number, abi.EPOLLIN), TypeError);
  }
  for (const timeout of [0.5, Number.NaN, 2 ** 31, '3']) t.throws(() => epoll.wait(timeout as number), TypeError);
});

t.test('maxEvents', async (t) => {
  const before = openDescriptors();
  for (const maxEvents of [0, -1, 1.5, Number.NaN, '3', null]) {
    if (maxEvents === null) continue; // as if it had not been given
    t.throws(() => new Epoll({ maxEvents: maxEvents as number }), {
      name: 'RangeError',
      message: `maxEvents must be an integer >= 1, not ${String(maxEvents)}`,
    });
  }
  t.throws(() => new Epoll({ maxEvents: 2 ** 53 }), RangeError);
  const table: Libc = { ...libc, epoll_create1: () => -abi.EMFILE };
  t.throws(() => new Epoll({ libc: table }), { code: 'EMFILE', syscall: 'epoll_create1' });
  t.same(openDescriptors(), before, 'what is refused leaves nothing open');
});

t.test('wait takes its time, and no more', async (t) => {
  const epoll = closing(t, new Epoll());
  const startedAt = performance.now();
  t.equal(epoll.wait(30), 0);
  t.ok(performance.now() - startedAt >= 29);
});

t.test('a signal in the middle of a wait is not an event, and does not make the wait longer', async (t) => {
  const timeouts: number[] = [];
  const epoll_wait: Libc['epoll_wait'] = (fd, words, most, timeoutMs) => {
    libc.epoll_wait(fd, words, most, Math.min(timeoutMs, 10)); // ten milliseconds pass, and then comes a signal
    timeouts.push(timeoutMs);
    if (timeouts.length > 50) throw new Error('it waits for ever');
    return timeoutMs <= 10 ? 0 : -abi.EINTR;
  };
  const epoll = closing(t, new Epoll({ libc: { ...libc, epoll_wait } }));
  t.equal(epoll.wait(40), 0);
  t.ok(
    timeouts.every((timeout, i) => i === 0 || timeout < (timeouts[i - 1] as number)),
    timeouts.join(' '),
  );
});
