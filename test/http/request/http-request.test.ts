/** HttpRequest: what a handler sees of a head and a body. */

import { test } from 'tap';
import { defaultLimits } from '../../../http/limits.ts';
import { ChunkedDecoder } from '../../../http/request/body-decoder.ts';
import { BodyMemory } from '../../../http/request/body-memory.ts';
import { HeadParser } from '../../../http/request/head-parser.ts';
import { HttpRequest, type RequestOrigin } from '../../../http/request/http-request.ts';
import { type BodySource, RequestBody } from '../../../http/request/request-body.ts';
import { RequestHead } from '../../../http/request/request-head.ts';

const signal = AbortSignal.timeout(60_000);
const origin: RequestOrigin = {
  remoteAddress: { address: '192.0.2.7', port: 4711 },
  peerCredentials: null,
  createSignal: () => signal,
  waitUntil: () => {},
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
  t.equal(get('/').remoteAddress, '192.0.2.7');
  const unix = requestOf('GET / HTTP/1.0\r\n\r\n', RequestBody.none, { ...origin, remoteAddress: { path: '/run/x' } });
  t.equal(unix.remoteAddress, '/run/x');
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
    remoteAddress: origin.remoteAddress,
    peerCredentials: null,
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

function withBody(content: string, trailers = ''): HttpRequest {
  const body = new RequestBody(new ChunkedDecoder(defaultLimits), IGNORED_SOURCE);
  const request = requestOf('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n', body);
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
