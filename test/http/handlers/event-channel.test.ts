/** One event for many streams, on both loops, and what leaves the channel. */

import { test } from 'tap';
import { EventChannel, type EventWriter, Router, serve } from '../../../http/index.ts';
import { libc } from '../../../simplenet/index.ts';
import { portOf } from '../../../simplenet/kernel/socket-address.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { CountingLibc } from '../../support/counting-libc.ts';
import { RawClient } from '../../support/raw-client.ts';
import { until } from '../../support/waiting.ts';
import { exchange } from '../response/response-sink.ts';

const LISTENERS = 50;
const GET = 'GET /events HTTP/1.1\r\nHost: x\r\n\r\n';

for (const backend of backends) {
  test(`one event reaches all, in one send each (${backend})`, { skip: missingBackend[backend] }, async (t) => {
    const original = { ...libc };
    const counting = new CountingLibc(original);
    Object.assign(libc, counting.libc);
    t.teardown(() => Object.assign(libc, original));
    const channel = new EventChannel();
    const site = new Router().get('/events', (_request, response) => channel.add(response.events()));
    const server = serve(site, { backend });
    t.teardown(() => server.close({ graceMs: 0 }));
    const clients = Array.from({ length: LISTENERS }, () => new RawClient(portOf(server.address)).write(GET));
    await until(() => channel.size === LISTENERS);
    for (const client of clients) await client.until(() => client.text.endsWith('\r\n\r\n'), 'the head');
    counting.take();
    const data = 'x'.repeat(10_000);
    t.equal(channel.send({ data }), LISTENERS);
    for (const client of clients) await client.until(() => client.text.includes(data), 'the event');
    if (backend === 'epoll') t.equal(counting.take().send, LISTENERS);

    clients[0]?.destroy();
    clients[1]?.reset();
    clients[2]?.socket.end();
    await until(() => channel.size === LISTENERS - 3);
    t.equal(channel.comment('still here'), LISTENERS - 3);
    for (const client of clients.slice(3)) await client.until(() => client.text.includes(': still here'), 'a comment');

    const closing = server.close();
    for (const client of clients.slice(3)) {
      await client.ended();
      client.destroy();
    }
    await closing;
    t.equal(channel.size, 0);
  });
}

test('onDone counts the bytes of events', async (t) => {
  const channel = new EventChannel();
  const site = new Router().get('/events', (_request, response) => channel.add(response.events()));
  const outcomes: number[] = [];
  const server = serve(site, { onDone: ({ bytesOut }) => void outcomes.push(bytesOut) });
  t.teardown(() => server.close({ graceMs: 0 }));
  for (const version of ['1.1', '1.0']) {
    const client = new RawClient(portOf(server.address)).write(`GET /events HTTP/${version}\r\nHost: x\r\n\r\n`);
    await until(() => channel.size === 1);
    const data = 'x'.repeat(10_000);
    channel.send({ data });
    await client.until(() => client.text.includes(data), 'the event');
    client.destroy();
    await until(() => channel.size === 0);
  }
  await until(() => outcomes.length === 2);
  for (const bytesOut of outcomes) t.ok(bytesOut > 10_000 && bytesOut < 11_000, `${bytesOut}`);
});

test('a stream is in the channel from add to delete, to its end or to that of the channel', async (t) => {
  const [a, b] = [exchange(), exchange()];
  const [first, second] = [a.response.events(), b.response.events()] as [EventWriter, EventWriter];
  const channel = new EventChannel();
  channel.add(first);
  channel.add(first);
  channel.add(second);
  t.equal(channel.size, 2);
  channel.delete(first);
  channel.delete(first);
  t.equal(channel.send({ data: 'for the second' }), 1);
  t.notMatch(a.sink.text, 'for the second');
  first.close();
  channel.add(first);
  t.equal(channel.size, 1, 'what is closed is not added');
  channel.delete(first);
  const other = new EventChannel();
  other.add(second);
  channel.close();
  t.ok(second.isClosed);
  t.same([channel.size, other.size], [0, 0]);
  t.throws(() => channel.send({ data: '', id: '\n' }), TypeError);
});
