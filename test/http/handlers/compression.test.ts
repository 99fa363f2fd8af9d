/** compress(): which responses it compresses, for whom, their fields, streams that are flushed, and its bounds. */

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import zlib from 'node:zlib';
import { test } from 'tap';
import { codings, decodings } from '../../../http/content/codings.ts';
import { Gate } from '../../../http/gate.ts';
import { CompressionStage } from '../../../http/handlers/compression-stage.ts';
import {
  type CompressOptions,
  compress,
  type EventWriter,
  type Handler,
  inject,
  type Limits,
  limit,
  type ResponseWriter,
  Router,
  serve,
} from '../../../http/index.ts';
import { portOf } from '../../../simplenet/kernel/socket-address.ts';
import { RawClient } from '../../support/raw-client.ts';
import { until } from '../../support/waiting.ts';

const TEXT = 'many words, and many more. '.repeat(100);
const LARGE = 'many words, and many more. '.repeat(20_000);

const unpack: Readonly<Record<string, (bytes: Uint8Array) => Buffer>> = {
  // Node 22.15 and later have it.
  zstd: (zlib as unknown as { readonly zstdDecompressSync: (bytes: Uint8Array) => Buffer }).zstdDecompressSync,
  br: zlib.brotliDecompressSync,
  gzip: zlib.gunzipSync,
  deflate: zlib.inflateSync,
};

async function ask(give: Handler, fields: Record<string, string> = {}, options: CompressOptions = {}, method = 'GET') {
  const site = new Router().use(compress(options)).all('/', give);
  const answer = await inject(site, { url: '/', method, headers: { 'Accept-Encoding': 'gzip', ...fields } });
  const coding = answer.headers.get('content-encoding');
  const bytes = answer.bytes();
  return {
    answer,
    coding,
    bytes,
    text: () => (coding === null ? bytes : (unpack[coding] as (typeof unpack)[string])(bytes)).toString(),
  };
}

const giveText: Handler = (_request, response) => response.text(TEXT);

test('the client chooses, and the server has its order', async (t) => {
  for (const [accept, coding] of [
    ['gzip', 'gzip'],
    ['gzip, deflate, br', 'br'],
    ['br;q=0.5, gzip', 'gzip'],
    ['deflate', 'deflate'],
    ['x-gzip', 'gzip'],
    ['*', 'br'],
    ['br;q=0, *;q=0.1', codings.has('zstd') ? 'zstd' : 'gzip'],
    ['identity, gzip;q=0.5', null],
    ['gzip;q=0', null],
    ['', null],
    ['gzip;q=2', null],
  ] as const) {
    const got = await ask(giveText, { 'Accept-Encoding': accept });
    t.equal(got.coding, coding, accept);
    t.equal(got.answer.headers.get('vary'), 'Accept-Encoding', accept);
    t.equal(got.text(), TEXT);
  }
  t.equal((await ask(giveText, { 'Accept-Encoding': 'br, gzip' }, { encodings: ['gzip'] })).coding, 'gzip');
});

test('a small body is compressed at once and has its length; a large one and a stream come in pieces', async (t) => {
  const small = await ask(giveText);
  t.equal(small.answer.headers.get('content-length'), String(small.bytes.length));
  t.equal(small.text(), TEXT);
  for (const accept of codings.keys()) {
    const large = await ask((_request, response) => response.text(LARGE), { 'Accept-Encoding': accept });
    t.same([large.coding, large.answer.headers.get('content-length')], [accept, null]);
    t.equal(large.text(), LARGE);
    const stream = await ask(
      async (_request, response) => {
        response.header('Content-Type', 'text/plain');
        for (let i = 0; i < 1_000; i++) await response.write(`${i} ${TEXT}`);
        response.end();
      },
      { 'Accept-Encoding': accept },
    );
    t.equal(stream.coding, accept);
    t.equal(stream.text(), Array.from({ length: 1_000 }, (_, i) => `${i} ${TEXT}`).join(''));
  }
  const atLimit = async (syncBytes: number) =>
    (await ask(giveText, {}, { syncBytes })).answer.headers.get('content-length') !== null;
  t.same([await atLimit(TEXT.length), await atLimit(TEXT.length - 1)], [true, false]);
});

