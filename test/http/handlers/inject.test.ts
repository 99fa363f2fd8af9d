/** inject: requests of every kind without a socket, and whole answers. */

import { test } from 'tap';
import { type Handler, HttpError, inject, type Outcome, Router } from '../../../http/index.ts';

/** Says what it was asked. */
const mirror: Handler = async (request, response) => {
  const { method, target, remoteAddress } = request;
  const body = await request.text();
  response.json({
    method,
    target,
    remoteAddress,
    host: request.authority,
    type: request.headers.get('content-type'),
    body,
  });
};

test('a path is enough', async (t) => {
  const answer = await inject(mirror, '/a?b=c');
  t.same(answer.json(), {
    method: 'GET',
    target: '/a?b=c',
    remoteAddress: '127.0.0.1',
    host: 'localhost',
    type: null,
    body: '',
  });
  t.same([answer.status, answer.statusText], [200, 'OK']);
  t.equal(answer.headers.get('content-type'), 'application/json');
  t.equal((await inject(mirror)).status, 200);
});

test('a path is sent as it is, as a client can send it, and encoded where it must be', async (t) => {
  for (const path of ['/../a', '/a/./%2e%2e/b', '//a/b', '/a?', '/a|"b"?{c}']) {
    t.match((await inject(mirror, path)).json(), { target: path, host: 'localhost' });
  }
  t.match((await inject(mirror, '/a b/\u00fc?\u00fc#part')).json(), { target: '/a%20b/%C3%BC?%C3%BC' });
});

test('method, headers, address and an absolute URL', async (t) => {
  const headers = [['Content-Type', 'x/y'] as const];
  const answer = await inject(mirror, {
    method: 'PUT',
    url: 'http://a.example/p',
    headers,
    remoteAddress: '::1',
    body: 'x',
  });
  t.match(answer.json(), {
    method: 'PUT',
    target: '/p',
    host: 'a.example',
    remoteAddress: '::1',
    type: 'x/y',
    body: 'x',
  });
  t.match((await inject(mirror, { headers: { HOST: 'b.example' } })).json(), { host: 'b.example' });
});

test('each kind of body, with its Content-Type and its length', async (t) => {
  const length: Handler = async (request, response) => {
    const sent = request.headers.get('content-length') ?? request.headers.get('transfer-encoding');
    response.json([request.headers.get('content-type'), sent, await request.text()]);
  };
  const cases: [body: unknown, type: string | null, length: string, text: string][] = [
    ['h\xe4', 'text/plain;charset=UTF-8', '3', 'h\xe4'],
    ['', 'text/plain;charset=UTF-8', '0', ''],
    [{ a: 1 }, 'application/json', '7', '{"a":1}'],
    [[1], 'application/json', '3', '[1]'],
    [7, 'application/json', '1', '7'],
    [new URLSearchParams({ a: 'b' }), 'application/x-www-form-urlencoded;charset=UTF-8', '3', 'a=b'],
    [Buffer.from('b'), null, '1', 'b'],
    [new Uint8Array([97]).buffer, null, '1', 'a'],
    [new Blob(['b'], { type: 'a/b' }), 'a/b', '1', 'b'],
    [new Blob(['b']).stream(), null, 'chunked', 'b'],
  ];
  for (const [body, type, sent, text] of cases) t.same((await inject(length, { body })).json(), [type, sent, text]);
  const headers = { 'Content-Length': '1' };
  t.same((await inject(length, { body: new Blob(['b']).stream(), headers })).json(), [null, '1', 'b']);
  const form = new FormData();
  form.set('a', 'b');
  t.match((await inject(length, { body: form })).json(), [/^multipart\/form-data; boundary=/, String, /name="a"/]);
});

test('the answer as bytes, text and JSON', async (t) => {
  const bytes = await inject((_request, response) => response.bytes(Buffer.of(0xff)));
  t.same(bytes.bytes(), Buffer.of(0xff));
  t.throws(() => bytes.json(), { name: 'SyntaxError', message: 'the body is not JSON: \ufffd' });
});

test('an answer in pieces, with trailers', async (t) => {
  const answer = await inject(async (_request, response) => {
    const buffer = Buffer.from('one');
    await response.write(buffer);
    buffer.write('two');
    await response.write(buffer);
    response.trailer('X-T', 'x').end();
  });
  t.same([answer.text(), answer.trailers.get('x-t')], ['onetwo', 'x']);
});

test('a body that the handler does not read, or reads in pieces', async (t) => {
  let wasReturned = false;
  async function* pieces() {
    try {
      for (;;) yield Buffer.alloc(50_000);
    } finally {
      wasReturned = true;
    }
  }
  const unread = await inject((_request, response) => response.text('x'), { body: pieces() });
  t.equal(unread.text(), 'x');
  let size = 0;
  const some = await inject(
    async (request, response) => {
      for await (const piece of request) {
        size += piece.length;
        if (size > 200_000) break;
      }
      response.text('enough');
    },
    { body: pieces() },
  );
  t.equal(some.text(), 'enough');
  t.equal(wasReturned, true);
});

