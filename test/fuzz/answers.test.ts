/**
 * What a handler asks for is what the client reads: any answer, written in any way that ResponseWriter knows, is sent over a whole
 * connection, and read by a strict reader and by llhttp. Both must find what the handler said, and the next answer behind it.
 *
 * SEED=n makes other answers, RUNS=n more of them.
 */

import fc from 'fast-check';
import { test } from 'tap';
import type { Handler, ResponseWriter } from '../../http/handler.ts';
import { valuesOf } from '../oracle/reading.ts';
import type { Answer } from '../oracle/theirs.ts';
import { converse, type Manners } from './memory-client.ts';
import { readResponses, responsesForBoth } from './responses.ts';

const seed = Number(process.env.SEED ?? 1);
const RUNS = Number(process.env.RUNS ?? 200);

interface Ask {
  readonly method: 'GET' | 'HEAD';
  readonly version: '1.0' | '1.1';
  readonly connection: '' | 'close' | 'keep-alive';
}

const ask: fc.Arbitrary<Ask> = fc.record({
  method: fc.constantFrom('GET', 'GET', 'HEAD'),
  version: fc.constantFrom('1.1', '1.1', '1.0'),
  connection: fc.constantFrom('', '', 'keep-alive', 'close'),
});

/** One way to answer, and what a client must then find. */
interface Way {
  readonly name: string;
  readonly write: (response: ResponseWriter) => void;
  readonly body: Buffer;
  readonly fields?: readonly (readonly [string, string])[];
  readonly trailers?: readonly (readonly [string, string])[];
}

const anyText = fc.oneof(
  fc.string({ maxLength: 30 }),
  fc.string({ unit: 'binary', maxLength: 10 }),
  fc.constant('\r\n\r\n'),
);
const anyBytes = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes));
const largeText = fc
  .constantFrom('x', 'ä')
  .chain((unit) => fc.integer({ min: 1, max: 9_000 }).map((n) => unit.repeat(n)));
const trailers = fc.array(fc.tuple(fc.constantFrom('T', 'T-2'), fc.constantFrom('1', 'a b', '')), { maxLength: 3 });

const text: fc.Arbitrary<Way> = fc
  .tuple(fc.constantFrom('text', 'html'), fc.oneof(anyText, largeText))
  .map(([name, text]) => ({ name, write: (response) => response[name](text), body: Buffer.from(text) }));

const json: fc.Arbitrary<Way> = fc.json({ maxDepth: 2 }).map((text) => {
  const value: unknown = JSON.parse(text);
  return { name: 'json', write: (response) => response.json(value), body: Buffer.from(JSON.stringify(value)) };
});

const bytes: fc.Arbitrary<Way> = fc
  .oneof(anyBytes, fc.constant(Buffer.alloc(20_000, 'b')))
  .map((bytes) => ({ name: 'bytes', write: (response) => response.bytes(bytes), body: bytes }));

const end: fc.Arbitrary<Way> = anyBytes.map((bytes) => ({
  name: 'end',
  write: (response) => response.end(bytes),
  body: bytes,
}));

const NOTHING = Buffer.alloc(0);

const redirect: fc.Arbitrary<Way> = fc
  .constantFrom(['/', '/'], ['/a b', '/a%20b'], ['https://a/?b=ä', 'https://a/?b=%C3%A4'])
  .map(([to = '', location = '']) => ({
    name: 'redirect',
    write: (response) => response.redirect(to),
    body: NOTHING,
    fields: [['Location', location]],
  }));

const empty: fc.Arbitrary<Way> = fc.constant({
  name: 'empty',
  write: (response) => response.empty(),
  body: NOTHING,
});

/** A handler may say how long its body is, as long as it is right. */
const promised: fc.Arbitrary<Way> = fc.oneof(text, text, bytes, end).map((way) => ({
  ...way,
  name: `${way.name} of a promised length`,
  write: (response) => way.write(response.header('Content-Length', way.body.length)),
}));

const whole = fc.oneof({ arbitrary: promised, weight: 4 }, text, json, bytes, end, redirect, empty);

/** Write by write; with or without a length that was promised, with or without trailers. */
const streamed: fc.Arbitrary<Way> = fc
  .record({
    pieces: fc.array(fc.oneof(anyBytes, fc.constant(Buffer.alloc(0))), { minLength: 1, maxLength: 4 }),
    trailers,
    isPromised: fc.boolean(),
  })
  .map(({ pieces, trailers, isPromised }) => {
    const body = Buffer.concat(pieces);
    const sent = isPromised ? [] : trailers;
    const write = (response: ResponseWriter) => {
      if (isPromised) response.header('Content-Length', body.length);
      for (const piece of pieces) void response.write(piece);
      for (const [name, value] of sent) response.trailer(name, value);
      response.end();
    };
    return { name: isPromised ? 'stream of a promised length' : 'stream', write, body, trailers: sent };
  });

interface Said {
  readonly ask: Ask;
  readonly status: number | null;
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly way: Way;
}

const fieldValue = fc.string({ unit: fc.constantFrom(...'ab \t,;="\xe4\xff'), maxLength: 10 });

