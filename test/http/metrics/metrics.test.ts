/** A server that tells about itself, on the real kernel: on a port of its own, and on that of the site. */

import { spawnSync } from 'node:child_process';
import { type Test, test } from 'tap';
import { Router, type ServeOptions, serve } from '../../../http/index.ts';
import { checkMetricsOptions } from '../../../http/metrics/metrics-options.ts';
import { peers } from '../../../http/peers.ts';
import { countingLibc, createEventLoop } from '../../../simplenet/index.ts';
import { certificateFor } from '../../support/certificates.ts';
import { missing } from '../../support/programs.ts';
import { RawClient } from '../../support/raw-client.ts';
import { until } from '../../support/waiting.ts';

function serving(t: Test, options: ServeOptions) {
  const site = new Router().get('/users/:id', (_request, response) => response.text('hello')).get('/wait', () => {});
  const server = serve(site, { backend: 'epoll', ...options });
  t.teardown(() => server.close({ graceMs: 1 }));
  const ask = async (url: string, init: RequestInit = {}) => {
    const response = await fetch(url, { ...init, headers: { Connection: 'close', ...init.headers } });
    return { status: response.status, headers: response.headers, text: await response.text() };
  };
  return { server, ask };
}

test('on a port of their own: what was asked, by whom, and what it took', async (t) => {
  const { server, ask } = serving(t, { metrics: { port: 0 } });
  const { metricsUrl } = server;
  await ask(`${server.url}/users/7`);
  await ask(`${server.url}/users/8`);
  t.equal((await ask(`${server.url}/metrics`)).status, 404, 'not on the port of the site');
  const malformed = new RawClient(server.port as number).write('GET / HTTP/1.1\r\nHost\r\n\r\n');
  await malformed.ended();
  malformed.destroy();
  await until(() => server.connectionCount === 0);
  const { text, headers } = await ask(`${metricsUrl}/metrics`);
  t.equal(headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  t.equal(headers.get('cache-control'), 'no-store');
  for (const line of [
    /^http_requests_total\{method="GET",route="\/users\/:id",status="2xx"\} 2$/m,
    /^http_requests_total\{method="GET",route="",status="4xx"\} 1$/m,
    /^http_request_duration_seconds_count\{method="GET",route="\/users\/:id"\} 2$/m,
    /^http_rejected_messages_total\{status="400"\} 1$/m,
    /^http_connections\{state="idle"\} 0$/m,
    /^http_connections_accepted_total 4$/m,
    /^http_connections_refused_total\{reason="connections"\} 0$/m,
    /^http_requests_in_flight 0$/m,
    /^simplenet_system_calls_total\{call="accept4"\} [1-9]\d*$/m,
    /^nodejs_eventloop_lag_seconds_count \d+$/m,
    /^process_cpu_seconds_total [\d.]+$/m,
    /^process_open_fds [1-9]\d*$/m,
  ]) {
    t.match(text, line);
  }
  const open = await ask(`${metricsUrl}/metrics`, { headers: { Accept: 'application/openmetrics-text' } });
  t.match(open.text, /# EOF\n$/);
  for (const path of ['/healthz', '/readyz']) t.equal((await ask(`${metricsUrl}${path}`)).status, 200);
  t.equal((await ask(`${metricsUrl}/healthz`, { method: 'HEAD' })).status, 200);
  const post = await ask(`${metricsUrl}/metrics`, { method: 'POST' });
  t.match([post.status, post.headers.get('allow')], [405, 'GET, HEAD']);
  t.equal((await ask(`${metricsUrl}/`)).status, 404);
});

test('promtool has no complaint about any of it', { skip: missing('promtool') }, async (t) => {
  const { server, ask } = serving(t, { metrics: { port: 0 }, tls: certificateFor('localhost') });
  const plain = new RawClient(server.port as number).write('GET / HTTP/1.1\r\n\r\n'); // a handshake that fails
  await plain.ended();
  plain.destroy();
  server.commons.webSocketCounts.countClosed(1_000);
  const client = new RawClient(server.port as number, { isSecure: true }).write(
    'GET /users/7 HTTP/1.1\r\nHost: x\r\n\r\n',
  );
  await client.until(() => client.answers === 1, 'an answer');
  client.destroy();
  const { text } = await ask(`${server.metricsUrl}/metrics`);
  t.match(text, /^tls_handshake_failures_total\{reason="plain"\} 1$/m);
  t.match(text, /^websocket_closed_total\{code="1000"\} 1$/m);
  const { status, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
  t.equal(status, 0, stderr);
  t.equal(stderr, '');
});

test('on the port of the site, under a path that the program chooses', async (t) => {
  const { server, ask } = serving(t, { metrics: { path: '/internal/metrics' } });
  t.equal(server.metricsUrl, null);
  t.match((await ask(`${server.url}/internal/metrics`)).text, /^http_connections\{state="busy"\} 1$/m);
  t.equal((await ask(`${server.url}/readyz`)).text, 'ready\n');
  t.equal((await ask(`${server.url}/users/7`)).text, 'hello');
});

test('while the server stops it is healthy and not ready, until its last response', async (t) => {
  const { server, ask } = serving(t, { metrics: { port: 0 } });
  const client = new RawClient(server.port as number).write('GET /wait HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(() => server.busyCount === 1);
  const closed = server.close({ graceMs: 60_000 });
  t.match(await ask(`${server.metricsUrl}/readyz`), { status: 503, text: 'stopping\n' });
  t.equal((await ask(`${server.metricsUrl}/healthz`)).status, 200);
  client.reset();
  await closed;
});

test('during a notice it is not ready, and serves as before, until another close ends the notice', async (t) => {
  const { server, ask } = serving(t, { metrics: { port: 0 } });
  const closed = server.close({ noticeMs: Number.POSITIVE_INFINITY });
  t.match(await ask(`${server.metricsUrl}/readyz`), { status: 503, text: 'stopping\n' });
  t.same([server.isStopping, server.closing.aborted], [true, false]);
  const client = new RawClient(server.port as number);
  for (const answers of [1, 2]) {
    client.write('GET /users/7 HTTP/1.1\r\nHost: x\r\n\r\n');
    await client.until(() => client.answers === answers, 'an answer on a connection that is kept');
  }
  t.notMatch(client.text, /connection: close/i);
  client.write('GET /wait HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(() => server.busyCount === 1);
  t.equal(server.close({ noticeMs: 60_000, graceMs: 0 }), closed);
  t.equal(server.busyCount, 1, 'the grace begins after the notice');
  t.equal(server.close(), closed);
  await until(() => client.isClosed);
  await closed;
  t.ok(server.closing.aborted);
});

test('a server that is replaced does not speak for the site', async (t) => {
  const { server } = serving(t, { metrics: { port: 0 } });
  const client = new RawClient(server.port as number).write('GET /wait HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(() => server.busyCount === 1);
  server.isWatchShared = true; // as at a take-over
  const closed = server.close({ graceMs: 60_000 });
  t.equal(await server.whyNotReady(), null, 'its successor is ready');
  client.reset();
  await closed;
});

test('a server with a full line is not ready', async (t) => {
  const { server, ask } = serving(t, { metrics: { port: 0 }, limits: { requestsInFlight: 1, requestsQueued: 1 } });
  const dial = () => new RawClient(server.port as number).write('GET /wait HTTP/1.1\r\nHost: x\r\n\r\n');
  const clients = [dial(), dial()];
  await until(() => server.busyCount === 2);
  t.match(await ask(`${server.metricsUrl}/readyz`), { status: 503, text: 'overloaded\n' });
  const { text } = await ask(`${server.metricsUrl}/metrics`);
  t.match(text, /^http_requests_in_flight 1$/m);
  t.match(text, /^http_requests_queued 1$/m);
  for (const client of clients) client.reset();
  await until(() => server.busyCount === 0);
  t.equal((await ask(`${server.metricsUrl}/readyz`)).status, 200);
});

test('a worker that is full is ready as long as another one is, and tells what all have counted', async (t) => {
  let isOtherReady = true;
  const asked: string[] = [];
  peers.join({
    index: 1,
    tell: () => {},
    askOthers: async (subject, tally) => {
      asked.push(subject);
      await new Promise((resolve) => setImmediate(resolve));
      return tally === undefined ? [isOtherReady] : [tally];
    },
    tally: (subject) => void asked.push(`the last of ${subject}`),
  });
  t.teardown(() => peers.join(null));
  const { server, ask } = serving(t, { metrics: { port: 0 }, limits: { requestsInFlight: 1, requestsQueued: 1 } });
  const readyz = () => ask(`${server.metricsUrl}/readyz`);
  t.equal((await readyz()).text, 'ready\n');
  t.same(asked, [], 'nobody else need be asked');
  const dial = () => new RawClient(server.port as number).write('GET /wait HTTP/1.1\r\nHost: x\r\n\r\n');
  const clients = [dial(), dial()];
  await until(() => server.busyCount === 2);
  t.equal((await readyz()).text, 'ready\n');
  t.same(asked, [`simplenet:readiness ${server.url}`]);
  isOtherReady = false;
  t.match(await readyz(), { status: 503, text: 'overloaded\n' });

  asked.length = 0;
  const [first, second] = await Promise.all([server.families(), server.families()]);
  t.equal(first, second);
  t.same(asked, [`simplenet:metrics ${server.url}`], 'scrapes at the same time ask once');
  const { text } = await ask(`${server.metricsUrl}/metrics`);
  t.match(text, /^http_requests_queued 2$/m, 'the other worker says the same');
  for (const client of clients) client.reset();
  await server.close({ graceMs: 0 });
  t.equal(asked.at(-1), `the last of simplenet:metrics ${server.url}`);
});

test('connections that are turned away at the door are counted by reason', async (t) => {
  const { server, ask } = serving(t, { metrics: { port: 0 }, limits: { connectionsPerAddress: 2, connections: 1 } });
  const dial = (text: string) => new RawClient(server.port as number).write(text);
  const wait = 'GET /wait HTTP/1.1\r\nHost: x\r\n\r\n';
  const idle = dial('GET /users/1 HTTP/1.1\r\nHost: x\r\n\r\n');
  await idle.until(() => idle.answers === 1, 'an answer');
  let busy = dial(wait);
  while (server.commons.door.counts.evicted === 0) {
    await until(() => busy.isOver || server.commons.door.counts.evicted === 1); // the response to the idle one may still be on its way
    if (server.commons.door.counts.evicted === 0) busy = dial(wait);
  }
  await until(() => server.busyCount === 1);
  await dial(wait).ended();
  const { text } = await ask(`${server.metricsUrl}/metrics`);
  t.match(text, /reason="connections"\} [1-9]/);
  t.match(text, /reason="evicted"\} 1/);
  busy.reset();
});

test('a port that is taken, and a mistake in the options, leave nothing behind', async (t) => {
  const { server } = serving(t, {});
  t.throws(() => serve(new Router(), { metrics: { port: server.port as number } }), { code: 'EADDRINUSE' });
  const loop = createEventLoop({ backend: 'epoll' });
  t.teardown(() => loop.close());
  t.throws(
    () =>
      serve(new Router(), {
        loop,
        tls: certificateFor('localhost'),
        redirectFrom: 0,
        limits: { requestsInFlight: 1 },
        metrics: { port: server.port as number },
      }),
    { code: 'EADDRINUSE' },
  );
  await until(() => loop.openCount === 0);
  const check = (metrics: unknown) => () => checkMetricsOptions(metrics);
  t.throws(check(true), new TypeError('metrics must be an object such as { port: 9100 }, not true'));
  t.throws(check({ prot: 1 }), RangeError);
  t.throws(check({ port: 65_536 }), RangeError);
  t.throws(check({ port: -1 }), RangeError);
  t.throws(check({ port: '1' }), RangeError);
  t.throws(check({ port: 1, host: 1 }), TypeError);
  t.throws(check({ host: '::1' }), new RangeError('metrics.host is for metrics.port, which is not given'));
  t.throws(check({ fd: 5 }), new RangeError('metrics.fd is for metrics.port, which is not given'));
  for (const fd of ['5', -1, 1.5])
    t.throws(check({ port: 1, fd }), { message: /^metrics\.fd must be an integer >= 0/ });
  t.throws(check({ path: 'metrics' }), RangeError);
  t.doesNotThrow(check({ port: 65_535, host: '::1', path: '/m' }));
});

test('system calls are counted, and so is why they failed', async (t) => {
  const { libc, counts } = countingLibc();
  const loop = createEventLoop({ backend: 'epoll', libc });
  const listener = loop.listen({ address: '127.0.0.1', port: 0 }, () => ({ onData: () => {} }));
  t.throws(() => loop.listen(listener.address, () => ({ onData: () => {} })), { code: 'EADDRINUSE' });
  loop.close();
  t.equal(counts.get('listen')?.calls, 1);
  t.same([...(counts.get('bind')?.errors ?? [])], [['EADDRINUSE', 1]]);
});
