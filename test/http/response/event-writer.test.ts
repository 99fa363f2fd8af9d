/** A stream of events: its head, its limits, its heartbeat, and each of its ends. */

import { PassThrough } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createInflateRaw } from 'node:zlib';
import { type Test, test } from 'tap';
import { Connection } from '../../../http/connection/connection.ts';
import {
  defaultLimits,
  EventChannel,
  type EventOptions,
  type EventWriter,
  type Handler,
  type HttpRequest,
  inject,
  type ResponseWriter,
  Router,
} from '../../../http/index.ts';
import { ECONNRESET } from '../../../simplenet/kernel/abi.ts';
import { SystemError } from '../../../simplenet/kernel/system-error.ts';
import { collectGarbage } from '../../support/collect-garbage.ts';
import { MemoryCommons, MemoryStream } from '../../support/memory-server.ts';
import { until } from '../../support/waiting.ts';
import { answer, DATE, exchange, responseTo, Sink } from './response-sink.ts';

const HEAD = `HTTP/1.1 200 OK\r\n${DATE}Content-Type: text/event-stream\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n`;
const MIB = 1024 * 1024;

/** A connection whose handler begins a stream of events. */
function streaming(options: EventOptions = {}, method = 'GET', fields = '') {
  const all: EventWriter[] = [];
  const home = new MemoryCommons((_request, response) => void all.push(response.events(options)), defaultLimits);
  const stream = new MemoryStream(false);
  const connection = new Connection(home, stream);
  stream.handler = connection;
  const ask = () => connection.onData(stream, Buffer.from(`${method} / HTTP/1.1\r\nHost: x\r\n${fields}\r\n`));
  ask();
  const events = all[0] as EventWriter;
  /** The bytes since the last time. */
  let seen = 0;
  const news = async () => {
    await nextTurn();
    const text = stream.sent.toString();
    const rest = text.slice(seen);
    seen = text.length;
    return rest;
  };
  return { home, stream, connection, events, ask, all, news };
}

async function isSettled(promise: Promise<void>): Promise<boolean> {
  return Promise.race([promise.then(() => true), nextTurn(false)]);
}

test('the head leaves at once, and each event is a chunk', async (t) => {
  const { events, news } = streaming();
  t.equal(await news(), HEAD);
  t.equal(events.lastEventId, '');
  t.ok(events.send({ data: 'one' }));
  t.ok(events.comment('two'));
  t.equal(await news(), 'b\r\ndata: one\n\n\r\n7\r\n: two\n\n\r\n');
  t.throws(() => events.send({ data: '', id: '\n' }), TypeError);
  t.notOk(events.isClosed);
  t.notOk(await isSettled(events.closed));
  events.close();
  t.ok(events.isClosed);
  t.ok(await isSettled(events.closed));
  t.equal(await news(), '0\r\n\r\n');
  events.close();
  t.notOk(events.send({ data: 'late' }));
  t.notOk(events.comment('late'));
  t.throws(() => events.send({ data: '', id: '\n' }), TypeError, 'a mistake is one at any time');
  t.ok(await isSettled(events.closed), 'for those who ask later');
  t.equal(await news(), '');
});

test('HTTP/1.0 gets the bytes as they are, up to the end of the connection', async (t) => {
  const sink = new Sink();
  sink.minorVersion = 0;
  const events = responseTo(sink).events();
  const channel = new EventChannel();
  channel.add(events);
  events.send({ data: 'a' });
  channel.send({ data: 'b' });
  t.match(sink.text, /Connection: close\r\n\r\ndata: a\n\ndata: b\n\n$/);
});

test('HEAD, 204 and a server that stops get no stream', async (t) => {
  t.equal(
    answer((response) => t.ok(response.events().isClosed), { isHeadRequest: true }),
    HEAD,
  );
  t.notMatch(
    answer((response) => t.ok(response.status(204).events().isClosed)),
    'chunked',
  );
  const { sink, response } = exchange();
  sink.mustEndStreams = true;
  t.ok(response.events().isClosed);
  t.equal(sink.text, `${HEAD}0\r\n\r\n`);
  t.ok(response.hasEnded);

  const gone = exchange({ isClosed: true });
  const events = gone.response.events();
  t.same([events.isClosed, events.send({ data: 'x' }), gone.sink.text], [true, false, '']);
  t.ok(await isSettled(events.closed));
});

