/** The hooks of middleware: what they see, in which order, what they may do, and what becomes of their errors. */

import { PassThrough, Transform } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { test } from 'tap';
import { markHandled } from '../../../http/promises.ts';
import type { ResponseWriter } from '../../../http/response/response-writer.ts';
import { until } from '../../support/waiting.ts';
import { answer, DATE, exchange, responseTo, Sink, TEXT } from './response-sink.ts';

const CHUNKED = 'Transfer-Encoding: chunked\r\n';

/** An exchange that sends an error response as the real one does. */
class AnsweringSink extends Sink {
  response: ResponseWriter | null = null;

  override handlerFailed(error: unknown): void {
    super.handlerFailed(error);
    if (this.response === null || this.response.hasBegun) return;
    this.response.restart();
    this.response.status(500).text('sorry');
  }
}

function answering(request: object = {}): { sink: AnsweringSink; response: ResponseWriter } {
  const sink = Object.assign(new AnsweringSink(), request);
  const response = responseTo(sink);
  sink.response = response;
  return { sink, response };
}

function upperCase(): Transform {
  return new Transform({
    transform: (piece: Buffer, _encoding, done) => done(null, piece.toString('latin1').toUpperCase()),
  });
}

test('beforeHead: sees status, fields and a whole body, and may change the head', async (t) => {
  const seen: unknown[] = [];
  const give = (r: ResponseWriter) => {
    r.beforeHead((body) => {
      seen.push([
        r.statusCode,
        r.getHeader('content-type'),
        [...r.headers],
        body === null ? null : String(Buffer.from(body)),
      ]);
      r.status(203, 'Changed').header('X', '1');
    });
    return r;
  };
  t.equal(
    answer((r) => give(r).text('ä')),
    `HTTP/1.1 203 Changed\r\n${DATE}${TEXT}X: 1\r\nContent-Length: 2\r\n\r\n\xc3\xa4`,
  );
  t.equal(
    answer((r) => give(r).header('Content-Type', 'a/b').bytes(Buffer.from('x'))),
    `HTTP/1.1 203 Changed\r\n${DATE}Content-Type: a/b\r\nX: 1\r\nContent-Length: 1\r\n\r\nx`,
  );
  t.equal(
    answer((r) => void give(r).write('x')),
    `HTTP/1.1 203 Changed\r\n${DATE}X: 1\r\n${CHUNKED}\r\n1\r\nx\r\n`,
  );
  t.match(
    answer((r) => give(r).empty(404)),
    /^HTTP\/1\.1 203 Changed\r\n/,
  );
  t.match(
    answer((r) => give(r).redirect('/x')),
    /^HTTP\/1\.1 203 Changed\r\n[\s\S]*Location: \/x\r\nX: 1\r\nContent-Length: 0/,
  );
  t.same(seen, [
    [200, 'text/plain; charset=utf-8', [['Content-Type', 'text/plain; charset=utf-8']], 'ä'],
    [200, 'a/b', [['Content-Type', 'a/b']], 'x'],
    [200, null, [], null],
    [404, null, [], ''],
    [302, null, [['Location', '/x']], ''],
  ]);
});

test('beforeHead: the implied type can be removed, and a body become none', async (t) => {
  t.equal(
    answer((r) => r.beforeHead(() => void r.removeHeader('Content-Type')).text('x')),
    `HTTP/1.1 200 OK\r\n${DATE}Content-Length: 1\r\n\r\nx`,
  );
  t.equal(
    answer((r) => r.beforeHead(() => void r.status(304).header('ETag', '"x"')).text('x')),
    `HTTP/1.1 304 Not Modified\r\n${DATE}ETag: "x"\r\n\r\n`,
  );
});

test('the last one that was added comes first', async (t) => {
  const order: string[] = [];
  const { sink, response } = exchange();
  for (const name of ['outer', 'inner']) {
    response.beforeHead(() => void order.push(name));
    response.transformBody(() => {
      order.push(`${name} transform`);
      return new Transform({ transform: (piece, _encoding, done) => done(null, `${name}(${piece})`) });
    });
  }
  response.text('x');
  await until(() => sink.completions === 1);
  t.same(order, ['inner', 'outer', 'inner transform', 'outer transform']);
  t.match(sink.text, /\r\n\r\nf\r\nouter\(inner\(x\)\)\r\n0\r\n\r\n$/);
});

