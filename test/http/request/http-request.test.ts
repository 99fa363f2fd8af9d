/** HttpRequest: what a handler sees of a head and a body. */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { test } from 'tap';
import { defaultLimits } from '../../../http/limits.ts';
import { ChunkedDecoder, LengthDecoder } from '../../../http/request/body-decoder.ts';
import { BodyMemory } from '../../../http/request/body-memory.ts';
import type { FormPart } from '../../../http/request/form-part.ts';
import { HeadParser } from '../../../http/request/head-parser.ts';
import { HttpRequest, type RequestOrigin } from '../../../http/request/http-request.ts';
import { type BodySource, RequestBody } from '../../../http/request/request-body.ts';
import { RequestHead } from '../../../http/request/request-head.ts';
import { StateKey } from '../../../http/request/request-state.ts';

const signal = AbortSignal.timeout(60_000);
const outcome = new Promise<never>(() => {});
const origin: RequestOrigin = {
  remoteAddress: { address: '192.0.2.7', port: 4711 },
  localAddress: { address: '192.0.2.1', port: 8080 },
  trustedProxies: null,
  scheme: 'http',
  tls: null,
  peerCredentials: null,
  createSignal: () => signal,
  createClosingSignal: () => signal,
  outcome: () => outcome,
  limits: defaultLimits,
  applyLimits: () => {},
  waitUntil: () => {},
  exactNow: () => 0,
};

function requestOf(text: string, body = RequestBody.none, from = origin): HttpRequest {
  const bytes = Buffer.from(text, 'latin1');
  const parser = new HeadParser(defaultLimits);
  const end = parser.parse(bytes, 0, bytes.length);
  return new HttpRequest(
    new RequestHead(bytes.toString('latin1', 0, end), parser, defaultLimits.bodyBytes),
    body,
    from,
  );
}

const get = (target: string) => requestOf(`GET ${target} HTTP/1.1\r\nHost: a:80\r\nX: 1\r\n\r\n`);

test('what the request line says', async (t) => {
  const request = get('/a%20b/?x=1&y=%C3%A4&x=2');
  t.match(request, {
    method: 'GET',
    path: '/a%20b/',
    target: '/a%20b/?x=1&y=%C3%A4&x=2',
    httpVersion: '1.1',
    authority: 'a:80',
  });
  t.same(request.query.getAll('x'), ['1', '2']);
  t.equal(request.query.get('y'), 'ä');
  t.equal(request.query, request.query, 'made once');
  t.same(request.params, {});
  t.equal(requestOf('GET / HTTP/1.0\r\n\r\n').httpVersion, '1.0');
  t.equal(requestOf('GET / HTTP/1.0\r\n\r\n').authority, '');
});

test('the absolute URL: one that new URL accepts, whatever the target', async (t) => {
  const cases: [head: string, url: string, search: string][] = [
    ['GET /a%20b?x=1&y HTTP/1.1\r\nHost: a:80', 'http://a:80/a%20b?x=1&y', '?x=1&y'],
    ['GET /? HTTP/1.1\r\nHost: a', 'http://a/?', ''],
    ['GET //b/../c\\d HTTP/1.1\r\nHost: a', 'http://a//b/../c\\d', ''],
    ['GET http://b:81/c?d HTTP/1.1\r\nHost: a', 'http://b:81/c?d', '?d'],
    ['GET https://b?d HTTP/1.1\r\nHost: a', 'http://b/?d', '?d'],
    ['GET http://b HTTP/1.1\r\nHost: a', 'http://b/', ''],
    ['OPTIONS * HTTP/1.1\r\nHost: [::1]:8080', 'http://[::1]:8080', ''],
    ['OPTIONS http://b HTTP/1.1\r\nHost: a', 'http://b', ''],
    ['OPTIONS /* HTTP/1.1\r\nHost: a', 'http://a/*', ''],
    ['GET /x HTTP/1.0', 'http://192.0.2.1:8080/x', ''],
    ['GET /x HTTP/1.0\r\nHost: a', 'http://a/x', ''],
  ];
  for (const [head, url, search] of cases) {
    const request = requestOf(`${head}\r\n\r\n`);
    t.equal(request.url, url, head);
    t.equal(request.search, search, head);
    t.ok(URL.canParse(request.url), head);
  }
});

test('the URL of a request without Host, on IPv6 and on a Unix socket; and with another scheme', async (t) => {
  const old = (from: Partial<RequestOrigin>) =>
    requestOf('GET /x HTTP/1.0\r\n\r\n', RequestBody.none, { ...origin, ...from });
  t.equal(old({ localAddress: { address: '::1', port: 80 } }).url, 'http://[::1]:80/x');
  t.equal(old({ localAddress: { path: '/run/x' } }).url, 'http://localhost/x');
  t.equal(old({ scheme: 'https' }).url, 'https://192.0.2.1:8080/x');
});

