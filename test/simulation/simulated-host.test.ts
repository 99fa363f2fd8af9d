/**
 * The simulated host by itself: the order of its callbacks, and its error when nothing can happen any more.
 *
 * Next: same-as-linux.test.ts
 */

import { test } from 'tap';
import {
  AF_INET,
  EPOLL_CTL_ADD,
  EPOLLIN,
  MSG_DONTWAIT,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
} from '../../simplenet/kernel/abi.ts';
import { encodeSocketAddress } from '../../simplenet/kernel/socket-address.ts';
import { epollEvent } from './linux-scenarios.ts';
import { noFaults } from './simulated-faults.ts';
import { SimulatedHost } from './simulated-host.ts';
import { SimulatedKernel } from './simulated-kernel.ts';

const ADDRESS = encodeSocketAddress({ address: '127.0.0.1', port: 53 });

/** An epoll fd that watches a bound UDP socket, and a way to send to it. */
function world(delayedDelivery = 0) {
  const kernel = new SimulatedKernel({ faults: { ...noFaults, delayedDelivery } });
  const host = new SimulatedHost(kernel);
  const { libc } = kernel;
  const receiver = libc.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  libc.bind(receiver, ADDRESS, ADDRESS.length);
  const sender = libc.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  const epoll = libc.epoll_create1(0);
  libc.epoll_ctl(epoll, EPOLL_CTL_ADD, receiver, epollEvent(EPOLLIN, 0));
  const send = () => libc.sendto(sender, Buffer.from('x'), 0, 1, 0, ADDRESS, ADDRESS.length);
  const receive = () => libc.recv(receiver, Buffer.alloc(1), 0, 1, MSG_DONTWAIT);
  return { kernel, host, libc, epoll, send, receive };
}

test('a watch is called for as long as its fd is readable', (t) => {
  for (const delayed of [0, 1]) {
    const { host, epoll, send, receive } = world(delayed);
    let calls = 0;
    const watch = host.watch(epoll, () => {
      calls++;
      return false;
    });
    t.equal(host.step(), false, 'nothing can happen');
    send();
    host.run(() => calls === 3);
    t.equal(receive(), 1);
    t.equal(host.step(), false);
    send();
    watch.close();
    watch.close();
    while (host.step());
    t.equal(calls, 3, 'no call after close');
  }
  t.end();
});

test('a callback that returns true is called again, readable or not', (t) => {
  const { host, epoll, send, receive } = world();
  let calls = 0;
  host.watch(epoll, () => {
    receive();
    return ++calls < 3;
  });
  send();
  while (host.step());
  t.equal(calls, 3);
  t.end();
});

test('turnSoon calls once, though nothing is readable', (t) => {
  const { host, epoll } = world();
  let calls = 0;
  const watch = host.watch(epoll, () => {
    calls++;
    return false;
  });
  watch.turnSoon();
  while (host.step());
  t.equal(calls, 1);
  t.end();
});

test('what keeps it alive', (t) => {
  const { host, epoll } = world();
  t.equal(host.isAlive(), false);
  host.alarm(10, () => {});
  t.equal(host.isAlive(), false, 'an alarm alone does not');
  const watch = host.watch(epoll, () => false);
  t.equal(host.isAlive(), true);
  watch.unref();
  t.equal(host.isAlive(), false);
  watch.ref();
  t.equal(host.isAlive(), true);
  watch.close();
  t.equal(host.isAlive(), false);
  t.end();
});

test('a watch without a descriptor is called when it asks for that, and never because of the kernel', (t) => {
  const { host, epoll, send } = world();
  let calls = 0;
  const watch = host.watch(null, () => ++calls === 1);
  const other = host.watch(null, () => false);
  host.watch(epoll, () => false).close();
  t.equal(host.isAlive(), true);
  send();
  t.equal(host.step(), false);
  watch.turnSoon();
  host.run(() => calls === 2);
  t.equal(host.step(), false);
  watch.turnSoon();
  watch.close();
  other.close();
  t.equal(host.step(), false, 'no call after close');
  t.equal(host.isAlive(), false);
  t.same(host.raised, []);
  t.end();
});