test('an error of a callback: one error response, for which the others are called again', async (t) => {
  for (const send of [
    (r: ResponseWriter) => r.text('x'),
    (r: ResponseWriter) => r.bytes(Buffer.from('x')),
    (r: ResponseWriter) => r.end(),
    (r: ResponseWriter) => void r.write('x'),
    (r: ResponseWriter) => r.trailer('X', '1').end(),
    (r: ResponseWriter) => r.trailer('X', '1').end('x'),
    (r: ResponseWriter) => r.empty(),
    (r: ResponseWriter) => void r.body(new Blob(['x'])),
    (r: ResponseWriter) => void r.body(new Blob([])),
  ]) {
    const { sink, response } = answering();
    const calls: string[] = [];
    response.header('Cache-Control', 'public').header('X-Request-Id', '7');
    response.beforeHead(() => {
      calls.push('fails');
      throw new Error('callback');
    });
    response.beforeHead(() => void calls.push('fine'));
    send(response);
    await until(() => sink.completions === 1);
    t.equal(
      sink.text,
      `HTTP/1.1 500 Internal Server Error\r\n${DATE}${TEXT}X-Request-Id: 7\r\nContent-Length: 5\r\n\r\nsorry`,
    );
    t.same(calls, ['fine', 'fails', 'fine']);
    t.same([sink.completions, sink.breaks, sink.failures.length], [1, 0, 1]);
    t.ok(response.hasFailedWith(sink.failures[0]));
  }
});

test('errors of all callbacks and factories: as many reports, and one response', async (t) => {
  const { sink, response } = answering();
  for (let i = 0; i < 3; i++) {
    response.beforeHead(() => {
      throw new Error(`callback ${i}`);
    });
    response.transformBody(() => {
      throw new Error(`factory ${i}`);
    });
  }
  response.text('x');
  t.equal(sink.failures.length, 6);
  t.match(sink.text, /^HTTP\/1\.1 500 [\s\S]*sorry$/);
  t.equal(sink.completions, 1);
});

test('a write that a callback has failed rejects with its error', async (t) => {
  const { response } = answering();
  response.beforeHead(() => {
    throw new Error('callback');
  });
  await t.rejects(response.write('x'), { message: 'callback' });
});

test('a callback cannot send, add callbacks, or be async', async (t) => {
  const attempts: [name: string, (r: ResponseWriter) => unknown][] = [
    ['text', (r) => r.text('y')],
    ['write', (r) => r.write('y')],
    ['end', (r) => r.end()],
    ['body', (r) => r.body('y')],
    ['beforeHead', (r) => r.beforeHead(() => {})],
    ['transformBody', (r) => r.transformBody(() => null)],
    ['informational', (r) => r.informational(103)],
  ];
  for (const [name, attempt] of attempts) {
    const { sink, response } = answering();
    response.beforeHead(() => void attempt(response)).text('x');
    t.match(sink.failures, [{ message: `${name}() was called in a callback of beforeHead() or transformBody()` }]);
    t.match(sink.text, /^HTTP\/1\.1 500 /);
  }
  const { sink, response } = answering();
  response.beforeHead((async () => Promise.reject(new Error('late'))) as () => void).text('x');
  t.match(sink.failures, [{ message: /does not wait for a promise/ }]);
});

const kinds: Readonly<Record<string, () => Transform | TransformStream>> = {
  'a transform of Node': upperCase,
  'a TransformStream': () =>
    new TransformStream<Uint8Array, Uint8Array>({
      transform: (piece, controller) =>
        controller.enqueue(Buffer.from(Buffer.from(piece).toString('latin1').toUpperCase())),
    }),
};

for (const [kind, make] of Object.entries(kinds)) {
  test(`transformBody with ${kind}: whole bodies and streamed ones`, async (t) => {
    const give = async (send: (r: ResponseWriter) => unknown, request = {}) => {
      const { sink, response } = exchange(request);
      response.transformBody(make);
      send(response);
      await until(() => sink.completions === 1);
      t.same([sink.failures, sink.breaks, response.isSending], [[], 0, false]);
      return sink.text;
    };
    const whole = `HTTP/1.1 200 OK\r\n${DATE}${TEXT}${CHUNKED}\r\n2\r\nAB\r\n0\r\n\r\n`;
    t.equal(await give((r) => r.text('ab')), whole);
    t.equal(await give((r) => r.header('Content-Length', 2).text('ab')), whole, 'the length is dropped');
    t.equal(
      await give((r) => r.text('ab'), { minorVersion: 0 }),
      `HTTP/1.1 200 OK\r\n${DATE}${TEXT}Connection: close\r\n\r\nAB`,
    );
    const pieces = async (r: ResponseWriter) => {
      await r.write('a');
      await r.write('b');
      r.trailer('X', '1').end('c');
    };
    t.match(await give(pieces), /\r\n\r\n1\r\nA\r\n[\s\S]*C\r\n0\r\nX: 1\r\n\r\n$/);
    t.match(await give((r) => r.body(new Blob(['ab']))), /Transfer-Encoding: chunked\r\n\r\n2\r\nAB\r\n0\r\n\r\n$/);
    t.equal(
      await give((r) => r.text('ab'), { isHeadRequest: true }),
      `HTTP/1.1 200 OK\r\n${DATE}${TEXT}${CHUNKED}\r\n`,
      'to HEAD: the head of GET',
    );
    t.equal(
      await give((r) => r.header('Content-Length', 2).end(), { isHeadRequest: true }),
      `HTTP/1.1 200 OK\r\n${DATE}Content-Type: application/octet-stream\r\n${CHUNKED}\r\n`,
    );
    t.match(await give((r) => r.status(200).empty()), /\r\nContent-Length: 0\r\n\r\n$/, 'nothing is nothing');
    for (const status of [204, 304]) t.notMatch(await give((r) => r.status(status).text('ab')), /chunked|ab/i);
    t.match(await give((r) => r.status(205).end()), /\r\nContent-Length: 0\r\n\r\n$/);
  });

  test(`transformBody with ${kind}: when the client leaves`, async (t) => {
    const { sink, response } = exchange();
    const stage = make();
    response.transformBody(() => stage);
    void response.write('a');
    await until(() => sink.text.includes('A'));
    t.ok(response.isSending);
    sink.isClosed = true;
    response.connectionClosed(new Error('gone'));
    await until(() => !response.isSending);
    t.same([sink.failures, sink.breaks, sink.completions], [[], 0, 0]);
  });
}

