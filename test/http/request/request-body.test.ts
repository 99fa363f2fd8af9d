/** RequestBody: between a connection that pushes and a handler that reads when it likes. */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Test, test } from 'tap';
import type { HttpError } from '../../../http/http-error.ts';
import { defaultLimits, type Limits } from '../../../http/limits.ts';
import { ChunkedDecoder, LengthDecoder } from '../../../http/request/body-decoder.ts';
import { BodyMemory } from '../../../http/request/body-memory.ts';
import { type BodySource, RequestBody } from '../../../http/request/request-body.ts';
import { cpuMsOf } from '../../support/machine-time.ts';

/** Notes what the body asks of its connection. */
class Source implements BodySource {
  readonly limits: Limits;
  readonly bodyMemory: BodyMemory;
  readonly refusals: HttpError[] = [];
  /** What the alarms of the memory would call, in the order in which they were set. */
  readonly alarms: (() => void)[] = [];
  calls: string[] = [];

  constructor(limits: Partial<Limits>, memory?: BodyMemory) {
    this.limits = { ...defaultLimits, ...limits };
    const after = (_delayMs: number, callback: () => void) => {
      this.alarms.push(callback);
      return { cancel: () => {} };
    };
    this.bodyMemory = memory ?? new BodyMemory(this.limits.bodyMemoryBytes, 1, after);
  }

  refuseBody(error: HttpError): void {
    this.refusals.push(error);
  }

  resumeReading(): void {
    this.calls.push('wanted');
  }

  pauseReading(): void {
    this.calls.push('enough');
  }

  /** What was asked since the last time. */
  take(): string[] {
    const { calls } = this;
    this.calls = [];
    return calls;
  }
}

function sized(length: number, bufferBytes = 1_000, limits: Partial<Limits> = {}, memory?: BodyMemory) {
  const source = new Source({ bodyBufferBytes: bufferBytes, ...limits }, memory);
  return { source, body: new RequestBody(new LengthDecoder(length), source) };
}

function chunked(bufferBytes = 1_000, limits: Partial<Limits> = {}) {
  const source = new Source({ bodyBufferBytes: bufferBytes, ...limits });
  return { source, body: new RequestBody(new ChunkedDecoder(defaultLimits), source) };
}

/** As the loop does: the buffer is used for something else as soon as it was pushed. */
function push(body: RequestBody, content: string | Uint8Array): number {
  const bytes = Buffer.from(content as string);
  const used = body.push(bytes, 0, bytes.length);
  bytes.fill('!');
  return used;
}

/** A body that has come as a whole. */
function complete(content: string | Uint8Array): RequestBody {
  const { body } = sized(Buffer.byteLength(content));
  push(body, content);
  return body;
}