test('Last-Event-ID is UTF-8, and Cache-Control may be chosen', async (t) => {
  const { sink, response } = exchange();
  sink.fields = { 'last-event-id': Buffer.from('é7').toString('latin1') };
  t.equal(response.header('Cache-Control', 'no-cache').events().lastEventId, 'é7');
  t.match(sink.text, 'Cache-Control: no-cache\r\n');
  t.equal(streaming({}, 'GET', 'Last-Event-ID: 12\r\n').events.lastEventId, '12');
});

test('mistakes of the program throw', async (t) => {
  for (const heartbeatMs of [99, 0, -1, Number.NaN]) {
    t.throws(() => exchange().response.events({ heartbeatMs }), /heartbeatMs must be at least 100/);
  }
  for (const maxQueuedBytes of [0, -1, Number.NaN]) {
    t.throws(() => exchange().response.events({ maxQueuedBytes }), /maxQueuedBytes must be > 0/);
  }
  t.doesNotThrow(() => exchange().response.events({ heartbeatMs: 100, maxQueuedBytes: 1 }));
  t.doesNotThrow(() => exchange().response.events({ heartbeatMs: Number.POSITIVE_INFINITY }));
  t.throws(() => exchange().response.header('Content-Length', 1).events(), /no Content-Length/);
  const { response } = exchange();
  response.events();
  t.throws(() => response.events(), /after the response had begun/);
  t.throws(() => response.write('x'), /write\(\) was called while events\(\) sends a stream/);
  t.throws(() => response.end(), /while events/);
  t.throws(() => response.body('x'), /while events|had begun/);
});

test('a slow client may let maxQueuedBytes wait, and no byte more', async (t) => {
  for (const [options, max] of [
    [{}, MIB],
    [{ maxQueuedBytes: 1_000 }, 1_000],
  ] as const) {
    const { stream, connection, events, news } = streaming(options);
    await news();
    stream.queuedBytes = max;
    t.notOk(events.send({ data: 'n' }), 'it waits');
    t.notOk(events.isClosed);
    t.match(await news(), 'data: n');
    const channel = new EventChannel();
    channel.add(events);
    stream.queuedBytes = max + 1;
    t.equal(channel.send({ data: 'n + 1' }), 0, 'it has left the channel');
    t.ok(events.isClosed);
    t.ok(await isSettled(events.closed));
    t.ok(stream.wasAborted);
    t.equal(await news(), '');
    connection.onClose(stream, null);
  }
});

test('after a silence a comment is sent, and anything that is sent begins the silence again', async (t) => {
  const { stream, events, news } = streaming({ heartbeatMs: 5_000 });
  await news();
  t.equal(stream.deadlineMs, 5_000);
  stream.passDeadline();
  t.equal(await news(), '3\r\n:\n\n\r\n');
  t.equal(stream.deadlineMs, 5_000);

  stream.deadlineMs = 1;
  events.send({ data: 'x' });
  await news();
  t.equal(stream.deadlineMs, 5_000);
  stream.deadlineMs = 1;
  const channel = new EventChannel();
  channel.add(events);
  channel.comment('x');
  t.equal(stream.deadlineMs, 5_000);
  t.equal(await news(), '5\r\n: x\n\n\r\n');

  stream.queuedBytes = 1;
  stream.passDeadline();
  t.equal(await news(), '', 'the client has enough to read');
  t.equal(stream.deadlineMs, 5_000);
  stream.queuedBytes = 0;

  t.equal(streaming().stream.deadlineMs, 15_000);
  t.equal(streaming({ heartbeatMs: Number.POSITIVE_INFINITY }).stream.deadlineMs, Number.POSITIVE_INFINITY);
});