test('soon comes first, in order', (t) => {
  const { host, epoll, send } = world();
  const order: string[] = [];
  host.watch(epoll, () => {
    order.push('readable');
    return false;
  });
  send();
  host.soon(() => {
    order.push('one');
    host.soon(() => order.push('three'));
  });
  host.soon(() => order.push('two'));
  host.run(() => order.length === 4);
  t.same(order, ['one', 'two', 'three', 'readable']);
  t.end();
});

test('alarms go off when nothing else is left, in the order of their time', (t) => {
  const { host } = world();
  const start = host.now();
  const order: string[] = [];
  const say = (what: string) => () => order.push(`${what} at ${host.now() - start}`);
  host.alarm(3_600_000, say('an hour'));
  host.alarm(5, say('five'));
  host.alarm(20, say('never')).cancel();
  t.equal(host.step(), true);
  t.equal(host.step(), true);
  t.equal(host.step(), false);
  t.same(order, ['five at 5', 'an hour at 3600000']);
  t.throws(() => host.alarm(-1, () => {}), RangeError);
  t.throws(() => host.alarm(Number.NaN, () => {}), RangeError);
  t.end();
});

test('advance makes alarms due, and they mix with other events', (t) => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 20; seed++) {
    const { kernel, epoll, send, receive } = world();
    const host = new SimulatedHost(kernel, { seed });
    let order = '';
    host.watch(epoll, () => {
      order += 'r';
      receive();
      return false;
    });
    host.alarm(100, () => {
      order += 'a';
    });
    send();
    host.advance(100);
    t.equal(order, '', 'advance itself calls nobody');
    host.run(() => order.length === 2);
    seen.add(order);
  }
  t.same([...seen].sort(), ['ar', 'ra'], 'either comes first');
  t.end();
});

test('with stepMs time goes by while things happen', (t) => {
  const { kernel, epoll, send } = world();
  const host = new SimulatedHost(kernel, { stepMs: 10 });
  let isRung = false;
  host.watch(epoll, () => false);
  send();
  host.alarm(50, () => {
    isRung = true;
  });
  host.run(() => isRung, 1000);
  t.ok(isRung, 'though the fd was readable all the time');
  t.end();
});

test('exceptions are raised, and nothing else is disturbed', (t) => {
  const { host, epoll, send, receive } = world();
  const fail = (what: string) => () => {
    throw new Error(what);
  };
  host.soon(fail('soon'));
  host.alarm(1, fail('alarm'));
  host.watch(epoll, () => {
    receive();
    throw new Error('watch');
  });
  send();
  while (host.step());
  t.same(
    host.raised.map((error) => (error as Error).message),
    ['soon', 'watch', 'alarm'],
  );
  t.end();
});

test('run says why it cannot go on', (t) => {
  const { host, epoll, send } = world();
  t.throws(() => host.run(() => false), /nothing can happen any more.*at 1000000 ms.*fd 3: udp socket/s);
  host.watch(epoll, () => {
    throw new Error('in the way');
  });
  send();
  t.throws(() => host.run(() => false, 10), /does not hold after 10 steps.*alive.*raised: Error: in the way/s);
  t.equal(host.raised.length, 10);
  t.end();
});

test('misuse of watches', (t) => {
  const { kernel, host, libc, epoll } = world();
  host.watch(epoll, () => t.fail('told of a closed fd'));
  t.throws(() => host.watch(epoll, () => false), /is watched already/);
  t.throws(() => host.watch(99, () => false), /fd 99 is not open/);
  libc.close(epoll);
  libc.open('/dev/null', 0);
  t.equal(host.step(), false);
  t.same(kernel.violations, [`fd ${epoll} was closed while it was watched`]);
  t.throws(() => host.advance(-1), RangeError);
  const another = libc.epoll_create1(0);
  const watch = host.watch(another, () => false);
  libc.close(another);
  watch.close();
  t.equal(kernel.violations.length, 2, 'the watch must be closed before its fd');
  t.end();
});
