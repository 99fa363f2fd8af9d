/** PieceSource and body(): each kind of source, read piece by piece, and ended when nobody reads it any more. */

import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { test } from 'tap';
import { markHandled } from '../../../http/promises.ts';
import type { BodyPieces } from '../../../http/response/piece-source.ts';
import { DATE, exchange } from './response-sink.ts';

const CHUNKED = `HTTP/1.1 200 OK\r\n${DATE}Transfer-Encoding: chunked\r\n\r\n`;
const AB = `${CHUNKED}1\r\na\r\n2\r\n\xc3\xa4\r\n0\r\n\r\n`;

async function* pieces(): AsyncGenerator<string | Uint8Array> {
  yield 'a';
  yield '';
  yield Buffer.from('ä');
}

function streamOf(...all: unknown[]): ReadableStream {
  return new ReadableStream({
    start(controller) {
      for (const each of all) controller.enqueue(each);
      controller.close();
    },
  });
}

const sources: Readonly<Record<string, () => BodyPieces>> = {
  'a ReadableStream': () => streamOf('a', Buffer.from('ä')),
  'an async generator': pieces,
  'a stream of Node': () => Readable.from(['a', Buffer.from('ä')], { objectMode: true }),
  'an iterator without return': () => {
    const iterator = pieces();
    return { [Symbol.asyncIterator]: () => ({ next: () => iterator.next() }) };
  },
};

for (const [kind, make] of Object.entries(sources)) {
  test(`body of ${kind}: its pieces, and its end`, async (t) => {
    const { sink, response } = exchange();
    await response.body(make());
    t.equal(sink.text, AB);
    t.same([sink.completions, sink.breaks, sink.failures, response.hasEnded], [1, 0, [], true]);
  });

  test(`body of ${kind}: to HTTP/1.0, with a length, and to HEAD`, async (t) => {
    const old = exchange({ minorVersion: 0 });
    await old.response.body(make());
    t.equal(old.sink.text, `HTTP/1.1 200 OK\r\n${DATE}Connection: close\r\n\r\na\xc3\xa4`);
    const sized = exchange();
    await sized.response.header('Content-Length', 3).body(make());
    t.equal(sized.sink.text, `HTTP/1.1 200 OK\r\n${DATE}Content-Length: 3\r\n\r\na\xc3\xa4`);
    for (const [isHeadRequest, status, head] of [
      [true, 200, CHUNKED],
      [false, 204, `HTTP/1.1 204 No Content\r\n${DATE}\r\n`],
      [false, 304, `HTTP/1.1 304 Not Modified\r\n${DATE}\r\n`],
      [false, 205, `HTTP/1.1 205 Reset Content\r\n${DATE}Content-Length: 0\r\n\r\n`],
    ] as const) {
      const { sink, response } = exchange({ isHeadRequest });
      await response.status(status).body(make());
      t.equal(sink.text, head);
      t.equal(sink.completions, 1);
    }
  });

  test(`body of ${kind}: a length that is wrong`, async (t) => {
    const long = exchange();
    await t.rejects(long.response.header('Content-Length', 2).body(make()), /Content-Length is 2/);
    t.ok(long.sink.text.endsWith('\r\n\r\na'), 'nothing of what is too much has left');
    t.ok(long.sink.breaks > 0);
    t.equal(long.sink.failures.length, 1, 'it is reported once');
    const short = exchange();
    await t.rejects(short.response.header('Content-Length', 4).body(make()), /Content-Length is 4, but only 3/);
    t.ok(short.sink.breaks > 0);
    t.equal(short.sink.completions, 0);
    t.equal(short.sink.failures.length, 1);
  });
}

test('a body that is whole: no Content-Type is added', async (t) => {
  const head = `HTTP/1.1 200 OK\r\n${DATE}Content-Length: 2\r\n\r\n`;
  for (const body of ['ä', Buffer.from('ä')]) {
    const { sink, response } = exchange();
    t.equal(response.body(body), undefined);
    t.equal(sink.text, `${head}\xc3\xa4`);
    const other = exchange();
    other.response.header('Content-Type', 'text/x').body(body);
    t.match(other.sink.text, /\r\nContent-Type: text\/x\r\n/);
  }
});