/** Whether a promise has settled, once everything that was due has run. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  return (await Promise.race([promise.catch(() => null), nextTurn(pending)])) === pending;
}

test('a body is read in pieces, and ends in null', async (t) => {
  const { body } = sized(5);
  push(body, 'ab');
  push(body, 'cde');
  let text = '';
  for (let piece = await body.read(); piece !== null; piece = await body.read()) text += piece;
  t.equal(text, 'abcde');
  t.equal(await body.read(), null, 'and stays ended');
});

test('a reader that is early waits, and gets the bytes when they come', async (t) => {
  const { body, source } = sized(4);
  const first = body.read();
  t.same(source.take(), ['wanted']);
  t.ok(await isPending(first));
  push(body, 'ab');
  t.equal(String(await first), 'ab');
  const second = body.read();
  t.same(source.take(), ['wanted']);
  push(body, 'cd');
  t.equal(String(await second), 'cd');
  t.equal(await body.read(), null);
  t.same(source.take(), [], 'nothing is wanted of a body that is complete');
});

test('a pending read at the end resolves with null', async (t) => {
  const { body } = chunked();
  push(body, '1\r\na\r\n');
  t.equal(String(await body.read()), 'a');
  const end = body.read();
  t.ok(await isPending(end));
  push(body, '0\r\nX: 1\r\n\r\n');
  t.equal(await end, null);
  t.equal(body.trailers?.get('x'), '1');
});

test('one reader at a time', async (t) => {
  const { body } = sized(2);
  const first = body.read();
  await t.rejects(body.read(), { message: 'the body is being read already: await the earlier read() first' });
  push(body, 'ab');
  t.equal(String(await first), 'ab', 'the first read is not disturbed');
});

test('push takes what is body, and nothing behind it', async (t) => {
  const { body } = sized(3);
  const bytes = Buffer.from('xxabcGET');
  t.equal(body.push(bytes, 2, 8), 5);
  t.ok(body.isComplete);
  t.equal(body.receivedBytes, 3);
  t.equal(body.push(bytes, 5, 8), 5, 'nor later');
  t.equal(await body.text(), 'abc');
});

test('progress: bytes of content are counted, not those of chunks', async (t) => {
  const { body } = chunked();
  t.equal(body.receivedBytes, 0);
  t.notOk(body.isComplete);
  push(body, '3;x=y\r\nabc\r\n2\r\nd');
  t.equal(body.receivedBytes, 4);
  push(body, 'e\r\n0\r\n\r\n');
  t.equal(body.receivedBytes, 5);
  t.ok(body.isComplete);
});

test('backpressure: one byte below the limit, at the limit, above it', async (t) => {
  for (const [bytes, isEnough] of [
    [9, false],
    [10, true],
    [11, true],
  ] as const) {
    const { body, source } = sized(100, 10);
    push(body, 'x'.repeat(bytes));
    t.same(source.take(), isEnough ? ['enough'] : [], `${bytes} of 10 bytes wait`);
    await body.read();
    t.same(source.take(), isEnough ? ['wanted'] : [], `${bytes} of 10 bytes were read`);
  }
});

test('backpressure: pieces add up, and reading asks for more once, when there is room again', async (t) => {
  const { body, source } = sized(100, 10);
  push(body, 'xxxx');
  push(body, 'xxxxx');
  t.same(source.take(), [], '9 wait');
  push(body, 'xxxx');
  t.same(source.take(), ['enough'], '13 wait');
  push(body, 'x');
  t.same(source.take(), ['enough'], 'each further push pauses again');
  let left = 14;
  for (;;) {
    const wasFull = left >= 10;
    left -= ((await body.read()) as Buffer).length;
    t.same(source.take(), wasFull && left < 10 ? ['wanted'] : [], `${left} wait`);
    if (left === 0) break;
  }
});

test('backpressure: a reader that waits takes the bytes past the queue', async (t) => {
  const { body, source } = sized(100, 10);
  const waiting = body.read();
  source.take();
  push(body, 'x'.repeat(50));
  t.same(source.take(), [], 'nothing waits');
  t.equal((await waiting)?.length, 50);
});

test('backpressure: none for a body that is complete', async (t) => {
  const { body, source } = sized(10, 10);
  push(body, 'x'.repeat(10));
  t.same(source.take(), []);
  await body.read();
  t.same(source.take(), []);
});

test('iteration', async (t) => {
  const { body } = sized(6);
  push(body, 'ab');
  const read: string[] = [];
  const done = (async () => {
    for await (const piece of body) read.push(String(piece));
  })();
  await nextTurn();
  t.same(read, ['ab']);
  push(body, 'cd');
  await nextTurn();
  t.same(read, ['ab', 'cd']);
  push(body, 'ef');
  await done;
  t.same(read, ['ab', 'cd', 'ef']);
});

test('bytes, in one piece and in several', async (t) => {
  t.same(await complete(Buffer.from([0, 255, 128])).bytes(), Buffer.from([0, 255, 128]));
  const { body } = sized(4);
  const bytes = body.bytes();
  for (const piece of ['a', 'bc', 'd']) {
    await nextTurn();
    push(body, piece);
  }
  t.equal(String(await bytes), 'abcd');
});

test('text is UTF-8, also where a character comes in two pieces', async (t) => {
  t.equal(await complete('grüße 😀').text(), 'grüße 😀');
  const { body } = sized(4);
  const text = body.text();
  for (const byte of Buffer.from('😀')) push(body, Buffer.of(byte));
  t.equal(await text, '😀');
});

/** Counts the buffers that are made while `run` runs. */
async function buffersOf(t: Test, run: () => Promise<unknown>): Promise<number> {
  const { calls, restore } = t.capture(Buffer, 'allocUnsafeSlow', Buffer.allocUnsafeSlow);
  await run();
  restore();
  return calls.length;
}