test('what gains nothing, or must stay as it is, stays', async (t) => {
  const plain = async (give: (response: ResponseWriter) => unknown, options: CompressOptions = {}) =>
    (await ask((_request, response) => void give(response), {}, options)).coding;
  t.equal(await plain((response) => response.text('x'.repeat(1_023))), null);
  t.equal(await plain((response) => response.text('x'.repeat(1_024))), 'gzip');
  t.equal(await plain((response) => response.text('xy'), { minBytes: 0 }), null, 'it would grow');
  t.equal(await plain((response) => response.header('Content-Type', 'image/png').body(TEXT)), null);
  t.equal(await plain((response) => response.header('Content-Type', 'image/svg+xml').body(TEXT)), 'gzip');
  t.equal(await plain((response) => response.header('Content-Type', 'application/problem+json').body(TEXT)), 'gzip');
  t.equal(await plain((response) => response.body(TEXT)), null, 'no type');
  t.equal(await plain((response) => response.header('Content-Encoding', 'br').text(TEXT)), 'br', 'never twice');
  t.equal(await plain((response) => response.header('Cache-Control', 'public, No-Transform').text(TEXT)), null);
  t.equal(await plain((response) => response.header('Content-Range', 'bytes 0-9/10').status(206).text(TEXT)), null);
  t.equal(await plain((response) => response.status(206).text(TEXT)), null);
  t.equal(await plain((response) => response.header('Repr-Digest', 'sha-256=:x:').text(TEXT)), null);
  t.equal(await plain((response) => response.empty()), null);
});

test('its fields: a weak ETag, no ranges, a Vary for 304 too, and the same head for HEAD', async (t) => {
  const tagged = (tag: string) =>
    ask((_request, response) => response.header('ETag', tag).header('Accept-Ranges', 'bytes').text(TEXT));
  const { headers } = (await tagged('"a"')).answer;
  t.same([headers.get('etag'), headers.get('accept-ranges')], ['W/"a"', null]);
  t.equal((await tagged('W/"a"')).answer.headers.get('etag'), 'W/"a"');
  t.equal((await ask((_request, response) => response.empty(304))).answer.headers.get('vary'), 'Accept-Encoding');
  const [get, head] = [await ask(giveText), await ask(giveText, {}, {}, 'HEAD')];
  for (const name of ['content-encoding', 'content-length', 'vary', 'etag']) {
    t.equal(head.answer.headers.get(name), get.answer.headers.get(name), name);
  }
  const declared = await ask((_request, response) => response.header('Content-Length', TEXT.length).text(TEXT));
  t.equal(declared.answer.headers.get('content-length'), String(declared.bytes.length));
  const short: Handler = (_request, response) =>
    response.header('Content-Type', 'text/plain').header('Content-Length', 9).end();
  t.equal((await ask(short, {}, {}, 'HEAD')).coding, null, 'a declared length below minBytes');
});

test('a part of a file says in Vary that the whole would depend on the client', async (t) => {
  const part = async (type: string) => {
    const give: Handler = (_request, response) => response.status(206).header('Content-Type', type).body('abc');
    return (await ask(give)).answer.headers.get('vary');
  };
  t.same([await part('text/plain'), await part('image/png')], ['Accept-Encoding', null]);
});

