/** What systemd is told. */

import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { Notifier } from '../../command/systemd.ts';
import { UdpSocket } from '../../simplenet/index.ts';
import { openDescriptors } from '../support/open-descriptors.ts';
import { until } from '../support/waiting.ts';

const PID = 42;

/** What stands in for systemd: a datagram socket, and the value of NOTIFY_SOCKET. */
function manager(t: Test, name: string): { socket: UdpSocket; next(): string } {
  const socket = UdpSocket.bindTo({ path: name.replace(/^@/, '\0') });
  t.teardown(() => socket.close());
  return {
    socket,
    next: () => (socket.wait('readable', 5_000) ? `${socket.receive().bytes}` : 'nothing came'),
  };
}

for (const name of [`@simplenet-notify-${process.pid}`, join(tmpdir(), `simplenet-notify-${process.pid}`)]) {
  test(`each state is a datagram, to ${name[0] === '@' ? 'an abstract socket' : 'a path'}`, async (t) => {
    const systemd = manager(t, name);
    const notifier = new Notifier({ NOTIFY_SOCKET: name }, PID);
    t.ok(notifier.isTelling);
    notifier.ready('serving');
    t.equal(systemd.next(), 'READY=1\nSTATUS=serving');
    notifier.reloading();
    const [, usec = ''] = /^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(systemd.next()) ?? [];
    const now = Number(process.hrtime.bigint() / 1_000n);
    t.ok(Number(usec) <= now && Number(usec) > now - 60e6, usec);
    notifier.mainPid(7);
    t.equal(systemd.next(), 'MAINPID=7');
    notifier.stopping();
    t.equal(systemd.next(), 'STOPPING=1\nSTATUS=draining');
    notifier.close();
  });
}

test('the watchdog gets a sign twice as often as it needs one', async (t) => {
  const systemd = manager(t, `@simplenet-watchdog-${process.pid}`);
  const env = { NOTIFY_SOCKET: `@simplenet-watchdog-${process.pid}`, WATCHDOG_USEC: '20000', WATCHDOG_PID: '42' };
  const notifier = new Notifier(env, PID);
  notifier.ready('a');
  t.match(systemd.next(), /READY/);
  t.equal(systemd.next(), 'WATCHDOG=1');
  await until(() => systemd.socket.wait('readable', 0)); // `next` waits without turns of the loop
  t.equal(systemd.next(), 'WATCHDOG=1');
  notifier.ready('b');
  notifier.close();
  const another = new Notifier({ ...env, WATCHDOG_PID: '43' }, PID);
  another.ready('c');
  let last = '';
  while (!last.includes('c')) last = systemd.next();
  t.notOk(systemd.socket.wait('readable', 0), 'the watchdog is of another process');
  another.close();
});

test('what is no path is one sentence', async (t) => {
  for (const [NOTIFY_SOCKET, message] of [
    ['@', 'NOTIFY_SOCKET: the path of a Unix socket is missing'],
    [`/${'x'.repeat(107)}`, /^NOTIFY_SOCKET: the path of a Unix socket must have at most 107 bytes, not 108/],
  ] as const)
    t.throws(() => new Notifier({ NOTIFY_SOCKET }, PID), { exitCode: 1, message });
  for (const NOTIFY_SOCKET of ['@x', `/${'x'.repeat(106)}`]) new Notifier({ NOTIFY_SOCKET }, PID).close();
});

test('without systemd nothing is sent, and what has gone stops nothing', async (t) => {
  const before = openDescriptors();
  for (const NOTIFY_SOCKET of [undefined, '', 'vsock:2:1234']) {
    const notifier = new Notifier({ NOTIFY_SOCKET, WATCHDOG_USEC: '1000000' }, PID);
    t.notOk(notifier.isTelling);
    notifier.ready('x');
    notifier.close();
  }
  const notifier = new Notifier({ NOTIFY_SOCKET: '@simplenet-nobody-listens' }, PID);
  notifier.ready('x');
  notifier.close();
  notifier.ready('after its end');
  t.same(openDescriptors(), before);
});