const said: fc.Arbitrary<Said> = fc.record({
  ask,
  status: fc.option(fc.constantFrom(200, 201, 204, 205, 206, 304, 400, 404, 418, 500, 599), { freq: 2 }),
  fields: fc.uniqueArray(fc.tuple(fc.constantFrom('X-A', 'x-b', 'ETag', 'Vary'), fieldValue), {
    maxLength: 3,
    selector: ([name]) => name,
  }),
  way: fc.oneof(whole, streamed),
});

const LAST = 'the answer behind it';

function requestOf({ method, version, connection }: Ask): string {
  const field = connection === '' ? '' : `Connection: ${connection}\r\n`;
  return `${method} / HTTP/${version}\r\nHost: a\r\n${field}\r\n`;
}

function handlerOf({ status, fields, way }: Said): Handler {
  let isFirst = true;
  return (_request, response) => {
    if (!isFirst) {
      response.text(LAST);
      return;
    }
    isFirst = false;
    if (status !== null) response.status(status);
    for (const [name, value] of fields) response.header(name, value);
    way.write(response);
  };
}

/** Sends what is said over a connection, with a second request behind; answers what two readers agree on. */
async function answersTo(one: Said, handler: Handler, manners: Manners): Promise<Answer[]> {
  const bytes = Buffer.from(requestOf(one.ask) + requestOf({ method: 'GET', version: '1.1', connection: 'close' }));
  const { sent, isEnded, wasAborted, reported } = await converse([bytes], handler, manners);
  if (reported.length > 0) throw reported[0];
  if (wasAborted || !isEnded) throw new Error('the connection has not come to a good end');
  return responsesForBoth(sent, [one.ask.method, 'GET']);
}

function check(one: Said, answers: readonly Answer[]): void {
  const { ask, way } = one;
  const must = (isTrue: boolean, what: string) => {
    if (!isTrue) throw new Error(`${what}: ${JSON.stringify(answers)}`);
  };
  const [answer, last] = answers;
  if (answer === undefined) throw new Error('no answer');
  const status = way.name === 'redirect' ? 302 : (one.status ?? (way.name === 'empty' ? 204 : 200));
  must(answer.status === status, `the status is ${status}`);
  for (const [name, value] of [...one.fields, ...(way.fields ?? [])]) {
    must(
      valuesOf(answer.fields, name.toLowerCase()).join() === value.replace(/^[ \t]+|[ \t]+$/g, ''),
      `${name} is ${value}`,
    );
  }
  const hasBody = ask.method === 'GET' && status !== 204 && status !== 205 && status !== 304;
  must(answer.body === (hasBody ? way.body.toString('latin1') : ''), 'the body is what was written');
  const isChunked = hasBody && valuesOf(answer.fields, 'transfer-encoding').length > 0;
  must(JSON.stringify(answer.trailers) === JSON.stringify(isChunked ? (way.trailers ?? []) : []), 'the trailers are');
  const isClosing = ask.connection === 'close' || (ask.version === '1.0' && ask.connection !== 'keep-alive');
  // HTTP/1.0 knows no chunks: there the end of the connection is that of a stream.
  const endsWithIt = ask.version === '1.0' && way.name === 'stream';
  if (isClosing) must(!answer.keepAlive && last === undefined, 'the connection ends');
  else if (!endsWithIt) must(answer.keepAlive && last?.body === LAST && answers.length === 2, 'another answer follows');
}

for (const isSlow of [false, true]) {
  test(`${RUNS} answers to a client that reads ${isSlow ? 'slowly' : 'at once'} (seed ${seed})`, async (t) => {
    const ways = new Set<string>();
    await fc.assert(
      fc.asyncProperty(said, async (one) => {
        ways.add(one.way.name);
        check(one, await answersTo(one, handlerOf(one), { isSlow }));
      }),
      { seed, numRuns: RUNS },
    );
    const promised = ['bytes', 'end', 'html', 'stream', 'text'];
    const all = [...promised, ...promised.map((name) => `${name} of a promised length`), 'empty', 'json', 'redirect'];
    t.same([...ways].sort(), all.sort(), 'each way to write was tried');
  });
}

test('a connection that ends within a response is a fault', async (t) => {
  const response = 'HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 2\r\n\r\nok';
  t.equal(readResponses(Buffer.from(response + response), ['GET', 'GET']).length, 2);
  for (let length = 1; length < response.length; length++) {
    t.throws(() => readResponses(Buffer.from(response + response.slice(0, length)), ['GET', 'GET']), /ends before/);
  }
});

test('a value that would end its line never leaves: the answer is a bare 500', async (t) => {
  const poison = fc.tuple(
    fieldValue,
    fc.constantFrom('\r\n', '\r', '\n', '\0', '\x7f', '\u0100'),
    fc.constantFrom('', 'Set-Cookie: a=b\r\n\r\nx'),
  );
  await fc.assert(
    fc.asyncProperty(said, poison, async (one, parts) => {
      const handler: Handler = (request, response) => {
        try {
          response.header('X-Poisoned', parts.join(''));
        } catch (error) {
          if (!(error instanceof TypeError)) throw error;
          response.status(500).text('refused');
          return;
        }
        return handlerOf(one)(request, response);
      };
      for (const answer of await answersTo(one, handler, {})) {
        if (answer.status !== 500 || valuesOf(answer.fields, 'set-cookie').length > 0)
          throw new Error(JSON.stringify(answer));
      }
    }),
    { seed, numRuns: 100 },
  );
  t.pass();
});