test('a text in one piece is decoded where it was received; a text in two pieces, and bytes, are copied', async (t) => {
  const resultOf = async (read: (body: RequestBody) => Promise<unknown>, pieces: readonly string[]) => {
    const { body } = sized(4);
    const result = read(body);
    for (const piece of pieces) push(body, piece); // push() overwrites the bytes when the body has taken them
    return result;
  };
  const text = (body: RequestBody) => body.text();
  const bytes = async (body: RequestBody) => String(await body.bytes());
  for (const [read, pieces, buffers] of [
    [text, ['1234'], 0],
    [text, ['123', '4'], 1],
    [bytes, ['1234'], 1],
  ] as const) {
    const made = await buffersOf(t, async () => t.equal(await resultOf(read, pieces), '1234'));
    t.equal(made, buffers, `${pieces.length} pieces`);
  }
  const { body } = sized(4);
  const pipelined = body.text();
  t.equal(push(body, '12345'), 4, 'one byte more belongs to the next request');
  t.equal(await pipelined, '1234');
});

test('a text in one piece counts in the memory of bodies, until its answer has begun', async (t) => {
  const { source, body } = sized(4);
  const text = body.text();
  push(body, '1234');
  await text;
  t.equal(source.bodyMemory.usedBytes, 4);
  body.responseBegun();
  t.equal(source.bodyMemory.usedBytes, 0);
});

test('bytes that the program has are never overwritten by a later text', async (t) => {
  const { body } = sized(4);
  const piece = body.read();
  await t.rejects(body.text(), /being read already/);
  push(body, '1234');
  const kept = await piece;
  const next = sized(4);
  const text = next.body.text();
  push(next.body, '5678');
  t.equal(await text, '5678');
  t.equal(String(kept), '1234');
});

test('text that is not UTF-8 is refused with 400, also where it was received', async (t) => {
  const { body } = sized(2);
  const text = body.text();
  t.doesNotThrow(() => push(body, Buffer.of(0x61, 0xff)), 'it is not a malformed body: the next request has its place');
  await t.rejects(text, { name: 'HttpError', status: 400, message: 'the body is not valid UTF-8, at byte 1' });
  for (const bytes of [[0xff], [0xc3], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0x61, 0x80]]) {
    await t.rejects(complete(Buffer.from(bytes)).text(), { name: 'HttpError', status: 400 }, String(bytes));
  }
});

test('json', async (t) => {
  t.same(await complete('{"a":[1,"ä",null]}').json(), { a: [1, 'ä', null] });
  t.equal(await complete(' 1 ').json(), 1);
  for (const text of ['{', '{a:1}', "'a'", 'undefined', '1 2']) {
    await t.rejects(complete(text).json(), { name: 'HttpError', status: 400 }, text);
  }
  await t.rejects(complete(Buffer.of(0x22, 0xff, 0x22)).json(), {
    status: 400,
    message: 'the body is not valid UTF-8, at byte 1',
  });
  await t.rejects(complete('{\n "a": secret}').json(), {
    status: 400,
    message: 'the body is not valid JSON: unexpected character at line 2, column 7',
  });
  const polluted = (await complete('{"__proto__":{"x":1}}').json()) as { x?: unknown };
  t.equal(polluted.x, undefined, 'a __proto__ in it is a name like any other');
});

test('form', async (t) => {
  t.same(
    [...(await complete('a=1&b=%C3%A4+x&a=2&c').form())],
    [
      ['a', '1'],
      ['b', 'ä x'],
      ['a', '2'],
      ['c', ''],
    ],
  );
});

