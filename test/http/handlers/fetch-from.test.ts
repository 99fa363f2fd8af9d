/** router.fetch: a Request of Fetch to a Router, and back as a Response, without a socket. */

import { test } from 'tap';
import { defaultLimits, HttpError, type Outcome, Router } from '../../../http/index.ts';

const encoder = new TextEncoder();
const url = (path: string) => `http://a.example:81${path}`;

function routerOf(): Router {
  const router = new Router();
  router.get('/users/:id', (request, response) => response.json({ ...request.params, q: request.query.get('q') }));
  router.post('/echo', async (request, response) => response.bytes(await request.bytes()));
  router.get('/head', (request, response) => response.json([...request.headers]));
  router.get('/204', (_request, response) => response.empty());
  router.get('/205', (_request, response) => response.empty(205));
  router.get('/fetch', () => new Response('made', { status: 201, headers: { 'X-A': 'b' } }));
  router.get('/stream', async (_request, response) => {
    for (const piece of ['one', 'two']) await response.write(piece);
    response.trailer('X-T', 'x').end();
  });
  router.get('/error', () => {
    throw new HttpError(418, 'short and stout');
  });
  return router;
}

test('whole answers', async (t) => {
  const router = routerOf();
  const answer = await router.fetch(new Request(url('/users/7?q=x')));
  t.ok(answer instanceof Response);
  t.same([answer.status, answer.statusText, answer.headers.get('content-type')], [200, 'OK', 'application/json']);
  t.same(await answer.json(), { id: '7', q: 'x' });
  const made = await router.fetch(new Request(url('/fetch')));
  t.same([made.status, made.headers.get('x-a'), await made.text()], [201, 'b', 'made']);
  const error = await router.fetch(new Request(url('/error')));
  t.same([error.status, await error.text()], [418, 'short and stout\n']);
  t.equal((await router.fetch(new Request(url('/none')))).status, 404);
});

test('answers without a body', async (t) => {
  const router = routerOf();
  for (const status of [204, 205]) {
    const answer = await router.fetch(new Request(url(`/${status}`)));
    t.same([answer.status, answer.body], [status, null]);
  }
  const head = await router.fetch(new Request(url('/users/7'), { method: 'HEAD' }));
  t.same([head.status, head.headers.get('content-length'), head.body], [200, '19', null]);
});

test('the request: its host, its fields, and its body, whole or in pieces', async (t) => {
  const router = routerOf();
  const fields = (await (await router.fetch(new Request(url('/head'), { headers: { 'X-A': 'b' } }))).json()) as unknown;
  t.same(fields, [
    ['Host', 'a.example:81'],
    ['x-a', 'b'],
  ]);
  const post = (body: NonNullable<ConstructorParameters<typeof Response>[0]>, headers = {}) =>
    router.fetch(new Request(url('/echo'), { method: 'POST', body, headers, duplex: 'half' }));
  t.equal(await (await post('text')).text(), 'text');
  t.equal(await (await post('text', { 'content-length': '4' })).text(), 'text');
  t.equal(await (await post(new Blob(['a', 'b']).stream())).text(), 'ab');
  t.equal(await (await router.fetch(new Request(url('/echo'), { method: 'POST' }))).text(), '');
});

test('an answer in pieces is a stream', async (t) => {
  const answer = await routerOf().fetch(new Request(url('/stream')));
  t.equal(answer.headers.has('transfer-encoding'), false, 'the caller frames it');
  const pieces: string[] = [];
  for await (const piece of answer.body as AsyncIterable<Uint8Array>) pieces.push(Buffer.from(piece).toString());
  t.same(pieces, ['one', 'two']);
});

test('a handler writes no faster than the caller reads, and learns that the caller has left', async (t) => {
  const router = new Router();
  let written = 0;
  let end: unknown;
  const ended = new Promise<void>((resolve) => {
    router.get('/', async (request, response) => {
      try {
        for (;;) {
          await response.write(new Uint8Array(40_000));
          written++;
        }
      } catch (error) {
        end = [(error as Error).name, request.signal.aborted];
        resolve();
        throw error;
      }
    });
  });
  const answer = await router.fetch(new Request(url('/')));
  const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
  await reader.read();
  const before = written;
  t.ok(before < 5, `${before} pieces`);
  await reader.read();
  await reader.read();
  await reader.cancel();
  await ended;
  t.same(end, ['ClientGoneError', true]);
});

test('a caller that aborts its request has left', async (t) => {
  const router = new Router();
  const controller = new AbortController();
  const left = new Promise<unknown>((resolve) => {
    router.get('/', (request, response) => {
      request.signal.addEventListener('abort', () => resolve(request.signal.reason));
      void response.write('x');
    });
  });
  await router.fetch(new Request(url('/'), { signal: controller.signal }));
  controller.abort();
  t.match(await left, { name: 'AbortError', cause: { name: 'ClientGoneError' } });
});