test('304 has the ETag of the copy that the client has', async (t) => {
  const tagOf304 = async (known: string, etag = '"a"') => {
    const give: Handler = (_request, response) => response.header('ETag', etag).empty(304);
    return (await ask(give, { 'If-None-Match': known })).answer.headers.get('etag');
  };
  t.equal(await tagOf304('W/"a"'), 'W/"a"', 'a copy that was compressed');
  t.equal(await tagOf304('"a"'), '"a"', 'one that was not');
  t.equal(await tagOf304('W/"a", "a"'), '"a"', 'both copies');
  t.equal(await tagOf304('*'), '"a"');
  t.equal(await tagOf304('W/"b"'), '"a"');
  t.equal(await tagOf304('malformed'), '"a"');
  t.equal(await tagOf304('W/"a"', 'W/"a"'), 'W/"a"');
  const unasked = await ask((_request, response) => response.header('ETag', '"a"').empty(304));
  t.equal(unasked.answer.headers.get('etag'), '"a"', 'the program decides without the field');
});

test('a request with a Content-Encoding is 415', async (t) => {
  const got = await ask(giveText, { 'Content-Encoding': 'gzip' }, {}, 'POST');
  t.same([got.answer.status, got.answer.headers.get('accept-encoding')], [415, 'identity']);
  t.equal((await ask(giveText, { 'Content-Encoding': 'identity' }, {}, 'POST')).answer.status, 200);
});

/** Posts bytes that say that they are coded. */
function post(site: Router, body: Uint8Array | string, coding: string) {
  return inject(site, { url: '/', method: 'POST', body, headers: { 'Content-Encoding': coding } });
}

const echo = (limits: Partial<Limits> = {}) =>
  new Router()
    .use(compress({ decompress: true }))
    .use(limit(limits))
    .post('/', async (request, response) =>
      response.text(`${request.body.trailers?.get('x')} ${await request.text()}`),
    );

test('decompress: each coding, and what is none', async (t) => {
  for (const [name, coding] of decodings) {
    t.equal((await post(echo(), coding.compress(Buffer.from(TEXT)), name)).text(), `null ${TEXT}`, name);
    const damaged = await post(echo(), coding.compress(Buffer.from(TEXT)).subarray(0, -5), name);
    t.same([damaged.status, damaged.text()], [400, `the body is not valid ${name}\n`]);
  }
  t.equal((await post(echo(), 'plain', 'gzip')).status, 400);
  const unknown = await post(echo(), 'x', 'gzip, br');
  t.same([unknown.status, unknown.headers.get('accept-encoding')], [415, [...decodings.keys()].join(', ')]);
  const none = await inject(echo(), { url: '/', method: 'POST', headers: { 'Content-Encoding': 'gzip' } });
  t.same([none.status, none.text()], [200, 'undefined ']);
});

test('decompress: a bomb is 413 at the limit of the body, and of JSON', async (t) => {
  const sizes = (bytes: number) => zlib.gzipSync(Buffer.alloc(bytes, 'x'));
  t.equal((await post(echo({ bodyBytes: 100_000 }), sizes(100_000), 'gzip')).status, 200);
  t.equal((await post(echo({ bodyBytes: 100_000 }), sizes(100_001), 'gzip')).status, 413);
  t.equal((await post(echo(), sizes(100_000_000), 'gzip')).status, 413);
  const json = new Router().use(compress({ decompress: true })).post('/', async (request, response) => {
    response.json(await request.json());
  });
  t.equal((await post(json, zlib.gzipSync(`"${'x'.repeat(1_048_576)}"`), 'gzip')).status, 413);
  t.equal((await post(json, zlib.gzipSync('{"a":1}'), 'gzip')).text(), '{"a":1}');
});

test('decompress: a handler that reads slowly stops the decoding, and one may stop reading', async (t) => {
  const seen: number[] = [];
  const site = new Router().use(compress({ decompress: true, maxStreams: 1 })).post('/', async (request, response) => {
    for await (const piece of request.body) {
      seen.push(piece.length);
      if (seen.length === 20) break;
    }
    response.text('enough');
  });
  const bomb = zlib.gzipSync(Buffer.alloc(10_000_000));
  for (let i = 0; i < 2; i++) {
    seen.length = 0;
    t.equal((await post(site, bomb, 'gzip')).text(), 'enough', 'the one before has given its place back');
    t.ok(Math.max(...seen) <= 2 * 65_536, 'no more waits than may');
  }
});