test('cookies', async (t) => {
  const request = requestOf('GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1; b=%20\r\ncookie: c=3; a=4\r\n\r\n');
  t.same(
    [...request.cookies],
    [
      ['a', '1'],
      ['b', ' '],
      ['c', '3'],
    ],
    'two fields are one list',
  );
  t.equal(request.cookies, request.cookies, 'made once');
  t.equal(get('/').cookies.size, 0);
});

test('state', async (t) => {
  const key = new StateKey<number>('count');
  const request = get('/');
  t.equal(request.state.get(key), undefined);
  request.state.set(key, 1);
  t.equal(request.state.get(key), 1);
  t.equal(get('/').state.get(key), undefined, 'of one request alone');
});

test('the query: none, an empty one, and one that begins with a question mark', async (t) => {
  t.equal(get('/').query.size, 0);
  t.equal(get('/?').query.size, 0);
  t.same([...get('/??a=1').query], [...new URL('http://a/??a=1').searchParams]);
});

test('an absolute target', async (t) => {
  t.match(get('http://b/c?d=e'), { path: '/c', target: 'http://b/c?d=e', authority: 'b' });
  t.equal(get('http://b/c?d=e').query.get('d'), 'e');
});

test('headers', async (t) => {
  const request = get('/');
  t.equal(request.headers.get('x'), '1');
  t.same(
    [...request.headers],
    [
      ['Host', 'a:80'],
      ['X', '1'],
    ],
  );
  t.equal(request.headers, request.headers, 'made once');
});

test('who asks', async (t) => {
  t.match(get('/'), {
    remoteAddress: '192.0.2.7',
    remotePort: 4711,
    localAddress: '192.0.2.1',
    clientAddress: '192.0.2.7',
    scheme: 'http',
    route: null,
  });
  const unix = requestOf('GET / HTTP/1.0\r\n\r\n', RequestBody.none, { ...origin, remoteAddress: { path: '/run/x' } });
  t.equal(unix.remoteAddress, '/run/x');
  t.equal(unix.remotePort, null);
  const self = { pid: 1, uid: 2, gid: 3 };
  t.equal(
    requestOf('GET / HTTP/1.0\r\n\r\n', RequestBody.none, { ...origin, peerCredentials: self }).peerCredentials,
    self,
  );
  t.equal(get('/').peerCredentials, null);
  t.equal(get('/').signal, signal);
});

test('the signal is made only when it is read', async (t) => {
  let asked = 0;
  const watching: RequestOrigin = {
    ...origin,
    createSignal() {
      asked++;
      return signal;
    },
    waitUntil: () => {},
  };
  const request = requestOf('GET / HTTP/1.0\r\n\r\n', RequestBody.none, watching);
  t.equal(asked, 0);
  request.signal.throwIfAborted();
  t.equal(asked, 1);
});

const IGNORED_SOURCE: BodySource = {
  limits: defaultLimits,
  bodyMemory: new BodyMemory(defaultLimits.bodyMemoryBytes, 0, () => ({ cancel() {} })),
  resumeReading() {},
  pauseReading() {},
  refuseBody() {},
};

function withBody(content: string, trailers = '', type = ''): HttpRequest {
  const body = new RequestBody(new ChunkedDecoder(defaultLimits), IGNORED_SOURCE);
  const field = type === '' ? '' : `Content-Type: ${type}\r\n`;
  const request = requestOf(`POST / HTTP/1.1\r\nHost: a\r\n${field}Transfer-Encoding: chunked\r\n\r\n`, body);
  if (request.trailers.size !== 0) throw new Error('trailers before the body');
  const wire = Buffer.from(`${Buffer.byteLength(content).toString(16)}\r\n${content}\r\n0\r\n${trailers}\r\n`);
  body.push(wire, 0, wire.length);
  return request;
}

test('the body, in every form', async (t) => {
  t.equal(await withBody('ä').text(), 'ä');
  t.same(await withBody('{"a":1}').json(), { a: 1 });
  t.same(await withBody('ab').bytes(), Buffer.from('ab'));
  t.equal((await withBody('a=%20').form()).get('a'), ' ');
  let text = '';
  for await (const piece of withBody('abc')) text += piece;
  t.equal(text, 'abc');
  text = '';
  for await (const piece of withBody('abc').body) text += piece;
  t.equal(text, 'abc');
});

test('an ArrayBuffer and a Blob', async (t) => {
  t.equal(Buffer.from(await withBody('ab').arrayBuffer()).toString(), 'ab');
  t.equal((await get('/').arrayBuffer()).byteLength, 0);
  const sized = new RequestBody(new LengthDecoder(1_000), IGNORED_SOURCE);
  const reading = requestOf('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n', sized).arrayBuffer();
  sized.push(Buffer.alloc(1_000, 'x'), 0, 1_000);
  t.equal((await reading).byteLength, 1_000, 'the memory of the body, which is full');
  const blob = await withBody('ab', '', 'image/png').blob();
  t.equal(blob.type, 'image/png');
  t.equal(await blob.text(), 'ab');
  t.equal((await withBody('ab').blob()).type, '');
});