test('a response that is broken off is an error of its stream', async (t) => {
  const router = new Router();
  router.get('/', async (_request, response) => {
    await response.write('x');
    throw new HttpError(400, 'midway');
  });
  router.get('/short', async (_request, response) => {
    response.header('Content-Length', 5);
    await response.write('x');
  });
  const reports: unknown[] = [];
  const { error: log } = console;
  console.error = (error: unknown) => reports.push(error);
  t.teardown(() => {
    console.error = log;
  });
  for (const path of ['/', '/short']) {
    const answer = await router.fetch(new Request(url(path)));
    await t.rejects(answer.text(), { message: 'the response was broken off' });
  }
  t.match(reports, [{ message: 'midway' }, { message: 'the handler ended before its response was complete' }]);
});

test('a request that cannot be sent rejects, and one that the server would refuse is refused', async (t) => {
  const router = routerOf();
  const long = new Request(url(`/${'x'.repeat(9_000)}`));
  t.equal((await router.fetch(long)).status, 414);
  const custom = new Request(url('/'), { headers: { 'X-A': encoder.encode('x').toString() } });
  t.equal((await router.fetch(custom)).status, 404);
});

test('an answer without a body that is broken off rejects', async (t) => {
  const router = new Router();
  router.get('/', async (_request, response) => {
    await response.status(205).write('');
    throw new HttpError(400, 'midway');
  });
  const { error: log } = console;
  console.error = () => {};
  t.teardown(() => {
    console.error = log;
  });
  await t.rejects(router.fetch(new Request(url('/'))), { message: 'the response was broken off' });
});

test('an answer whose length is wrong is a 500', async (t) => {
  const router = new Router();
  router.get('/', (_request, response) => {
    response.header('Content-Length', 1);
    response.end();
  });
  const { error: log } = console;
  console.error = () => {};
  t.teardown(() => {
    console.error = log;
  });
  t.equal((await router.fetch(new Request(url('/')))).status, 500);
});

test('what comes after the end of an exchange changes nothing', async (t) => {
  const router = new Router();
  let write: (() => Promise<void>) | undefined;
  router.get('/', (_request, response) => {
    void response.write('x');
    write = () => response.write('y');
  });
  router.get('/whole', (_request, response) => response.text('x'));
  const controller = new AbortController();
  const whole = await router.fetch(new Request(url('/whole'), { signal: controller.signal }));
  controller.abort();
  t.equal(await whole.text(), 'x');
  const answer = await router.fetch(new Request(url('/')));
  await answer.body?.cancel();
  await t.rejects(write?.() as Promise<void>, { name: 'ClientGoneError' });
});

test('a handler that waits to write, or has not answered yet, when the caller leaves', async (t) => {
  const router = new Router();
  const ended = new Promise<unknown>((resolve) => {
    router.get('/waits', (_request, response) => {
      response.write(new Uint8Array(100_000)).then(resolve, resolve);
    });
  });
  await (await router.fetch(new Request(url('/waits')))).body?.cancel();
  t.match(await ended, { name: 'ClientGoneError' });
  const controller = new AbortController();
  let answer = () => {};
  router.get('/late', (_request, response) => {
    answer = () => response.text('too late');
  });
  void router.fetch(new Request(url('/late'), { signal: controller.signal }));
  controller.abort();
  t.doesNotThrow(answer);
});

test('request.done of a caller that left before the answer, and informational responses, which a Response cannot say', async (t) => {
  const router = new Router();
  const controller = new AbortController();
  const outcome = new Promise<Outcome>((resolve) => {
    router.get('/', (request) => void request.done.then(resolve));
  });
  void router.fetch(new Request(url('/'), { signal: controller.signal }));
  controller.abort();
  t.match(await outcome, { status: 0, firstByteMs: null, clientGone: true });
  router.get('/hints', (_request, response) => {
    t.equal(response.informational(103, { Link: '</a.css>' }), true);
    response.text('x');
  });
  const answer = await router.fetch(new Request(url('/hints')));
  t.same([answer.status, answer.headers.has('link'), await answer.text()], [200, false, 'x']);
});

test('a handler that does not wait for the caller is stopped at the bound of the server', async (t) => {
  const router = new Router();
  const ends: string[] = [];
  const { error: log } = console;
  console.error = () => {};
  t.teardown(() => {
    console.error = log;
  });
  router.get('/', (_request, response) => {
    const half = new Uint8Array(defaultLimits.answerBufferBytes / 2);
    for (let i = 0; i < 4; i++) {
      response.write(half).then(
        () => ends.push('written'),
        (error: Error) => ends.push(error.message),
      );
    }
  });
  const answer = await router.fetch(new Request(url('/')));
  await t.rejects(answer.arrayBuffer(), { message: 'the response was broken off' });
  t.ok(ends.includes('too much is queued for the client: await each write()'), ends.join());
});