test('a body above the limit is 413, and one that fails is an error of the handler', async (t) => {
  async function* endless() {
    for (;;) yield Buffer.alloc(1024 * 1024);
  }
  t.equal((await inject(mirror, { body: endless() })).status, 413);
  async function* failing() {
    yield Buffer.from('x');
    throw new Error('the source failed');
  }
  const errors: unknown[] = [];
  t.equal((await inject(mirror, { body: failing(), onError: (error) => errors.push(error) })).status, 500);
  t.match(errors, [{ message: 'the source failed' }]);
});

test('errors of a handler', async (t) => {
  const errors: unknown[] = [];
  const onError = (error: unknown, request: { path: string }) => errors.push([(error as Error).message, request.path]);
  const fail = (error: Error) => (): never => {
    throw error;
  };
  t.equal((await inject(fail(new Error('one')), { onError })).status, 500);
  t.equal((await inject(fail(new HttpError(404, 'x')), { onError })).status, 404);
  t.equal((await inject(fail(new HttpError(503, 'two')), { onError })).status, 503);
  t.equal((await inject(async () => {}, { onError })).status, 500);
  const late: Handler = async (_request, response) => {
    response.text('x');
    throw new Error('three');
  };
  t.equal((await inject(late, { onError })).status, 200);
  t.same(errors, [
    ['one', '/'],
    ['two', '/'],
    ['the handler ended before its response was complete', '/'],
    ['three', '/'],
  ]);
});

test('without onError, an error is written to standard error', async (t) => {
  const written: unknown[] = [];
  const { error: log } = console;
  console.error = (error: unknown) => written.push(error);
  t.teardown(() => {
    console.error = log;
  });
  await inject(() => {
    throw new Error('x');
  });
  t.match(written, [{ message: 'x' }]);
});

test('a response that is broken off rejects', async (t) => {
  const broken: Handler = async (_request, response) => {
    response.header('Content-Length', 1);
    await response.write('x');
    await response.write('y');
  };
  await t.rejects(inject(broken, { onError: () => {} }), { message: 'the response was broken off' });
});

test('what cannot be sent rejects, and what the server would refuse is refused', async (t) => {
  await t.rejects(inject(mirror, { headers: { 'X-A': 'a\r\nb' } }), { message: 'the field X-A cannot be sent' });
  await t.rejects(inject(mirror, { headers: { 'a b': 'x' } }), TypeError);
  await t.rejects(inject(mirror, 'http://['), TypeError);
  t.equal((await inject(mirror, { headers: { host: 'a b' } })).status, 400);
  t.equal((await inject(mirror, { method: '' })).status, 400);
  t.equal((await inject(mirror, { method: 'G\r\n' })).status, 400);
});

test('an upgrade is answered as on a connection that did not ask for it', async (t) => {
  const answer = await inject((_request, response) => {
    response.upgrade('x', () => ({ onData: () => {} }));
  });
  t.equal(answer.status, 426);
});

test('waitUntil: its error is reported', async (t) => {
  const reported = await new Promise((resolve) => {
    const handler: Handler = (request, response) => {
      request.waitUntil(Promise.reject(new Error('late')));
      request.waitUntil(Promise.resolve());
      response.text('x');
    };
    void inject(handler, { onError: resolve });
  });
  t.match(reported, { message: 'late' });
});

test('a signal that is first read after the response is never aborted', async (t) => {
  let signal: AbortSignal | undefined;
  const router = new Router().get('/', (request, response) => {
    response.text('x');
    signal = request.signal;
  });
  await inject(router);
  t.equal(signal?.aborted, false);
});

test('a handler that returns what it should have sent is a 500 that says what to call', async (t) => {
  for (const returned of [{}, 'text', Promise.resolve([]), Promise.resolve('late')]) {
    const errors: unknown[] = [];
    const answer = await inject(() => returned as never, { onError: (error) => errors.push(error) });
    t.equal(answer.status, 500);
    t.match(errors, [{ message: /^a handler returned .*, which is not sent: call response\./ }]);
  }
  const timer = await inject((_request, response) => setImmediate(() => response.text('later')) as never);
  t.equal(timer.text(), 'later', 'what an arrow function returns by chance is no mistake');
});

