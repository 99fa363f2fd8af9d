/** What is reported of an answer: each way in which one can end, what is counted, and that nothing is while no code listens. */

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Test, test } from 'tap';
import { Connection } from '../../../http/connection/connection.ts';
import {
  defaultLimits,
  type Handler,
  HttpError,
  type HttpRequest,
  type Outcome,
  Router,
  type ServeOptions,
  type Server,
  serve,
} from '../../../http/index.ts';
import { portOf } from '../../../simplenet/kernel/socket-address.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { MemoryCommons, MemoryStream } from '../../support/memory-server.ts';
import { RawClient } from '../../support/raw-client.ts';
import { until } from '../../support/waiting.ts';

const get = (path: string, fields = '') => `GET ${path} HTTP/1.1\r\nHost: x\r\n${fields}\r\n`;

interface Watched {
  readonly server: Server;
  readonly client: RawClient;
  readonly outcomes: Outcome[];
}

function watched(t: Test, site: Handler | Router, options: ServeOptions = {}): Watched {
  const outcomes: Outcome[] = [];
  const server = serve(site, { onDone: (outcome) => outcomes.push(outcome), onError: () => {}, ...options });
  t.teardown(() => server.close({ graceMs: 0 }));
  return { server, client: new RawClient(portOf(server.address)), outcomes };
}

for (const backend of backends) {
  test(`an outcome counts each byte of an answer, however it was written (${backend})`, {
    skip: missingBackend[backend],
  }, async (t) => {
    const router = new Router();
    router.get('/text', (_request, response) => response.text('hello'));
    router.get('/utf8', (_request, response) => response.text('hellö'));
    router.get('/bytes', (_request, response) => response.bytes(Buffer.alloc(100_000)));
    router.get('/pieces/:id', async (_request, response) => {
      await response.write('one');
      await response.write(Buffer.alloc(70_000));
      response.trailer('X-End', 'yes').end();
    });
    router.get('/headers', (_request, response) => response.header('X-A', 'b').empty());
    router.post('/upload', async (request, response) => response.text(await request.text()));
    const { client, outcomes } = watched(t, router, { backend });
    const requests = [
      get('/text'),
      get('/utf8'),
      get('/bytes'),
      get('/pieces/7'),
      get('/headers'),
      get('/none'),
      'POST /upload HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody',
    ];
    let before = 0;
    for (const [i, request] of requests.entries()) {
      client.write(request);
      await until(() => outcomes.length === i + 1);
      const outcome = outcomes[i] as Outcome;
      await client.until(() => client.receivedBytes - before >= outcome.bytesOut, 'all that was counted');
      await sleep(5);
      t.equal(client.receivedBytes - before, outcome.bytesOut, request.split(' ')[1] as string);
      before = client.receivedBytes;
      t.equal(outcome.bytesIn, request.length);
      t.ok(outcome.firstByteMs !== null && outcome.firstByteMs >= 0 && outcome.firstByteMs <= outcome.durationMs);
      t.ok(Math.abs(Date.now() - outcome.startedAt) < 60_000);
    }
    t.same(
      outcomes.map(({ method, path, route, status }) => [method, path, route, status]),
      [
        ['GET', '/text', '/text', 200],
        ['GET', '/utf8', '/utf8', 200],
        ['GET', '/bytes', '/bytes', 200],
        ['GET', '/pieces/7', '/pieces/:id', 200],
        ['GET', '/headers', '/headers', 204],
        ['GET', '/none', null, 404],
        ['POST', '/upload', '/upload', 200],
      ],
    );
    t.ok(outcomes.every(({ clientGone, error }) => !clientGone && error === null));
  });
}