test('no body: it is empty, and can be read any number of times', async (t) => {
  const { none } = RequestBody;
  t.ok(none.isComplete);
  for (let i = 0; i < 2; i++) {
    t.equal(await none.text(), '');
    t.equal((await none.bytes()).length, 0);
    t.equal(await none.read(), null);
    for await (const _ of none) t.fail('a piece of nothing');
    await t.rejects(none.json(), { name: 'HttpError', status: 400 }, 'an empty text is not JSON');
  }
  t.equal(none.push(Buffer.from('abc'), 1, 3), 1, 'and takes nothing');
  none.fail(new Error('gone'));
  t.equal(await none.text(), '', 'nor does it fail: it is shared by all requests');
  t.equal(none.trailers, null);
});

test('cancel: what waits is dropped, the client is stopped, and readers learn of it', async (t) => {
  const { body, source } = sized(100, 10);
  push(body, 'abc');
  body.cancel();
  t.same(source.take(), ['enough']);
  await t.rejects(body.read(), { message: 'the body has been cancelled' });
  await t.rejects(body.text(), { message: /read already/ });
  t.equal(push(body, 'x'.repeat(50)), 50, 'what comes all the same is dropped');
  t.same(source.take(), []);
  body.fail(new Error('gone'));
  await t.rejects(body.read(), { message: 'the body has been cancelled' }, 'the first error stays');
});

test('cancel: a pending read is rejected, with the reason if there is one', async (t) => {
  const { body } = sized(5);
  const reading = body.bytes();
  const reason = new Error('enough of it');
  body.cancel(reason);
  await t.rejects(reading, reason);
  t.ok(body.hasFailedWith(reason));
});

test('cancel: a body that is complete, and none', async (t) => {
  const { body, source } = sized(3);
  push(body, 'abc');
  body.cancel();
  t.same(source.take(), [], 'there is nobody to stop');
  await t.rejects(body.read(), { message: 'the body has been cancelled' }, 'it does not look empty');
  RequestBody.none.cancel();
  t.equal(await RequestBody.none.text(), '', 'which all requests without a body share');
});

test('a second reading is an error, whichever way', async (t) => {
  const ways = ['text', 'json', 'bytes', 'form'] as const;
  for (const first of ways) {
    for (const second of ways) {
      const body = complete('{}');
      await body[first]();
      await t.rejects(body[second](), { message: /read already/ }, `${first}, then ${second}`);
    }
    const body = complete('{}');
    await body[first]();
    await t.rejects(body[Symbol.asyncIterator]().next(), { message: /read already/ }, `${first}, then iteration`);
  }
  const body = complete('{}');
  for await (const _ of body) break;
  await t.rejects(body.text(), { message: /read already/ }, 'iteration, then text');
});

test('two readings at the same time: the second is an error, the first is not', async (t) => {
  const { body } = sized(2);
  const first = body.text();
  await t.rejects(body.text(), { message: /read already/ });
  push(body, 'ab');
  t.equal(await first, 'ab');
});

test('fail reaches a reader that waits', async (t) => {
  const gone = new Error('gone');
  for (const way of ['read', 'text', 'json', 'bytes', 'form'] as const) {
    const { body } = sized(5);
    push(body, 'ab');
    if (way === 'read') await body.read();
    const reading = body[way]();
    t.ok(await isPending(reading), way);
    body.fail(gone);
    await t.rejects(reading, gone, way);
  }
});

test('fail reaches readers that come later, behind the bytes that had come before', async (t) => {
  const { body } = sized(5);
  push(body, 'ab');
  body.fail(new Error('gone'));
  body.fail(new Error('gone again'));
  t.equal(String(await body.read()), 'ab');
  await t.rejects(body.read(), { message: 'gone' });
  await t.rejects(body.read(), { message: 'gone' }, 'and again');
});

test('fail comes too late for a body that is complete', async (t) => {
  const body = complete('abc');
  body.fail(new Error('gone'));
  t.equal(await body.text(), 'abc');
});