test('decompress: over a connection, at most maxStreams at a time, and a client that leaves', async (t) => {
  const errors: unknown[] = [];
  const outcomes: unknown[] = [];
  const site = new Router().use(compress({ decompress: true, maxStreams: 1 })).post('/', async (request, response) => {
    response.text(await request.text());
  });
  const server = serve(site, {
    onError: (error) => void errors.push(error),
    onDone: ({ status }) => void outcomes.push(status),
  });
  t.teardown(() => server.close({ graceMs: 0 }));
  const body = zlib.gzipSync(TEXT);
  const head = `POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: ${body.length}\r\n\r\n`;
  const first = new RawClient(portOf(server.address)).write(head).write(body.subarray(0, 20));
  await until(() => server.connectionCount === 1);
  const second = new RawClient(portOf(server.address)).write(head).write(body);
  await second.until(() => second.text.includes('too many bodies'), '503');
  t.match(second.text, /^HTTP\/1\.1 503/);
  first.reset();
  await until(() => outcomes.length === 2);
  const third = new RawClient(portOf(server.address)).write(head).write(body);
  await third.until(() => third.text.endsWith(TEXT), 'the text');
  for (const client of [second, third]) client.destroy();
  t.equal(errors.length, 1, 'the 503 alone is reported');
});

test('decompress: what is decoded counts in the memory of all bodies', async (t) => {
  const site = new Router().use(compress({ decompress: true })).post('/', async (request, response) => {
    response.json((await request.bytes()).length);
  });
  const server = serve(site, { limits: { bodyMemoryBytes: 100_000 }, timeouts: { bodyWaitMs: 50 } });
  t.teardown(() => server.close({ graceMs: 0 }));
  const body = zlib.gzipSync(Buffer.alloc(4_000_000));
  const head = `POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: ${body.length}\r\n\r\n`;
  const clients = Array.from({ length: 4 }, () => new RawClient(portOf(server.address)).write(head).write(body));
  for (const client of clients) await client.until(() => /\r\n\r\n./s.test(client.text), 'an answer');
  for (const client of clients) client.destroy();
  const statuses = clients.map(({ text }) => text.slice(9, 12));
  t.ok(
    statuses.every((status) => status === '200' || status === '503'),
    statuses.join(),
  );
  t.ok(statuses.includes('200'));
});