test('transformBody: a factory declines when it has seen status, fields and body', async (t) => {
  const seen: unknown[] = [];
  const { sink, response } = exchange();
  response.transformBody((body) => {
    seen.push(response.statusCode, response.getHeader('content-type'), body?.byteLength);
    return null;
  });
  response.beforeHead(() => void response.status(404));
  response.text('ab');
  t.same(seen, [404, 'text/plain; charset=utf-8', 2]);
  t.equal(sink.text, `HTTP/1.1 404 Not Found\r\n${DATE}${TEXT}Content-Length: 2\r\n\r\nab`);
});

test('transformBody: only the first transform gets the body that the handler gave', async (t) => {
  const seen: (number | undefined)[] = [];
  const { sink, response } = exchange();
  response.transformBody((body) => {
    seen.push(body?.byteLength);
    return null;
  });
  response.transformBody((body) => {
    seen.push(body?.byteLength);
    return upperCase();
  });
  response.text('ab');
  await until(() => sink.completions === 1);
  t.same(seen, [2, undefined]);
});

test('transformBody: bytes in place of a whole body, which the next factory gets', async (t) => {
  const seen: unknown[] = [];
  const give = (r: ResponseWriter) => {
    r.transformBody((body) => {
      seen.push(String(Buffer.from(body as Uint8Array)));
      return Buffer.from('three');
    });
    r.transformBody(() => Buffer.from('two'));
    r.header('Content-Length', 3).text('one');
  };
  t.match(answer(give), /Content-Length: 5\r\n\r\nthree$/);
  t.same(seen, ['two']);

  const through = exchange();
  through.response.transformBody(upperCase);
  through.response.transformBody(() => Buffer.from('two'));
  through.response.text('one');
  await until(() => through.sink.completions === 1);
  t.match(through.sink.text, /3\r\nTWO\r\n0\r\n\r\n$/);

  const wrong = exchange();
  wrong.response.transformBody(() => Buffer.from('two'));
  t.throws(
    () => wrong.response.header('Content-Length', 4).text('one'),
    /Content-Length is 4, but the body has 3 bytes/,
  );

  const { sink, response } = answering();
  response.transformBody(() => Buffer.from('two'));
  void response.write('in pieces');
  t.match(sink.failures, [{ message: /bytes in place of a whole body/ }]);
});

test('transformBody: what is no transform is a mistake, and those made before it are ended', async (t) => {
  for (const mistake of [undefined, 5, 'x', {}, new PassThrough().readable]) {
    const { sink, response } = answering();
    const made: Transform[] = [];
    response.transformBody((() => mistake) as unknown as () => null);
    response.transformBody(() => {
      made.push(upperCase());
      return made.at(-1) as Transform;
    });
    response.text('x');
    await until(() => sink.completions === 1);
    t.match(sink.failures, [{ message: /returns a transform stream or null/ }]);
    t.ok(made[0]?.destroyed);
    t.match(sink.text, /SORRY/, 'the error response passes those that work');
  }
});

test('transformBody: the promise of an async factory is a mistake, and its rejection does not end the process', async (t) => {
  const { sink, response } = answering();
  const failing = Promise.reject(new Error('no dictionary'));
  response.transformBody((() => failing) as unknown as () => null);
  response.text('x');
  t.match(sink.failures, [{ message: /returns a transform stream or null/ }]);
  await nextTurn(); // an unhandled rejection would be reported by now, and fail the test
});