test('while a body is still coming, its deadline counts, and the heartbeat begins behind it', async (t) => {
  const { stream, connection, events, news } = streaming({ heartbeatMs: 5_000 }, 'POST', 'Content-Length: 2\r\n');
  const channel = new EventChannel();
  channel.add(events);
  stream.deadlineMs = 1;
  channel.comment('x');
  t.equal(stream.deadlineMs, 1, 'that of the body');
  connection.onData(stream, Buffer.from('ab'));
  t.equal(stream.deadlineMs, 5_000);
  stream.deadlineMs = 1;
  channel.comment('x');
  t.equal(stream.deadlineMs, 5_000);
  t.match(await news(), /: x\n\n\r\n5\r\n: x\n\n\r\n$/);
});

test('a stream whose handler is done keeps its request only if something needs it', async (t) => {
  const requests = async (handler: Handler, observes = false) => {
    let request: WeakRef<HttpRequest> | null = null;
    const home = new MemoryCommons((its, response) => {
      request = new WeakRef(its);
      return handler(its, response);
    }, defaultLimits);
    home.observes = observes;
    const stream = new MemoryStream(false);
    const connection = new Connection(home, stream);
    connection.onData(stream, Buffer.from('GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'));
    await nextTurn();
    await nextTurn(); // a WeakRef holds its target up to the end of the task
    collectGarbage();
    const isKept = (request as WeakRef<HttpRequest> | null)?.deref() !== undefined;
    return { isKept, home, stream, connection };
  };
  let events: EventWriter | null = null;
  const begin: Handler = (_request, response) => {
    events = response.events();
  };
  const plain = await requests(begin);
  t.notOk(plain.isKept);
  (events as EventWriter | null)?.close();
  t.match(plain.stream.sent.toString(), /0\r\n\r\n$/);
  t.ok(plain.stream.isEnded);

  t.notOk((await requests(async (request, response) => begin(request, response))).isKept);
  t.ok((await requests((_request, response) => void response.write('x'))).isKept, 'no stream of events');
  const atWork = async (_request: HttpRequest, response: ResponseWriter) => {
    response.events();
    await new Promise(() => {});
  };
  t.ok((await requests(atWork)).isKept, 'its handler may still fail');
  const compressing: Handler = (_request, response) => {
    response.transformBody(() => new PassThrough()).events();
  };
  t.ok((await requests(compressing)).isKept, 'its transform may still fail');
  const observed = await requests(begin, true);
  t.ok(observed.isKept);
  observed.connection.onClose(observed.stream, null);
  t.match(observed.home.outcomes, [{ path: '/a', request: { path: '/a' } }]);
});

test('a program that has kept the request of a stream may still ask it', async (t) => {
  const kept: HttpRequest[] = [];
  const home = new MemoryCommons((request, response) => {
    kept.push(request);
    response.events();
  }, defaultLimits);
  const stream = new MemoryStream(false);
  const connection = new Connection(home, stream);
  connection.onData(stream, Buffer.from('GET /a HTTP/1.1\r\nHost: x\r\nX: y\r\n\r\n'));
  const [request] = kept as [HttpRequest];
  t.equal(request.headers.get('x'), 'y');
  const { done } = request;
  request.waitUntil(Promise.resolve());
  connection.onClose(stream, new SystemError('recv', -ECONNRESET));
  t.match(await done, { method: 'GET', path: '/a', clientGone: true, request });
});