test('a Blob: its length and its type, unless others are set', async (t) => {
  const blob = new Blob(['grüße'], { type: 'text/x' });
  const { sink, response } = exchange();
  await response.body(blob);
  t.equal(sink.sent.toString(), `HTTP/1.1 200 OK\r\n${DATE}Content-Type: text/x\r\nContent-Length: 7\r\n\r\ngrüße`);
  const other = exchange({ isHeadRequest: true });
  await other.response.header('Content-Type', 'a/b').body(blob);
  t.equal(other.sink.text, `HTTP/1.1 200 OK\r\n${DATE}Content-Type: a/b\r\nContent-Length: 7\r\n\r\n`);
  const untyped = exchange();
  await untyped.response.body(new Blob([]));
  t.equal(untyped.sink.text, `HTTP/1.1 200 OK\r\n${DATE}Content-Length: 0\r\n\r\n`);
  const wrong = exchange();
  await t.rejects(wrong.response.header('Content-Length', 8).body(blob), /Content-Length is 8, but only 7/);
});

test('what is no body throws, and another response can be given', async (t) => {
  for (const body of [null, undefined, 5, {}, [], new ArrayBuffer(2), () => {}]) {
    const { sink, response } = exchange();
    t.throws(() => void response.body(body as never), TypeError);
    response.text('x');
    t.match(sink.text, /\r\n\r\nx$/);
  }
  const locked = streamOf('a');
  locked.getReader();
  t.throws(() => void exchange().response.body(locked), TypeError, 'a stream that somebody else reads');
});

test('a stream continues what has been written', async (t) => {
  const { sink, response } = exchange();
  await response.write('<');
  await response.body(new Blob(['x'], { type: 'text/x' }));
  t.equal(sink.text, `${CHUNKED}1\r\n<\r\n1\r\nx\r\n0\r\n\r\n`);
});

test('nothing else can be sent meanwhile, and nothing be prepared, except trailers', async (t) => {
  const { sink, response } = exchange();
  const stream = new PassThrough();
  const sending = response.body(stream);
  const calls: [string, () => unknown][] = [
    ['text', () => response.text('x')],
    ['write', () => response.write('x')],
    ['end', () => response.end()],
    ['body', () => response.body('x')],
    ['body', () => response.body(pieces())],
    ['header', () => response.header('X', '1')],
    ['status', () => response.status(404)],
    ['informational', () => response.informational(103)],
  ];
  for (const [name, call] of calls) t.throws(call, { message: `${name}() was called while body() sends a stream` });
  t.ok(response.isSending);
  response.trailer('X', '1');
  stream.end('a');
  await sending;
  t.equal(sink.text, `${CHUNKED}1\r\na\r\n0\r\nX: 1\r\n\r\n`);
  t.notOk(response.isSending);
});

test('the next piece is asked for when the client has taken the one before', async (t) => {
  const { sink, response } = exchange();
  let asked = 0;
  const source: AsyncIterable<string> = {
    [Symbol.asyncIterator]: () => ({
      next: async () => ({ done: ++asked > 3, value: 'x' }),
    }),
  };
  let drain = () => {};
  sink.drain = new Promise((resolve) => {
    drain = resolve;
  });
  const sending = response.body(source);
  await nextTurn();
  t.equal(asked, 1);
  drain();
  await sending;
  t.equal(asked, 4);
});

/** A source of each kind that yields one piece and waits then; `ended` says what it was told. */
function waiting(): Record<string, { source: BodyPieces; ended: () => unknown }> {
  const reasons: unknown[] = [];
  const stream = new ReadableStream({
    start: (controller) => controller.enqueue(Buffer.from('a')),
    cancel: (reason) => void reasons.push(reason),
  });
  const node = new PassThrough();
  node.write('a');
  let hasReturned = false;
  let isFirst = true;
  const iterable: AsyncIterable<string> = {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        if (!isFirst) return new Promise(() => {});
        isFirst = false;
        return Promise.resolve({ value: 'a' });
      },
      return: () => {
        hasReturned = true;
        return Promise.reject(new Error('return fails, and nobody needs to know'));
      },
    }),
  };
  return {
    'a ReadableStream': { source: stream, ended: () => (reasons[0] as Error | undefined)?.message },
    'a stream of Node': { source: node, ended: () => (node.destroyed ? 'gone' : undefined) },
    'an iterable': { source: iterable, ended: () => (hasReturned ? 'gone' : undefined) },
  };
}

for (const kind of Object.keys(waiting())) {
  test(`when the client leaves, ${kind} is ended, also while it waits`, async (t) => {
    const { source, ended } = waiting()[kind] as { source: BodyPieces; ended: () => unknown };
    const { sink, response } = exchange();
    const sending = response.body(source);
    await nextTurn();
    t.ok(sink.text.endsWith('\r\n\r\n1\r\na\r\n'));
    sink.isClosed = true;
    response.connectionClosed(new Error('gone'));
    await t.rejects(sending, { message: 'gone' });
    await nextTurn();
    t.equal(ended(), 'gone');
    t.same([sink.failures, sink.completions, sink.breaks], [[], 0, 0]);
    t.notOk(response.isSending);
  });
}