const PART = '--b\r\nContent-Disposition: form-data; name="a"; filename="x.txt"\r\n\r\n1\r\n--b--\r\n';
const MULTIPART = 'multipart/form-data; boundary=b';

test('formData, of both types of form', async (t) => {
  t.same(
    [...(await withBody('a=1&a=2&b=%20', '', 'application/x-www-form-urlencoded').formData())],
    [
      ['a', '1'],
      ['a', '2'],
      ['b', ' '],
    ],
  );
  const file = (await withBody(PART, '', MULTIPART).formData()).get('a') as File;
  t.equal(file.name, 'x.txt');
  t.equal(await file.text(), '1');
});

test('multipart', async (t) => {
  const names: unknown[] = [];
  for await (const part of withBody(PART, '', MULTIPART).multipart()) names.push([part.name, await part.text()]);
  t.same(names, [['a', '1']]);
  const limited = withBody(PART, '', MULTIPART).multipart({ partNameBytes: 1 });
  await t.rejects(limited.next(), { name: 'HttpError', status: 413 });
  t.throws(() => withBody(PART, '', MULTIPART).multipart({ partBytes: 0 }), RangeError);
});

test('a body of another type is 415, and the message says what to use', async (t) => {
  const message =
    'form() reads application/x-www-form-urlencoded: for multipart/form-data use formData() or multipart()';
  await t.rejects(withBody(PART, '', MULTIPART).form(), { status: 415, message });
  for (const type of ['', 'text/plain', 'multipart/mixed; boundary=b', 'multipart/form-data; boundary=b; boundary=c']) {
    const formData = 'formData() reads multipart/form-data and application/x-www-form-urlencoded';
    await t.rejects(withBody('a', '', type).formData(), { status: 415, message: formData }, type);
    const multipart = 'multipart() reads multipart/form-data alone';
    t.throws(() => withBody('a', '', type).multipart(), { status: 415, message: multipart }, type);
  }
  t.throws(() => withBody('a', '', 'multipart/form-data').multipart(), { name: 'HttpError', status: 400 });
  await t.rejects(withBody('a', '', 'multipart/form-data').formData(), { name: 'HttpError', status: 400 });
});

test('form() refuses no other type: a string that fetch sends is text/plain', async (t) => {
  const sent = new Request('http://a', { method: 'POST', body: 'a=1' }).headers.get('content-type') as string;
  t.match(sent, /^text\/plain/);
  for (const type of [sent, '', 'application/octet-stream', 'no type']) {
    t.equal((await withBody('a=1', '', type).form()).get('a'), '1', type);
  }
});

test('no body', async (t) => {
  t.equal(await get('/').text(), '');
  for await (const _ of get('/')) t.fail('a piece of nothing');
  t.equal(get('/').trailers.size, 0);
});

test('trailers come with the end of the body, and never become headers', async (t) => {
  const request = withBody('a', 'X-Sum: 1\r\nHost: evil\r\nContent-Length: 99\r\n');
  await request.text();
  t.same(
    [...request.trailers],
    [
      ['X-Sum', '1'],
      ['Host', 'evil'],
      ['Content-Length', '99'],
    ],
  );
  t.equal(request.headers.get('x-sum'), null);
  t.equal(request.headers.get('host'), 'a');
  t.equal(request.authority, 'a');
});

test('no promise that a handler gets is an unhandled rejection', async (t) => {
  const unhandled: unknown[] = [];
  const note = (error: unknown) => unhandled.push(error);
  process.on('unhandledRejection', note);
  const ways: ((request: HttpRequest) => unknown)[] = [
    (request) => request.form(),
    (request) => request.formData(),
    (request) => request.arrayBuffer(),
    (request) => request.blob(),
    (request) => request.multipart().next(),
    async (request) => {
      const { value } = await request.multipart().next();
      void (value as FormPart).text();
    },
  ];
  for (const way of ways) {
    void way(withBody(PART.slice(0, -9), '', MULTIPART));
    const body = new RequestBody(new LengthDecoder(1_000), IGNORED_SOURCE);
    void way(
      requestOf(`POST / HTTP/1.1\r\nHost: a\r\nContent-Type: ${MULTIPART}\r\nContent-Length: 1000\r\n\r\n`, body),
    );
    body.push(Buffer.from(PART), 0, PART.length - 10);
    body.fail(new Error('gone'));
  }
  for (let i = 0; i < 5; i++) await nextTurn();
  process.off('unhandledRejection', note);
  t.same(unhandled, []);
});
