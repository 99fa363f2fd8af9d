/**
 * TAP links. Each result of the kernel is tried on a table of system calls that the test makes. Then the links meet Linux, in a network
 * namespace of their own: tap-namespace.ts.
 *
 * Next: pcap.test.ts
 */

import { join } from 'node:path';
import { type Test, test } from 'tap';
import * as abi from '../../../../simplenet/kernel/abi.ts';
import { type Libc, libc as processLibc } from '../../../../simplenet/kernel/libc.ts';
import { SystemError } from '../../../../simplenet/kernel/system-error.ts';
import type { Host, HostingLoop } from '../../../../simplenet/loop/host.ts';
import { nodeHost } from '../../../../simplenet/loop/node-host.ts';
import { openTap } from '../../../../simplenet/tcpip/link/tap-link.ts';
import { importing, runProgram } from '../../../support/child-program.ts';
import { inNamespace, noTapNamespace } from '../../../support/network-namespace.ts';
import { Program } from '../../../support/programs.ts';
import type { NamespaceOutcome } from './tap-namespace.ts';

const TAP_FD = 90;
const EPOLL_FD = 91;

/** A kernel with one TAP device. `frames` wait to be read; an error in it is what read(2) returns. */
class FakeKernel {
  readonly frames: (Buffer | number)[] = [];
  readonly written: Buffer[] = [];
  /** The descriptors that epoll_wait finds ready. */
  ready: number[] = [];
  readonly calls: string[] = [];
  results: Partial<Record<'open' | 'ioctl' | 'write' | 'epoll_create1' | 'epoll_ctl', number>> = {};

  readonly libc: Libc = {
    ...processLibc,
    open: (path, flags) => {
      this.calls.push(`open ${path} ${flags.toString(8)}`);
      return this.results.open ?? TAP_FD;
    },
    ioctl: (fd, request, argument) => {
      const bytes = Buffer.from(argument);
      this.calls.push(
        `ioctl ${fd} ${request.toString(16)} ${bytes.toString('latin1', 0, 16).replaceAll('\0', '')} ${bytes.readUInt16LE(16).toString(16)}`,
      );
      return this.results.ioctl ?? 0;
    },
    read: (_fd, buffer, offset, length) => {
      const next = this.frames.shift() ?? -abi.EAGAIN;
      if (typeof next === 'number') return next;
      const bytes = next.subarray(0, length); // the rest is cut off, as on Linux
      buffer.set(bytes, offset);
      return bytes.length;
    },
    write: (_fd, buffer, offset, length) => {
      this.written.push(Buffer.from(buffer.subarray(offset, offset + length)));
      return this.results.write ?? length;
    },
    epoll_create1: () => this.results.epoll_create1 ?? EPOLL_FD,
    epoll_ctl: (epollFd, operation, fd, event) => {
      this.calls.push(`epoll_ctl ${epollFd} ${operation} ${fd} ${event[0]}`);
      return this.results.epoll_ctl ?? 0;
    },
    epoll_wait: (epollFd, events, _maxEvents, waitMs) => {
      this.calls.push(`epoll_wait ${epollFd} ${waitMs}`);
      for (const [index, fd] of this.ready.entries()) {
        events[index * abi.EPOLL_EVENT_WORDS + abi.EPOLL_EVENT_DATA_WORD] = fd;
      }
      return this.ready.length;
    },
    close: (fd) => {
      this.calls.push(`close ${fd}`);
      return 0;
    },
  };
}

test('it opens the device without blocking, not for children, and asks for whole frames without a head', async (t) => {
  const kernel = new FakeKernel();
  const link = openTap('tap0', kernel);
  t.equal(link.mtu, 1500);
  t.same(kernel.calls, ['open /dev/net/tun 2004002', `ioctl ${TAP_FD} 400454ca tap0 1002`]);
  link.close();
  link.close();
  t.same(kernel.calls.slice(2), [`close ${TAP_FD}`]);
  t.equal(link.receive(Buffer.alloc(2_000)), 0);
});

test('names that are not names of interfaces, and MTUs that are none', async (t) => {
  const kernel = new FakeKernel();
  for (const name of ['', 'a b', 'a/b', 'a:b', 'tap%d', 'a\0b', '.', '..', 'sixteen-letters-', 'ümlautümlaut-öü']) {
    t.throws(() => openTap(name, kernel), TypeError, JSON.stringify(name));
  }
  for (const mtu of [67, 65_522, 1.5, Number.NaN, -1]) t.throws(() => openTap('x', { ...kernel, mtu }), RangeError);
  t.same(kernel.calls, []);
  for (const mtu of [68, 65_521]) t.equal(openTap('fifteen-letters', { ...kernel, mtu }).mtu, mtu);
});