test('answers that no handler gives are reported, and errors of handlers', async (t) => {
  const reset = (client: RawClient) => client.socket.resetAndDestroy();
  const gone: [string, (client: RawClient) => void][] = [];
  const server: Handler = async (request, response) => {
    if (request.path === '/throw') throw new Error('boom');
    if (request.path === '/refuse') throw new HttpError(409, 'a conflict');
    if (request.path === '/break') {
      await response.write('some');
      throw new Error('broken');
    }
    if (request.path === '/silent') await new Promise(() => {});
    if (request.path === '/body') response.text(await request.text());
    if (request.path === '/upgrade') response.upgrade('x', () => ({ onData: () => {} }));
  };
  const { outcomes, server: running } = watched(t, server, {
    timeouts: { headerMs: 50, answerMs: 50 },
    limits: { bodyBytes: 10, requestLineBytes: 100, headBytes: 200 },
  });
  const conversations: [text: string, method: string, status: number, error: RegExp | null][] = [
    ['nonsense\r\n\r\n', '', 400, /malformed/],
    [get(`/${'x'.repeat(100)}`), '', 414, /too large/],
    [get('/', `X: ${'x'.repeat(200)}\r\n`), '', 431, /too large/],
    ['GET / HT', '', 408, /took too long/],
    [get('/throw'), 'GET', 500, /^Error: boom/],
    [get('/refuse'), 'GET', 409, /a conflict/],
    [get('/break'), 'GET', 200, /broken/],
    [get('/silent'), 'GET', 503, /answerMs/],
    [get('/upgrade', 'Connection: upgrade\r\nUpgrade: x\r\n'), 'GET', 101, null],
    ['POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz', 'POST', 400, /malformed chunked/],
  ];
  for (const [i, [text, method, status, error]] of conversations.entries()) {
    const client = new RawClient(portOf(running.address)).write(text);
    await until(() => outcomes.length === i + 1);
    const outcome = outcomes[i] as Outcome;
    t.equal(outcome.method, method, text.slice(0, 30));
    t.equal(outcome.status, status);
    t.equal(outcome.request === null, method === '');
    t.equal(outcome.clientGone, false);
    if (error === null) t.equal(outcome.error, null);
    else t.match(String(outcome.error), error);
    client.socket.destroy();
  }
  t.same(gone, []);
  reset(new RawClient(portOf(running.address)));
});

test('a client that leaves before its answer, or in the middle of it, is reported as gone, and one that stays is not', async (t) => {
  const { server, outcomes } = watched(t, async (request, response) => {
    if (request.path === '/large') return response.bytes(Buffer.alloc(30_000_000));
    await new Promise(() => {});
  });
  const before = new RawClient(portOf(server.address)).write(get('/never'));
  await until(() => server.connectionCount === 1);
  await sleep(5);
  before.socket.resetAndDestroy();
  await until(() => outcomes.length === 1);
  t.match(outcomes[0], { path: '/never', status: 0, firstByteMs: null, clientGone: true, bytesOut: 0 });
  const within = new RawClient(portOf(server.address), { keepsText: false }).write(get('/large'));
  await within.until(() => within.receivedBytes > 0, 'some of it');
  within.socket.pause();
  t.equal(outcomes.length, 1, 'the kernel cannot have all of it');
  within.socket.resetAndDestroy();
  await until(() => outcomes.length === 2);
  t.match(outcomes[1], { path: '/large', status: 200, clientGone: true });
  const whole = new RawClient(portOf(server.address), { keepsText: false }).write(get('/large'));
  await until(() => outcomes.length === 3);
  t.match(outcomes[2], { path: '/large', status: 200, clientGone: false });
  t.ok((outcomes[2]?.durationMs ?? 0) >= (outcomes[2]?.firstByteMs ?? 0));
  whole.socket.destroy();
});

test('the server that ends an answer itself does not call its client gone', async (t) => {
  const { server, client, outcomes } = watched(t, () => new Promise(() => {}));
  client.write(get('/'));
  await until(() => server.connectionCount === 1);
  await sleep(5);
  await server.close({ graceMs: 1, idleGraceMs: 1 });
  t.match(outcomes, [{ path: '/', status: 0, clientGone: false }]);
});

test('an error in onDone is reported, and harms no answer', async (t) => {
  const reported: [string, HttpRequest | null][] = [];
  const { client } = watched(t, (_request, response) => response.text('hello'), {
    onDone() {
      throw new Error('a full disk');
    },
    onError: (error, request) => reported.push([(error as Error).message, request]),
  });
  client.write(get('/'));
  await until(() => reported.length === 1);
  await client.until(() => client.text.endsWith('hello'), 'the answer');
  t.equal(reported[0]?.[0], 'a full disk');
  t.equal(reported[0]?.[1]?.path, '/');
});