test('a failure without a pending read is not an unhandled rejection', async (t) => {
  const unhandled: unknown[] = [];
  const note = (error: unknown) => unhandled.push(error);
  process.on('unhandledRejection', note);
  const { body } = sized(5);
  body.fail(new Error('gone'));
  await nextTurn();
  await nextTurn();
  process.off('unhandledRejection', note);
  t.same(unhandled, []);
});

test('push throws for malformed bytes, and the bytes before them can be read', async (t) => {
  const { body } = chunked();
  t.throws(() => push(body, '2\r\nab\r\nx\r\n'), { name: 'HttpError', status: 400 });
  t.equal(String(await body.read()), 'ab');
});

test('discard: what waits is dropped, and so is what comes', async (t) => {
  const { body, source } = sized(100, 10);
  push(body, 'x'.repeat(9));
  body.discard();
  t.equal(push(body, 'x'.repeat(50)), 50, 'it is still consumed');
  t.equal(body.receivedBytes, 59, 'and counted');
  t.same(source.take(), [], 'and is never pauseReading: nothing is kept');
  await t.rejects(body.text(), Error, 'a late reader learns that it is late');
});

test('discard: a reader never takes the rest of a body for all of it', async (t) => {
  const { body } = sized(6);
  push(body, 'ab');
  body.discard();
  push(body, 'cdef');
  t.ok(body.isComplete);
  await t.rejects(body.text(), Error, 'not even when it has come to its end');
});

test('discard: a pending read is rejected, and does not resolve as at the end', async (t) => {
  const { body } = sized(6);
  push(body, 'ab');
  const reading = body.text();
  reading.catch(() => {});
  await nextTurn();
  body.discard();
  push(body, 'cdef');
  t.notOk(await isPending(reading), 'it has settled');
  await t.rejects(reading, Error);
});

test('discard: a reader that waits for a client that sends no more is not left waiting', async (t) => {
  const { body } = sized(6);
  const reading = body.read();
  reading.catch(() => {});
  body.discard();
  t.notOk(await isPending(reading), 'it has settled');
});

test('many small chunks cost about as much memory as few large ones', async (t) => {
  const { body } = chunked(65_536);
  const reading = body.bytes();
  const wire = Buffer.from('1\r\nx\r\n'.repeat(10_000));
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < 20; i++) {
    body.push(wire, 0, wire.length);
    await nextTurn();
  }
  const heapBytes = process.memoryUsage().heapUsed - before;
  body.push(Buffer.from('0\r\n\r\n'), 0, 5);
  t.equal((await reading).length, 200_000);
  t.ok(heapBytes < 8_000_000, `${Math.round(heapBytes / 200_000)} bytes of heap for each byte of the body`);
});

test('a full queue of small chunks is read in a moment', async (t) => {
  const { body } = chunked(1_000_000);
  const wire = Buffer.from('1\r\nx\r\n'.repeat(10_000));
  for (let i = 0; i < 6; i++) body.push(wire, 0, wire.length);
  body.push(Buffer.from('0\r\n\r\n'), 0, 5);
  let bytes = 0;
  const tookMs = await cpuMsOf(async () => {
    for await (const piece of body) bytes += piece.length;
  });
  t.equal(bytes, 60_000);
  t.ok(tookMs < 500, `${Math.round(tookMs)} ms for 60,000 bytes`);
});