test('when the client leaves during a piece, the source is ended', async (t) => {
  const { sink, response } = exchange();
  let reason: unknown;
  const source = new ReadableStream({
    pull(controller) {
      controller.enqueue('x');
      sink.isClosed = true;
      sink.drain = markHandled(Promise.reject(new Error('gone')));
    },
    cancel: (given) => {
      reason = given;
    },
  });
  await t.rejects(response.body(source), { message: 'gone' });
  t.match(reason, { message: 'gone' });
});

test('a source that is cancelled while a piece waits for the client has not ended well', async (t) => {
  const { sink, response } = exchange();
  let drain = () => {};
  sink.drain = new Promise((resolve) => {
    drain = resolve;
  });
  const sending = response.body(waiting()['a ReadableStream']?.source as BodyPieces);
  await nextTurn();
  response.cancelSource(new Error('has ended its side'));
  drain();
  await t.rejects(sending, { message: 'has ended its side' });
  t.notOk(sink.text.includes('\r\n0\r\n'));
  t.same([sink.completions, sink.breaks], [0, 1]);
});

test('when the client leaves with the last piece, the promise says so', async (t) => {
  const { sink, response } = exchange();
  async function* source() {
    yield 'x';
    sink.isClosed = true;
    sink.drain = markHandled(Promise.reject(new Error('gone')));
  }
  await t.rejects(response.body(source()), { message: 'gone' });
  t.notOk(sink.text.includes('\r\n0\r\n'));
});

const failing: Readonly<Record<string, (error: unknown) => BodyPieces>> = {
  'a ReadableStream': (error) => {
    let count = 0;
    return new ReadableStream({
      pull: (controller) => (count++ === 0 ? controller.enqueue('a') : controller.error(error)),
    });
  },
  'an async generator': async function* (error) {
    yield 'a';
    throw error;
  },
  'a stream of Node': (error) => {
    const stream = new PassThrough();
    stream.write('a');
    setImmediate(() => stream.destroy(error as Error));
    return stream;
  },
  'a piece that is no piece': () => streamOf('a', 5),
};

for (const [kind, make] of Object.entries(failing)) {
  test(`what fails midway breaks the response and never ends it: ${kind}`, async (t) => {
    const { sink, response } = exchange();
    const error = new TypeError('broken');
    await t.rejects(response.body(make(error)), TypeError);
    t.ok(sink.text.endsWith('\r\n\r\n1\r\na\r\n'), 'no last chunk');
    t.same([sink.breaks, sink.completions, sink.failures.length], [1, 0, 1]);
    t.ok(response.hasFailedWith(sink.failures[0]), 'so that it is not reported twice');
    t.notOk(response.hasFailedWith(new Error('another')));
  });
}

test('what fails before its first piece leaves room for an error response', async (t) => {
  for (const source of [
    (async function* () {
      yield* [];
      throw new Error('broken');
    })(),
    { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error('broken')) }) },
    {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          throw new Error('broken');
        },
      }),
    },
  ] satisfies BodyPieces[]) {
    const { sink, response } = exchange();
    await t.rejects(response.body(source), { message: 'broken' });
    t.same([sink.breaks, sink.failures.length, response.hasBegun], [0, 1, false]);
    response.restart();
    response.status(500).text('sorry');
    t.match(sink.text, /^HTTP\/1\.1 500 [\s\S]*sorry$/);
  }
});

test('another response in place of a stream that has not begun: the stream is ended', async (t) => {
  const { sink, response } = exchange();
  const stream = new PassThrough();
  const sending = response.body(stream);
  response.restart();
  response.status(500).text('sorry');
  await t.rejects(sending, { message: 'another response is sent instead' });
  if (!stream.destroyed) await once(stream, 'close');
  t.same([sink.failures, sink.breaks, sink.completions], [[], 0, 1]);
});

test('a source is not read for a response without a body, and is ended', async (t) => {
  let isRead = false;
  let isCancelled = false;
  const source = new ReadableStream(
    {
      pull: () => {
        isRead = true;
      },
      cancel: () => {
        isCancelled = true;
      },
    },
    { highWaterMark: 0 },
  );
  await exchange({ isHeadRequest: true }).response.body(source);
  t.same([isRead, isCancelled], [false, true]);
});