test('transformBody: a wrong length throws before a byte has left', async (t) => {
  for (const send of [(r: ResponseWriter) => r.text('abc'), (r: ResponseWriter) => void r.write('abc')]) {
    const { sink, response } = exchange();
    let made: Transform | null = null;
    response.transformBody(() => {
      made = upperCase();
      return made;
    });
    t.throws(() => send(response.header('Content-Length', 2)), /Content-Length is 2/);
    t.equal(sink.text, '');
    t.match(made, { destroyed: true });
  }
  const { sink, response } = exchange();
  await response.transformBody(upperCase).header('Content-Length', 3).write('ab');
  t.notOk(response.hasPromisedLength, 'what is sent has none');
  t.throws(() => response.end(), /only 2 bytes were written/);
  t.equal(sink.breaks, 1);
});

test('transformBody: an error of a transform cuts a response that has begun', async (t) => {
  const failing = (): Transform =>
    new Transform({ transform: (_piece, _encoding, done) => done(new Error('transform')) });
  const objects = (): Transform =>
    new Transform({ readableObjectMode: true, transform: (_piece, _encoding, done) => done(null, 5) });
  for (const make of [failing, objects]) {
    const whole = exchange();
    whole.response.transformBody(make).text('x');
    await until(() => whole.sink.breaks > 0);
    t.same([whole.sink.completions, whole.sink.failures.length], [0, 1]);
    t.notOk(whole.sink.text.endsWith('0\r\n\r\n'));
    t.throws(() => whole.response.text('y'), /after the response had ended/);
  }
  const { sink, response } = exchange();
  void response.transformBody(failing).write('x');
  await until(() => sink.breaks > 0);
  await t.rejects(response.write('y'), { message: 'transform' });
});

test('transformBody: a piece is copied, so the handler may use its bytes again', async (t) => {
  const { sink, response } = exchange();
  response.transformBody(() => new PassThrough());
  const bytes = Buffer.from('abc');
  await response.write(bytes);
  bytes.fill('x');
  response.end();
  await until(() => sink.completions === 1);
  t.match(sink.text, /3\r\nabc\r\n/);
});

test('transformBody: backpressure reaches the handler, and one who does not wait is cut off at the limit', async (t) => {
  const { sink, response } = exchange({});
  let drain = () => {};
  sink.drain = new Promise((resolve) => {
    drain = resolve;
  });
  response.transformBody(() => new PassThrough({ highWaterMark: 10 }));
  await response.write('12345');
  for (let i = 0; i < 3; i++) void response.write(Buffer.alloc(100));
  await nextTurn();
  let isReady = false;
  void response.write('x').then(() => {
    isReady = true;
  });
  await nextTurn();
  t.notOk(isReady);
  drain();
  await until(() => isReady);

  const careless = exchange();
  const stage = new PassThrough({ highWaterMark: 10 });
  careless.sink.drain = new Promise(() => {});
  careless.response.transformBody(() => stage);
  for (let i = 0; i < 5; i++) void careless.response.write(Buffer.alloc(100));
  await nextTurn();
  void careless.response.write(Buffer.alloc(careless.sink.answerBufferBytes - stage.writableLength));
  void careless.response.write('x');
  t.equal(careless.sink.breaks, 0, 'as much as the limit may wait, and one piece more');
  t.equal(stage.writableLength, careless.sink.answerBufferBytes + 1);
  await t.rejects(careless.response.write('x'), /too much is queued/);
  t.equal(careless.sink.breaks, 1);
  careless.response.connectionClosed(new Error('gone'));
});

test('transformBody: a transform may yield strings', async (t) => {
  const { sink, response } = exchange();
  response.transformBody(
    () => new Transform({ readableObjectMode: true, transform: (_p, _e, done) => done(null, 'ä') }),
  );
  response.text('x');
  await until(() => sink.completions === 1);
  t.match(sink.text, /\r\n2\r\n\xc3\xa4\r\n0/);
});

test('transformBody: what a transform yields after the client has left is dropped', async (t) => {
  const { sink, response } = exchange();
  let done: (error: Error | null, piece?: string) => void = () => {};
  const stage = new Transform({
    transform: (_piece, _encoding, callback) => {
      done = callback;
    },
  });
  await response.transformBody(() => stage).write('a');
  await nextTurn();
  const before = sink.text;
  sink.isClosed = true;
  sink.drain = markHandled(Promise.reject(new Error('gone')));
  done(null, 'late');
  await until(() => stage.destroyed);
  t.equal(sink.text, before);
  t.same([sink.failures, sink.completions], [[], 0]);
  sink.isClosed = false;
  await t.rejects(response.write('b'), { message: 'gone' });
});

test('transformBody: a write to a transform that is being destroyed rejects', async (t) => {
  const { response } = exchange();
  await response.transformBody(() => new PassThrough()).write('a');
  response.connectionClosed(new Error('gone'));
  await t.rejects(response.write('b'), { name: 'ClientGoneError' });
});