/** The error of openTap. */
function refusalOf(t: Test, results: FakeKernel['results']): SystemError {
  const kernel = new FakeKernel();
  kernel.results = results;
  try {
    openTap('tap0', kernel);
  } catch (error) {
    if (results.ioctl !== undefined) t.equal(kernel.calls.at(-1), `close ${TAP_FD}`, 'nothing stays open');
    if (error instanceof SystemError) return error;
    throw error;
  }
  throw new Error('it opened');
}

test('each refusal is one sentence with its remedy', async (t) => {
  t.equal(
    refusalOf(t, { open: -abi.ENOENT }).message,
    'open ENOENT: no such file or directory /dev/net/tun ' +
      '(the module tun is not loaded, or this container has no such device: docker run --device /dev/net/tun)',
  );
  t.equal(
    refusalOf(t, { ioctl: -abi.EPERM }).message,
    'ioctl EPERM: operation not permitted tap0 (it takes root or CAP_NET_ADMIN, as in `unshare -Urn`, ' +
      'or an interface that `ip tuntap add mode tap user` has made for this user)',
  );
  t.equal(
    refusalOf(t, { ioctl: -abi.EBUSY }).message,
    'ioctl EBUSY: resource busy or locked tap0 (another program has opened this interface)',
  );
  t.equal(
    refusalOf(t, { ioctl: -abi.EINVAL }).message,
    'ioctl EINVAL: invalid argument tap0 (an interface that is not a TAP device has this name)',
  );
  t.match(refusalOf(t, { open: -abi.EMFILE }), { code: 'EMFILE', message: /see ulimit -n/ });
});

const NOBODY = 65_534;

test('a user who may not make interfaces', { skip: noTapNamespace() }, async (t) => {
  const source = `${importing('openTap', 'tcpip/link/tap-link.js')}
    try { openTap('tap0').close(); } catch (error) { console.log(error.code); }`;
  const { stdout, stderr } = runProgram(source, process.getuid?.() === 0 ? { uid: NOBODY } : {});
  t.match(stdout, /^(EPERM|EACCES)\n$/, stderr); // EACCES where only root may open the device
});

test('a frame is written whole; a device that is down loses it', async (t) => {
  const kernel = new FakeKernel();
  const link = openTap('tap0', kernel);
  const frame = Buffer.alloc(100, 7);
  t.equal(link.send(frame, 60), true);
  t.same(kernel.written, [frame.subarray(0, 60)]);
  for (const errno of [abi.EIO, abi.EAGAIN, abi.EBADFD]) {
    kernel.results.write = -errno;
    t.equal(link.send(frame, 60), false);
  }
});

test('receive reads until a frame fits: read(2) cuts off what does not, and does not say so', async (t) => {
  const kernel = new FakeKernel();
  const link = openTap('tap0', { ...kernel, mtu: 100 });
  const fits = Buffer.alloc(114, 1);
  const tooLarge = Buffer.alloc(115, 2);
  for (const room of [114, 115, 2_000]) {
    const into = Buffer.alloc(room);
    kernel.frames.push(tooLarge, Buffer.alloc(900), fits, tooLarge);
    t.equal(link.receive(into), 114);
    t.same(into.subarray(0, 114), fits);
    t.equal(link.receive(into), 0);
  }
  const into = Buffer.alloc(60);
  kernel.frames.push(fits, Buffer.alloc(61), Buffer.alloc(60, 3));
  t.equal(link.receive(into), 60);
  t.same(into, Buffer.alloc(60, 3));
  t.equal(link.receive(into), 0);
});

test('a deleted interface throws, with the reason', async (t) => {
  const kernel = new FakeKernel();
  const link = openTap('tap0', kernel);
  kernel.frames.push(-abi.EBADFD);
  t.throws(() => link.receive(Buffer.alloc(2_000)), {
    name: 'SystemError',
    code: 'EBADFD',
    syscall: 'read',
    path: 'tap0',
    message: /tap0 \(the interface was deleted\)$/,
  });
});