test('what a site has of its own: notFound, onError, limits of a route, JSON errors', async (t) => {
  const site = new Router();
  site.notFound((_request, response) => response.text('nothing here'));
  site.onError((error, _request, response) => {
    if ((error as Error).message === 'known') return response.text('answered');
  });
  site.get('/known', () => {
    throw new Error('known');
  });
  site.get('/json', () => {
    throw new HttpError(409, 'taken');
  });
  site.post('/large', { limits: { bodyBytes: 200_000_000 } }, (_request, response) => response.text('taken'));
  site.post('/small', { limits: { bodyBytes: 2 } }, async (request, response) => response.text(await request.text()));
  const reports: unknown[] = [];
  const onError = (error: unknown) => reports.push(error);
  const ask = async (options: object) => {
    const answer = await inject(site, { ...options, onError });
    return [answer.status, answer.text()];
  };
  t.same(await ask({ url: '/x' }), [404, 'nothing here']);
  t.same(await ask({ url: '/known' }), [500, 'answered']);
  t.same(reports, [], 'what onError answers is not reported');
  const headers = { Accept: 'application/json' };
  t.same(await ask({ url: '/json', headers }), [409, '{"status":409,"title":"Conflict","detail":"taken"}']);
  const long = { 'Content-Length': '150000000' };
  async function* none() {}
  t.same(await ask({ url: '/large', method: 'POST', headers: long, body: none() }), [200, 'taken']);
  t.match(await ask({ url: '/x', method: 'POST', headers: long, body: none() }), [413, /^a body of more than/]);
  t.same(await ask({ url: '/small', body: 'ab' }), [200, 'ab']);
  t.match(await ask({ url: '/small', body: 'abc' }), [413, 'a body of more than 2 bytes\n']);
  async function* three() {
    yield* ['a', 'b', 'c'].map((letter) => Buffer.from(letter));
  }
  t.match(await ask({ url: '/small', body: three() }), [413, 'a body of more than 2 bytes\n']);
  t.same(reports, []);
});

test('a body that does not have its Content-Length is 400', async (t) => {
  async function* letters() {
    yield Buffer.from('a');
    yield Buffer.from('bc');
  }
  for (const length of ['4', '2', '3']) {
    const answer = await inject(mirror, { body: letters(), headers: { 'Content-Length': length } });
    t.equal(answer.status, length === '3' ? 200 : 400, length);
  }
  const begun: Handler = async (request, response) => {
    await response.write('x');
    response.end(await request.text());
  };
  const short = { body: letters(), headers: { 'Content-Length': '4' }, onError: () => {} };
  await t.rejects(inject(begun, short), { message: 'the response was broken off' });
});

test('informational responses, the scheme, and signals of a server that is none', async (t) => {
  const answer = await inject(
    (request, response) => {
      response.informational(103, { Link: '</a.css>' });
      response.json([request.url, request.clientAddress, request.closing.aborted]);
    },
    { url: 'https://a.example/x' },
  );
  t.same(answer.json(), ['https://a.example/x', '127.0.0.1', false]);
  t.same(
    answer.informational.map(({ status, headers }) => [status, headers.get('link')]),
    [[103, '</a.css>']],
  );
});

test('request.done: the outcome, without times', async (t) => {
  const outcomes: Promise<Outcome>[] = [];
  const site = new Router().get('/:id', (request, response) => {
    outcomes.push(request.done);
    response.text('four');
    outcomes.push(request.done);
  });
  await inject(site, '/x');
  t.equal(outcomes[0], outcomes[1]);
  t.match(await outcomes[0], {
    ...{ method: 'GET', path: '/x', route: '/:id', status: 200, clientGone: false, error: null },
    ...{ startedAt: 0, firstByteMs: 0, durationMs: 0 },
  });
  let late: Promise<Outcome> | undefined;
  const failing: Handler = async (request, response) => {
    const { done } = request;
    response.text('x');
    late = request.done;
    t.equal(done, late);
    throw new Error('after the response');
  };
  await inject(failing, { onError: () => {} });
  t.match(await late, { status: 200, bytesIn: 35 });
});

test('an upgrade that the request did ask for needs a connection', async (t) => {
  const headers = { Connection: 'Upgrade', Upgrade: 'x' };
  const answer = await inject((_request, response) => void response.upgrade('x', () => ({ onData: () => {} })), {
    headers,
  });
  t.equal(answer.status, 426);
});

test('a stream of the response that fails is reported once', async (t) => {
  const errors: unknown[] = [];
  async function* failing() {
    yield 'x';
    throw new Error('the source failed');
  }
  const handler: Handler = async (_request, response) => {
    await response.body(failing());
  };
  await t.rejects(inject(handler, { onError: (error) => errors.push(error) }), {
    message: 'the response was broken off',
  });
  t.match(errors, [{ message: 'the source failed' }]);
});

test('a body whose source fails after the response changes nothing, and one that is used up is ended', async (t) => {
  let fail = (_error: Error) => {};
  const late = {
    [Symbol.asyncIterator]: () => ({
      next: () => new Promise<IteratorResult<Uint8Array>>((_resolve, reject) => (fail = reject)),
    }),
  };
  let read: Promise<unknown> | undefined;
  const answer = await inject(
    (request, response) => {
      read = request.text();
      response.text('x');
    },
    { body: late },
  );
  t.equal(answer.text(), 'x');
  await t.rejects(read as Promise<unknown>, { message: 'the response was complete before the body had been read' });
  fail(new Error('too late'));
  let isEnded = false;
  async function* letters() {
    try {
      yield Buffer.from('ab');
    } finally {
      isEnded = true;
    }
  }
  t.match((await inject(mirror, { body: letters(), headers: { 'Content-Length': '2' } })).json(), { body: 'ab' });
  t.equal(isEnded, true);
});