for (const [method, limit, what] of [
  ['json', 'jsonBytes', 'JSON'],
  ['form', 'formBytes', 'a form'],
] as const) {
  const limits = { [limit]: 10 };
  const refusal = { status: 413, message: `${what} of more than 10 bytes` };

  test(`${method}: a declared length at its limit, and one byte more, which is refused before anything is read`, async (t) => {
    const fits = sized(10, 1_000, limits);
    const read = fits.body[method]();
    push(fits.body, '1234567890');
    await t.resolves(read);
    const { source, body } = sized(11, 1_000, limits);
    await t.rejects(body[method](), refusal);
    t.same(source.calls, [], 'the client is not asked for it');
    t.equal(push(body, '12345678901'), 11, 'what comes all the same is dropped');
    t.equal(source.bodyMemory.usedBytes, 0);
  });

  test(`${method}: chunks up to the limit, and one byte more`, async (t) => {
    const fits = chunked(1_000, limits);
    const read = fits.body[method]();
    push(fits.body, '5\r\n12345\r\n5\r\n67890\r\n0\r\n\r\n');
    await t.resolves(read);
    const { source, body } = chunked(1_000, limits);
    const refused = body[method]();
    push(body, '5\r\n12345\r\n6\r\n678901\r\n');
    await t.rejects(refused, refusal);
    push(body, 'a\r\n1234567890\r\n0\r\n\r\n');
    t.ok(body.isComplete, 'the rest is read and dropped');
    t.equal(source.bodyMemory.usedBytes, 0);
  });

  test(`${method}: a body that is above the limit although all of it has come`, async (t) => {
    const { body } = sized(11, 1_000, limits);
    push(body, '12345678901');
    await t.rejects(body[method](), refusal);
  });
}

test('json: as deep as allowed, and one level more', async (t) => {
  const deep = (levels: number) => complete(`${'['.repeat(levels)}${']'.repeat(levels)}`);
  await t.resolves(deep(128).json());
  await t.rejects(deep(129).json(), { status: 400, message: 'JSON that nests more than 128 levels deep' });
});

test('form: as many fields as allowed, and one more', async (t) => {
  const form = await complete(Array(1_000).fill('a=1').join('&')).form();
  t.equal(form.size, 1_000);
  await t.rejects(complete(Array(1_001).fill('a=1').join('&')).form(), {
    status: 413,
    message: 'a form of more than 1000 fields',
  });
});

test('memory: a body that is gathered counts with its room, to the end of an answer in one piece', async (t) => {
  const { source, body } = sized(100_000);
  const read = body.bytes();
  push(body, Buffer.alloc(25_000));
  t.equal(source.bodyMemory.usedBytes, 100_000, 'a quarter has come, and room is made for all');
  push(body, Buffer.alloc(75_000));
  t.equal((await read).length, 100_000);
  t.equal(source.bodyMemory.usedBytes, 100_000);
  body.release();
  body.release();
  t.equal(source.bodyMemory.usedBytes, 0);
});

test('memory: a body counts until it is whole and its answer has begun: how long that lasts is for its client to say', async (t) => {
  const first = sized(1_000);
  const read = first.body.bytes();
  push(first.body, Buffer.alloc(1_000));
  await read;
  t.equal(first.source.bodyMemory.usedBytes, 1_000);
  first.body.responseBegun();
  t.equal(first.source.bodyMemory.usedBytes, 0);
  const second = sized(1_000);
  const later = second.body.bytes();
  push(second.body, Buffer.alloc(500));
  second.body.responseBegun();
  t.equal(second.source.bodyMemory.usedBytes, 1_000, 'it still comes');
  push(second.body, Buffer.alloc(500));
  t.equal(second.source.bodyMemory.usedBytes, 0);
  t.equal((await later).length, 1_000);
  const third = sized(5);
  push(third.body, 'hello');
  third.body.responseBegun();
  t.equal(String(await third.body.bytes()), 'hello');
  t.equal(third.source.bodyMemory.usedBytes, 0);
  const fourth = sized(5);
  fourth.body.responseBegun();
  void fourth.body.bytes();
  push(fourth.body, 'he');
  t.not(fourth.source.bodyMemory.usedBytes, 0, 'asked for after the answer has begun');
  fourth.body.release();
});