test('the watch: an epoll descriptor between, which is closed after libuv has stopped', async (t) => {
  const kernel = new FakeKernel();
  const link = openTap('tap0', kernel);
  const order = kernel.calls;
  order.length = 0;
  const host: Host = {
    ...nodeHost,
    watch(fd) {
      order.push(`watch ${fd}`);
      const note = (what: string) => () => void order.push(what);
      return { ref: note('ref'), unref: note('unref'), turnSoon: note('turnSoon'), close: note('unwatch') };
    },
  };
  const watch = link.watch(host, () => false);
  watch.ref();
  watch.unref();
  watch.turnSoon();
  watch.close();
  t.same(order, [
    `epoll_ctl ${EPOLL_FD} 1 ${TAP_FD} 1`,
    `watch ${EPOLL_FD}`,
    'ref',
    'unref',
    'turnSoon',
    'unwatch',
    `close ${EPOLL_FD}`,
  ]);
  kernel.results.epoll_create1 = -abi.EMFILE;
  t.throws(() => link.watch(host, () => false), { code: 'EMFILE' });
  kernel.results = { epoll_ctl: -abi.ENOMEM };
  order.length = 0;
  t.throws(() => link.watch(host, () => false), { code: 'ENOMEM' });
  t.same(order.at(-1), `close ${EPOLL_FD}`, 'nothing stays open');
});

/** A watch of a host that takes no turns by itself, and what it was given. */
function hostedWatch(kernel: FakeKernel, onReadable: () => boolean) {
  const raised: unknown[] = [];
  let hosting: HostingLoop | undefined;
  let takeTurn = () => false;
  const host: Host = {
    ...nodeHost,
    raise: (error) => void raised.push(error),
    watch(_fd, callback, loop) {
      [takeTurn, hosting] = [callback, loop];
      return { ref() {}, unref() {}, turnSoon() {}, close() {} };
    },
  };
  openTap('tap0', kernel).watch(host, onReadable);
  kernel.calls.length = 0;
  return { raised, takeTurn: () => takeTurn(), loop: hosting as HostingLoop };
}

test('under traffic the watch waits by itself, and libuv is its guest', async (t) => {
  const GUEST_FD = 77;
  const kernel = new FakeKernel();
  let turns = 0;
  let isMore = false;
  const { loop, raised } = hostedWatch(kernel, () => {
    turns++;
    if (turns === 6) throw new Error('a mistake of the program');
    return isMore;
  });
  t.equal(loop.admitGuest(GUEST_FD), true);
  kernel.ready = [TAP_FD];
  t.equal(loop.waitForTurn(20), true);
  t.equal(loop.isGuestReady, false);
  kernel.ready = [GUEST_FD];
  t.equal(loop.waitForTurn(20), false, 'an event of the guest is no news of the device');
  t.equal(loop.isGuestReady, true);
  kernel.ready = [];
  isMore = true;
  t.equal(loop.waitForTurn(20), false, 'nothing within the time');
  t.equal(loop.isGuestReady, false);
  isMore = false;
  t.equal(loop.waitForTurn(20), true, 'the last turn has left something to do');
  t.equal(loop.waitForTurn(20), false);
  t.equal(turns, 5, 'each wait ends with a turn');
  isMore = true;
  t.equal(loop.waitForTurn(20), false);
  t.equal((raised[0] as Error).message, 'a mistake of the program');
  isMore = false;
  t.equal(loop.waitForTurn(20), false, 'a turn that has thrown leaves nothing to do');
  loop.dismissGuest();
  t.same(kernel.calls, [
    `epoll_ctl ${EPOLL_FD} 1 ${GUEST_FD} 1`,
    ...[20, 20, 20, 0, 20, 20, 20].map((ms) => `epoll_wait ${EPOLL_FD} ${ms}`),
    `epoll_ctl ${EPOLL_FD} 2 ${GUEST_FD} 0`,
  ]);
});

test('a guest that the kernel refuses', async (t) => {
  const kernel = new FakeKernel();
  const { loop } = hostedWatch(kernel, () => false);
  kernel.results.epoll_ctl = -abi.EINVAL;
  t.equal(loop.admitGuest(5), false);
});

test('Linux at the other end', { skip: noTapNamespace() }, async (t) => {
  const program = join(import.meta.dirname, 'tap-namespace.js');
  const [command, ...options] = inNamespace;
  const child = new Program(command, [...options, process.execPath, '--enable-source-maps', program]);
  t.teardown(() => child.kill());
  const { code, stdout, stderr } = await child.ends();
  t.equal(code, 0, stderr);
  const outcomes = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as NamespaceOutcome);
  for (const { name, error, skipped } of outcomes) {
    if (skipped === undefined) t.equal(error, undefined, name);
    else t.pass(name, { skip: skipped });
  }
  t.ok(outcomes.length > 10, `${outcomes.length} scenarios`);
});