test('each way in which a client leaves ends the stream, without an error', async (t) => {
  const ended = streaming();
  ended.connection.onEnd(ended.stream);
  t.ok(ended.events.isClosed);
  t.match(await ended.news(), /0\r\n\r\n$/);

  const serves = streaming();
  serves.home.halfClose = 'serve';
  serves.connection.onEnd(serves.stream);
  t.notOk(serves.events.isClosed);

  const closed = streaming();
  closed.connection.onClose(closed.stream, null);
  t.ok(closed.events.isClosed);
  t.ok(await isSettled(closed.events.closed));
  t.notOk(closed.events.send({ data: 'x' }));

  const before: EventWriter[] = [];
  const home = new MemoryCommons(async (_request, response) => {
    await nextTurn();
    before.push(response.events());
  }, defaultLimits);
  const stream = new MemoryStream(false);
  const connection = new Connection(home, stream);
  connection.onData(stream, Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'));
  connection.onEnd(stream);
  await nextTurn();
  t.ok(before[0]?.isClosed, 'one that has left before it begins');
  for (const { home } of [ended, serves, closed]) t.same(home.reported, []);
});

test('the server stops: the program may say goodbye, and the stream ends', async (t) => {
  const home = new MemoryCommons((request, response) => {
    const events = response.events();
    request.closing.addEventListener('abort', () => events.send({ data: 'goodbye' }));
  }, defaultLimits);
  const stream = new MemoryStream(false);
  const connection = new Connection(home, stream);
  connection.onData(stream, Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'));
  await nextTurn();
  home.isStopping = true;
  connection.stop();
  t.match(stream.sent.toString(), /data: goodbye\n\n\r\n0\r\n\r\n$/);

  const late = streaming();
  late.events.close();
  late.home.isStopping = true;
  late.ask();
  t.ok(late.all[1]?.isClosed);
});

test('a handler that fails later cuts the stream', async (t) => {
  const all: EventWriter[] = [];
  const home = new MemoryCommons((_request, response) => {
    all.push(response.events());
    throw new Error('too late');
  }, defaultLimits);
  const stream = new MemoryStream(false);
  const connection = new Connection(home, stream);
  connection.onData(stream, Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'));
  const [events] = all as [EventWriter];
  t.ok(stream.wasAborted);
  connection.onClose(stream, null);
  t.ok(events.isClosed);
  t.notOk(events.send({ data: 'x' }));
  t.ok(await isSettled(events.closed));
  t.equal(home.reported.length, 1);
});

test('events pass through the transforms of middleware', async (t) => {
  const { sink, response } = exchange();
  response.transformBody(() => new PassThrough());
  const events = response.events({ maxQueuedBytes: 1 });
  const channel = new EventChannel();
  channel.add(events);
  events.send({ data: 'a' });
  channel.send({ data: 'b' });
  await nextTurn();
  t.match(sink.text, 'data: a\n\n');
  t.match(sink.text, 'data: b\n\n');
  t.notOk(events.isClosed);
  events.heartbeat();
  await nextTurn();
  t.match(sink.text, ':\n\n');
  events.close();
  await nextTurn();
  t.match(sink.text, /0\r\n\r\n$/);

  const broken = exchange();
  broken.response.transformBody(() => createInflateRaw());
  const lost = broken.response.events();
  lost.send({ data: 'not deflated' });
  while (broken.sink.breaks === 0) await nextTurn();
  t.equal(broken.sink.failures.length, 1);
});

test('a callback of middleware that throws leaves a closed stream', async (t) => {
  const { sink, response } = exchange();
  response.beforeHead(() => {
    throw new Error('no');
  });
  const events = response.events();
  t.ok(events.isClosed);
  t.notOk(events.send({ data: 'x' }));
  t.same([sink.text, sink.failures.length], ['', 1]);
});

test('without a connection', async (t: Test) => {
  const site = new Router().get('/', (request, response) => {
    const events = response.events();
    const channel = new EventChannel();
    channel.add(events);
    events.send({ data: request.path });
    channel.send({ data: events.lastEventId });
    events.close();
  });
  const got = await inject(site, { url: '/', headers: { 'Last-Event-ID': '4' } });
  t.equal(got.headers.get('content-type'), 'text/event-stream');
  t.equal(got.text(), 'data: /\n\ndata: 4\n\n');

  const later = new EventChannel();
  const open = inject(async (_request, response) => later.add(response.events()), { url: '/' });
  await until(() => later.size === 1);
  await nextTurn();
  later.send({ data: 'x' });
  later.close();
  t.equal((await open).text(), 'data: x\n\n', 'the handler was done before');
});