test('a promise of onDone that rejects is reported: it does not end the process', async (t) => {
  const reported: [string, HttpRequest | null][] = [];
  const { client } = watched(t, (_request, response) => response.text('hello'), {
    async onDone() {
      await null;
      throw new Error('a lost database');
    },
    onError: (error, request) => reported.push([(error as Error).message, request]),
  });
  client.write(get('/'));
  await until(() => reported.length === 1);
  t.equal(reported[0]?.[0], 'a lost database');
  t.equal(reported[0]?.[1]?.path, '/');
});

test('request.done is the outcome; read too late it has no figures', async (t) => {
  const seen: Outcome[] = [];
  const kept: HttpRequest[] = [];
  const server = serve(async (request, response) => {
    kept.push(request);
    if (request.path === '/late') return response.text('hello');
    t.equal(request.done, request.done);
    void request.done.then((outcome) => seen.push(outcome));
    if (request.path === '/later') await sleep(1);
    response.text('hello');
  });
  t.teardown(() => server.close({ graceMs: 0 }));
  const client = new RawClient(portOf(server.address)).write(get('/') + get('/later') + get('/late'));
  await client.until(() => client.answers === 3, 'all answers');
  await until(() => seen.length === 2);
  t.match(seen[0], { path: '/', status: 200, clientGone: false });
  t.match(seen[1], { path: '/later', status: 200 });
  t.ok((seen[0]?.bytesOut ?? 0) > 100);
  t.match(await kept[2]?.done, { path: '/late', bytesOut: 0, status: 0, clientGone: false });
});

test('with a listener or metrics, request.done is also there after the answer', async (t) => {
  for (const options of [{ onDone: () => {} }, { metrics: {} }]) {
    const kept: HttpRequest[] = [];
    const server = serve((request, response) => {
      kept.push(request);
      if (request.path === '/early') void request.done;
      response.text('hello');
    }, options);
    t.teardown(() => server.close({ graceMs: 0 }));
    const client = new RawClient(portOf(server.address)).write(get('/early') + get('/late'));
    await client.until(() => client.answers === 2, 'both answers');
    const [early, late] = await Promise.all(kept.map((request) => request.done));
    t.match(early, { path: '/early', status: 200, clientGone: false });
    t.ok(early?.firstByteMs !== null, 'its first byte was awaited');
    t.match(late, { path: '/late', status: 200, bytesOut: early?.bytesOut as number });
    t.ok(Math.abs(Date.now() - (late?.startedAt ?? 0)) < 60_000);
    t.equal(kept[1]?.done, kept[1]?.done);
  }
});

test('the channels carry each request and each outcome, and without a subscriber nothing is counted', async (t) => {
  const started: unknown[] = [];
  const done: unknown[] = [];
  const onStart = (message: unknown) => void started.push(message);
  const onDone = (message: unknown) => void done.push(message);
  const server = serve((_request, response) => response.text('hello'));
  t.teardown(() => server.close({ graceMs: 0 }));
  const client = new RawClient(portOf(server.address));
  t.equal(server.commons.observes, false);
  subscribe('simplenet:http:done', onDone);
  client.write(get('/a'));
  await until(() => done.length === 1);
  subscribe('simplenet:http:start', onStart);
  unsubscribe('simplenet:http:done', onDone);
  client.write(get('/b'));
  await client.until(() => client.answers === 2, 'the second answer');
  unsubscribe('simplenet:http:start', onStart);
  t.equal(server.commons.observes, false);
  client.write(get('/c'));
  await client.until(() => client.answers === 3, 'the third answer');
  t.match(done, [{ path: '/a', status: 200 }]);
  t.equal(started.length, 1);
  t.match(started, [{ request: { path: '/b' }, server }]);
});

test('an answer is over when its client has taken it, and a pipeline that waits is at most a turn', (t) => {
  const stream = new MemoryStream(true);
  const context = new MemoryCommons((_request, response) => response.text('hello'), defaultLimits);
  context.observes = true;
  const connection = new Connection(context, stream);
  stream.handler = connection;
  connection.onData(stream, Buffer.from(get('/1') + get('/2')));
  t.equal(context.outcomes.length, 0);
  stream.drain();
  t.same(
    context.outcomes.map(({ path }) => path),
    ['/1', '/2'],
  );
  connection.onData(stream, Buffer.from(get('/3')));
  connection.onClose(stream, new Error('ECONNRESET'));
  t.match(context.outcomes[2], { path: '/3', clientGone: true });
  t.equal(context.outcomes.length, 3);
  t.end();
});
