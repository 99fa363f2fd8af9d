/** A request as an app sees it: everything that a Request of the platform does, at every way to read its body, and once. */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { inspect } from 'node:util';
import { test } from 'tap';
import { type FetchInfo, fetchHandler, type InjectOptions, inject, serve } from '../../../http/index.ts';
import { RawClient } from '../../support/raw-client.ts';

/** What the app finds in the request. */
async function see<T>(look: (request: Request) => T | Promise<T>, options: InjectOptions = {}): Promise<T> {
  let seen: T | undefined;
  let failure: unknown;
  const app = async (request: Request) => {
    try {
      seen = await look(request);
    } catch (error) {
      failure = error;
    }
    return new Response();
  };
  await inject({ fetch: app }, options);
  if (failure !== undefined) throw failure;
  return seen as T;
}

const post = { method: 'POST', url: '/p?q=1', headers: { 'X-A': 'b' }, body: 'h\xe4llo' };
const json = { method: 'POST', body: { a: [1] } };

test('method, url, headers, and that it is a Request', async (t) => {
  const request = await see((request) => request, post);
  t.ok(request instanceof Request);
  t.equal(Object.prototype.toString.call(request), '[object Request]');
  t.same([request.method, request.url], ['POST', 'http://localhost/p?q=1']);
  t.equal(request.headers.get('x-a'), 'b');
  t.equal(request.headers, request.headers);
  t.ok(request.signal instanceof AbortSignal);
  t.match(inspect(request), /^Request \{\n {2}method: 'POST',\n {2}url: 'http:\/\/localhost\/p\?q=1',/);
});

test('what only a client decides has the values that a Request has by default', async (t) => {
  const names = [
    'cache',
    'credentials',
    'destination',
    'duplex',
    'integrity',
    'keepalive',
    'mode',
    'redirect',
  ] as const;
  const others = ['referrer', 'referrerPolicy'] as const;
  const theirs = new Request('http://localhost/');
  const ours = await see((request) => [...names, ...others].map((name) => request[name]));
  t.same(
    ours,
    [...names, ...others].map((name) => theirs[name]),
  );
});

test('each way to read a body', async (t) => {
  t.equal(await see((request) => request.text(), post), 'h\xe4llo');
  t.same(await see((request) => request.json(), json), { a: [1] });
  t.same(
    new Uint8Array(await see((request) => request.arrayBuffer(), { body: Buffer.of(1, 2) })),
    new Uint8Array([1, 2]),
  );
  const bytes = await see((request) => (request as unknown as { bytes(): Promise<Uint8Array> }).bytes(), { body: 'x' });
  t.same([bytes.constructor, [...bytes], bytes.buffer.byteLength], [Uint8Array, [120], 1]);
  const blob = await see((request) => request.blob(), { ...post, headers: { 'Content-Type': 'a/b' } });
  t.same([blob.type, await blob.text()], ['a/b', 'h\xe4llo']);
  t.equal((await see((request) => request.blob(), { body: Buffer.of(1) })).type, '');
});

test('text is decoded as Fetch has it: a BOM is dropped, and invalid UTF-8 is replaced', async (t) => {
  t.equal(await see((request) => request.text(), { body: Buffer.from('\ufeffx') }), 'x');
  t.equal(await see((request) => request.text(), { body: Buffer.of(0x61, 0xff) }), 'a\ufffd');
});

test('forms of both kinds', async (t) => {
  const form = new FormData();
  form.set('a', '1');
  form.set('file', new Blob(['content'], { type: 'text/plain' }), 'name.txt');
  for (const body of [form, new URLSearchParams({ a: '1' })]) {
    const seen = await see((request) => request.formData(), { body });
    t.equal(seen.get('a'), '1');
    if (body === form) t.equal(await (seen.get('file') as File).text(), 'content');
  }
  await t.rejects(
    see((request) => request.formData(), { body: Buffer.of(1) }),
    { message: 'formData() reads multipart/form-data and application/x-www-form-urlencoded' },
  );
});

test('a body as a stream gives plain bytes, and is one object', async (t) => {
  await see(async (request) => {
    t.equal(request.body, request.body);
    t.equal(request.bodyUsed, false);
    const reader = (request.body as ReadableStream<Uint8Array>).getReader();
    const { value } = await reader.read();
    t.same([value?.constructor, Buffer.from(value as Uint8Array).toString()], [Uint8Array, 'h\xe4llo']);
    t.equal(request.bodyUsed, true);
    t.same(await reader.read(), { done: true, value: undefined });
  }, post);
});

test('GET and HEAD, and a request without a body, have none', async (t) => {
  for (const options of [{}, { method: 'HEAD' }, { method: 'GET', body: 'x' }, { method: 'POST' }]) {
    await see(async (request) => {
      t.equal(request.body, null);
      t.equal(await request.text(), '');
      t.equal(await request.text(), '', 'nothing has been used');
      t.equal(request.bodyUsed, false);
      t.equal(await new Request(request).text(), '');
    }, options);
  }
});

test('a body is read once', async (t) => {
  await see(async (request) => {
    await request.text();
    t.equal(request.bodyUsed, true);
    await t.rejects(request.json(), { name: 'TypeError', message: 'Body is unusable: it has been read' });
    t.throws(() => request.clone(), TypeError);
    t.throws(() => new Request(request), TypeError);
    t.equal(await new Request(request, { method: 'PUT', body: 'other' }).text(), 'other');
    t.same(await (request.body as ReadableStream).getReader().read(), { done: true, value: undefined });
  }, post);
  await see(async (request) => {
    const reader = (request.body as ReadableStream).getReader();
    await t.rejects(request.text(), { message: 'Body is unusable: it is locked' });
    reader.releaseLock();
    t.equal(await request.text(), 'h\xe4llo', 'through the stream');
  }, post);
});

test('a rejection that nobody awaits ends no process', async () => {
  await see(async (request) => {
    await request.text();
    void request.text();
    await nextTurn();
  }, post);
});

test('new Request takes it, with its body', async (t) => {
  await see(async (request) => {
    const copy = new Request(request);
    t.same([copy.method, copy.url, copy.headers.get('x-a')], ['POST', 'http://localhost/p?q=1', 'b']);
    t.equal(await copy.text(), 'h\xe4llo');
    t.equal(request.bodyUsed, true);
  }, post);
  const changed = await see(
    (request) => new Request(request, { method: 'PUT', headers: { 'X-B': 'c' }, body: 'new' }),
    post,
  );
  t.same(
    [changed.method, changed.headers.get('x-a'), changed.headers.get('x-b'), await changed.text()],
    ['PUT', null, 'c', 'new'],
  );
  const other = await see((request) => new Request('http://other/', request), {
    method: 'DELETE',
    headers: { a: 'b' },
  });
  t.same([other.url, other.method, other.headers.get('a')], ['http://other/', 'DELETE', 'b']);
  class Own extends Request {}
  t.ok((await see((request) => new Own(request))) instanceof Own);
});

test('new Request sees headers that the app has changed', async (t) => {
  await see((request) => {
    request.headers.set('x-a', 'changed');
    t.equal(new Request(request).headers.get('x-a'), 'changed');
  }, post);
});

test('after a clone the request goes on with the other half', async (t) => {
  await see(async (request) => {
    const copy = request.clone();
    t.equal(request.bodyUsed, false);
    const reader = (request.body as ReadableStream<Uint8Array>).getReader();
    t.equal(Buffer.from((await reader.read()).value as Uint8Array).toString(), 'h\xe4llo');
    t.equal(request.bodyUsed, true);
    reader.releaseLock();
    t.throws(() => request.clone(), TypeError);
    t.equal(await copy.text(), 'h\xe4llo');
  }, post);
});

test('an init without a body, or with null for one, leaves that of the request', async (t) => {
  for (const init of [{ headers: {} }, { body: null }]) {
    t.equal(await see(async (request) => new Request(request, init).text(), post), 'h\xe4llo');
  }
});

test('clone gives two bodies', async (t) => {
  await see(async (request) => {
    const copy = request.clone();
    t.ok(copy instanceof Request);
    t.equal(await copy.text(), 'h\xe4llo');
    t.equal(await request.text(), 'h\xe4llo');
  }, post);
});

test('fetch takes it, as a proxy would', async (t) => {
  const target = serve({ fetch: async (request) => new Response(`${request.method} ${await request.text()}`) });
  t.teardown(() => target.close({ idleGraceMs: 1 }));
  const proxy = (request: Request) => fetch(new Request(target.url, request));
  const answer = await inject({ fetch: proxy }, post);
  t.equal(answer.text(), 'POST h\xe4llo');
  const direct = serve({ fetch: (request) => (request.headers.has('via') ? new Response('end') : through(request)) });
  const through = (request: Request) => {
    request.headers.set('via', 'x');
    return fetch(request);
  };
  t.teardown(() => direct.close({ idleGraceMs: 1 }));
  t.equal(await (await fetch(direct.url)).text(), 'end');
});

test('new Request and fetch do as before with everything else', async (t) => {
  t.equal(new Request('http://a/').url, 'http://a/');
  t.equal(new Request(new Request('http://a/', { method: 'PUT' })).method, 'PUT');
  t.throws(() => new Request('not absolute'), TypeError);
  await t.rejects(fetch('not absolute'), TypeError);
});

test('methods are written as Fetch has them, and those that it forbids are 501', async (t) => {
  t.equal(await see((request) => request.method, { method: 'get' }), 'GET');
  t.equal(await see((request) => request.method, { method: 'patch' }), 'patch');
  t.equal(await see((request) => request.method, { method: 'PROPFIND' }), 'PROPFIND');
  for (const method of ['TRACE', 'TRACK']) {
    t.equal((await inject({ fetch: () => new Response() }, { method, onError: () => {} })).status, 501, method);
  }
});

test('h3 and srvx: ip and waitUntil', async (t) => {
  const seen = await see((request) => request as Request & { ip: string; waitUntil(promise: Promise<unknown>): void });
  t.equal(seen.ip, '127.0.0.1');
  seen.waitUntil(Promise.resolve());
});

test('without lazy, the app gets a Request of the platform', async (t) => {
  let seen: Request | undefined;
  const handler = fetchHandler(
    async (request) => {
      seen = request;
      return new Response(await request.text());
    },
    { lazy: false },
  );
  t.equal((await inject(handler, post)).text(), 'h\xe4llo');
  t.equal(Object.getPrototypeOf(seen), Request.prototype);
  t.same((await inject(handler, '/x')).text(), '');
});

test('a client that leaves aborts the signal and the read', async (t) => {
  const failures: unknown[] = [];
  let client: RawClient | null = null;
  let settle = (_ends: unknown[]) => {};
  const ends = new Promise<unknown[]>((resolve) => {
    settle = resolve;
  });
  const app = async (request: Request) => {
    const aborted = new Promise((resolve) => request.signal.addEventListener('abort', resolve));
    client?.socket.resetAndDestroy();
    const read = await request.text().catch((error: Error) => error);
    await aborted;
    settle([request.signal.aborted, read instanceof Error]);
    return new Response('too late');
  };
  const server = serve({ fetch: app }, { onError: (error) => failures.push(error) });
  t.teardown(() => server.close({ idleGraceMs: 1 }));
  client = new RawClient(Number(new URL(server.url).port));
  client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab');
  t.same(await ends, [true, true]);
  t.same(failures, []);
});

test('a form that has been read in part as a stream, and one after a clone', async (t) => {
  const body = new URLSearchParams({ a: '1' });
  const read = await see(
    async (request) => {
      t.ok(request.body);
      const form = await request.formData();
      await t.rejects(request.formData(), TypeError);
      return form;
    },
    { body },
  );
  t.equal(read.get('a'), '1');
  const cloned = await see(
    async (request) => {
      request.clone();
      return request.formData();
    },
    { body },
  );
  t.equal(cloned.get('a'), '1');
  const readTwice = async (request: Request) => {
    await request.text();
    return request.formData();
  };
  await t.rejects(see(readTwice, { body }), TypeError);
  const untyped = async (request: Request) => {
    t.ok(request.body);
    return request.formData();
  };
  await t.rejects(see(untyped, { body: Buffer.of(1) }), TypeError);
});

test('to cancel the body cancels that of our request, with the reason if that is an error', async (t) => {
  async function* endless() {
    for (;;) yield Buffer.alloc(100_000);
  }
  for (const [reason, message] of [
    [new Error('enough'), 'enough'],
    ['enough', 'the body has been cancelled'],
  ] as const) {
    const app = async (request: Request, { request: ours }: FetchInfo) => {
      const reader = (request.body as ReadableStream<Uint8Array>).getReader();
      await reader.read();
      await reader.cancel(reason);
      await t.rejects(ours.body.read(), { message });
      return new Response();
    };
    t.equal((await inject({ fetch: app }, { body: endless() })).status, 200);
  }
});