test('memory: what waited before it was asked for counts, too; what is asked for too late does not', async (t) => {
  const early = sized(100_000);
  push(early.body, Buffer.alloc(1_000));
  t.equal(early.source.bodyMemory.usedBytes, 0, 'read in pieces, for all we know');
  const read = early.body.bytes();
  t.equal(early.source.bodyMemory.usedBytes, 1_000);
  push(early.body, Buffer.alloc(99_000));
  t.equal((await read).length, 100_000);
  const late = sized(5);
  push(late.body, 'hello');
  late.body.release();
  t.equal(String(await late.body.bytes()), 'hello');
  t.equal(late.source.bodyMemory.usedBytes, 0);
});

test('memory: above the limit one body goes on, others wait until there is room, or for too long', async (t) => {
  const first = sized(20_000, 1_000, { bodyMemoryBytes: 10_000 });
  const memory = first.source.bodyMemory;
  const [second, third] = [sized(20_000, 1_000, {}, memory), sized(20_000, 1_000, {}, memory)];
  const reads = [first, second, third].map(({ body }) => body.bytes());
  push(first.body, Buffer.alloc(10_000));
  t.same(first.source.take(), ['wanted'], 'it takes 20,000 bytes, and is the one that may');
  push(second.body, Buffer.alloc(1));
  push(third.body, Buffer.alloc(1));
  t.same(second.source.take(), ['wanted', 'enough']);
  t.same(third.source.take(), ['wanted', 'enough']);
  t.equal(memory.waitingCount, 2);
  push(first.body, Buffer.alloc(10_000));
  await reads[0];
  t.same(second.source.take(), ['wanted'], 'the first is whole: now the second may');
  t.same(third.source.take(), []);
  first.source.alarms[2]?.(); // behind that of the first, which went on, and of the second, which waited
  t.match(third.source.refusals, [{ status: 503 }]);
  first.body.release();
  second.body.release();
  third.body.release();
  t.equal(memory.usedBytes, 0);
  t.equal(memory.waitingCount, 0);
});

test('memory: where it is used up a body is not even asked for', async (t) => {
  const first = sized(20_000, 1_000, { bodyMemoryBytes: 10_000 });
  const memory = first.source.bodyMemory;
  const second = sized(20_000, 1_000, {}, memory);
  void first.body.bytes();
  push(first.body, Buffer.alloc(15_000));
  const read = second.body.bytes();
  t.same(second.source.take(), ['enough']);
  first.body.release();
  t.same(second.source.take(), ['wanted']);
  push(second.body, Buffer.alloc(20_000));
  t.equal((await read).length, 20_000);
});

test('memory: what a reader in pieces keeps counts, and makes it wait', async (t) => {
  const { source, body } = sized(100, 50, { bodyMemoryBytes: 10 });
  const { bodyMemory } = source;
  const other = sized(100, 50, {}, bodyMemory);
  other.body.keep(11);
  const exempt = other.body.read();
  t.same(other.source.take(), ['wanted'], 'one body goes on');
  const read = body.read();
  push(body, 'x'.repeat(10));
  await read;
  body.keep(4);
  body.keep(6);
  t.equal(bodyMemory.usedBytes, 21);
  source.take();
  const next = body.read();
  t.same(source.take(), ['enough'], 'the other waits');
  other.body.cancel();
  await t.rejects(exempt);
  t.equal(bodyMemory.usedBytes, 10);
  t.same(source.take(), ['wanted'], 'until there is room');
  push(body, 'x'.repeat(50));
  await next;
  body.keep(1);
  push(body, 'x'.repeat(40));
  body.responseBegun();
  t.equal(bodyMemory.usedBytes, 0, 'it is complete, and its response has begun');
  body.keep(5);
  t.equal(bodyMemory.usedBytes, 0);
});

test('memory: a full queue is not read on while its reader must wait for memory', async (t) => {
  const { source, body } = sized(100, 10, { bodyMemoryBytes: 10 });
  const other = sized(100, 50, {}, source.bodyMemory);
  other.body.keep(11);
  void other.body.read();
  body.keep(1);
  push(body, 'x'.repeat(10));
  t.same(source.take(), ['enough']);
  t.equal((await body.read())?.length, 10);
  t.same(source.take(), [], 'it is not resumed');
  other.body.release();
  t.same(source.take(), ['wanted']);
});