test('events are flushed, one by one', async (t) => {
  for (const accept of ['gzip', 'br']) {
    let events: EventWriter | null = null;
    const site = new Router().use(compress()).get('/', (_request, response) => {
      events = response.events();
    });
    const server = serve(site);
    t.teardown(() => server.close({ graceMs: 0 }));
    const response = await fetch(`http://127.0.0.1:${portOf(server.address)}/`, {
      headers: { 'Accept-Encoding': accept },
    });
    t.equal(response.headers.get('content-encoding'), accept);
    const reader = (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader();
    for (let i = 0; i < 3; i++) {
      (events as unknown as EventWriter).send({ data: `${i}` });
      t.equal((await reader.read()).value, `data: ${i}\n\n`, 'before the next one is sent');
    }
    (events as unknown as EventWriter).close();
    t.ok((await reader.read()).done);
  }
});

test('at most maxStreams are under way; a further one is sent as it is', async (t) => {
  const held: ResponseWriter[] = [];
  const site = new Router().use(compress({ maxStreams: 2 })).get('/', (_request, response) => {
    held.push(response);
    void response.header('Content-Type', 'text/plain').write(TEXT);
  });
  const server = serve(site);
  t.teardown(() => server.close({ graceMs: 0 }));
  const get = () => fetch(`http://127.0.0.1:${portOf(server.address)}/`, { headers: { 'Accept-Encoding': 'gzip' } });
  const coding = (response: Response) => response.headers.get('content-encoding');
  const [first, second, third] = [await get(), await get(), await get()];
  t.same([coding(first), coding(second), coding(third)], ['gzip', 'gzip', null]);
  await first.body?.cancel(); // a client that leaves makes room
  held[1]?.end();
  t.equal(await second.text(), TEXT);
  let again = await get();
  while (coding(again) === null) again = await get();
  t.equal(coding(again), 'gzip');
  for (const response of held) if (!response.hasEnded) response.end();
  await until(() => held.every((response) => response.hasEnded));
});

test('a gate lets so many in, and the next one when one leaves', async (t) => {
  const gate = new Gate(2);
  const inside: number[] = [];
  for (let i = 0; i < 4; i++) gate.enter(() => inside.push(i));
  t.same(inside, [0, 1]);
  gate.leave();
  t.same(inside, [0, 1, 2]);
  gate.leave();
  gate.leave();
  gate.leave();
  gate.enter(() => inside.push(4));
  t.same(inside, [0, 1, 2, 3, 4]);
});

test('a stage that is destroyed gives its place back, inside and in line', async (t) => {
  const gate = new Gate(1);
  const stages = [0, 1, 2].map(() => new CompressionStage(zlib.createGzip(), gate));
  const [inside, inLine, last] = stages as [CompressionStage, CompressionStage, CompressionStage];
  for (const stage of stages) stage.end(TEXT);
  inLine.destroy();
  inside.destroy();
  const pieces: Buffer[] = [];
  for await (const piece of last) pieces.push(piece as Buffer);
  t.equal(zlib.gunzipSync(Buffer.concat(pieces)).toString(), TEXT);
  let isFree = false;
  gate.enter(() => {
    isFree = true;
  });
  t.ok(isFree);
});

test('a reader that takes nothing stops the compression, and an engine that fails destroys the stage', async (t) => {
  const noise = randomBytes(4_000_000);
  const gate = new Gate(1);
  const stage = new CompressionStage(zlib.createGzip(), gate);
  let isTaken = false;
  stage.write(noise, () => {
    isTaken = true;
  });
  await new Promise<void>((resolve) => gate.enter(resolve)); // the first slice is compressed
  gate.leave();
  t.notOk(isTaken);
  t.ok(stage.readableLength < 1_000_000, `${stage.readableLength} bytes wait`);
  stage.end();
  const pieces: Buffer[] = [];
  for await (const piece of stage) pieces.push(piece as Buffer);
  t.ok(zlib.gunzipSync(Buffer.concat(pieces)).equals(noise));

  const broken = new CompressionStage(zlib.createGunzip(), new Gate(1));
  const failure = new Promise<Error>((resolve) => broken.once('error', resolve));
  broken.write('not gzip');
  t.match(await failure, /incorrect header/);
});

test('mistakes of the program throw', async (t) => {
  for (const options of [{ minBytes: -1 }, { syncBytes: Number.NaN }, { maxStreams: -1 }, { maxThreads: 0 }]) {
    t.throws(() => compress(options), RangeError);
  }
  t.throws(
    () => compress({ minbytes: 1 } as CompressOptions),
    /unknown option 'minbytes' of compress: did you mean 'minBytes'/,
  );
  t.throws(() => compress({ encodings: ['lzma'] }), /unknown encoding 'lzma'/);
});

test('every coding is read back by its decompressor, and what was flushed before the end', async (t) => {
  for (const [name, coding] of codings) {
    const decompressor = coding.createDecompressor();
    decompressor.end(coding.compress(Buffer.from(TEXT)));
    const pieces: Buffer[] = [];
    for await (const piece of decompressor) pieces.push(piece as Buffer);
    t.equal(Buffer.concat(pieces).toString(), TEXT, name);

    const flushing = coding.createCompressor(true);
    const reader = flushing.pipe(coding.createDecompressor());
    for (const text of ['one', 'two']) {
      flushing.write(text);
      const [piece] = (await once(reader, 'data')) as [Buffer];
      t.equal(piece.toString(), text, name);
    }
    flushing.destroy();
    reader.destroy();
  }
});
