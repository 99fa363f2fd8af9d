/** The handler model of the Fetch Server API: what is called with what, and what its results and errors become (docs/fetch-server-api.md). */

import { test } from 'tap';
import { protocolError } from '../../../http/handlers/protocol-error.ts';
import { contextHandler, HttpError, inject, Router, type ServerContext, serve } from '../../../http/index.ts';
import { portOf } from '../../../simplenet/kernel/socket-address.ts';
import { clientsOf, deferred, get, MARK, marked, request, site } from '../../support/context-client.ts';

test('a marked object gets a context, with itself as this; one without a marker gets a request', async (t) => {
  const app = {
    ...MARK,
    greeting: 'hello',
    fetch(ctx: ServerContext) {
      return new Response(`${this.greeting} ${ctx.request.method} ${ctx.request.url}`);
    },
  };
  t.match(
    await site(t, app).ask(get('/a?b=1')),
    /^HTTP\/1\.1 200 OK[\s\S]*\r\n\r\nhello GET http:\/\/example\.org\/a\?b=1$/,
  );
  const legacy = { fetch: (asked: Request) => new Response(asked.url) };
  const server = serve(legacy);
  t.teardown(() => server.close({ graceMs: 0 }));
  t.match(await clientsOf(t, portOf(server.address)).ask(get('/x')), /http:\/\/example\.org\/x$/);
});

test('an unknown version, and an object without fetch, are refused at once', async (t) => {
  const key = Symbol.for('wintertc.server.protocol');
  t.throws(() => serve({ [key]: 2, fetch: () => new Response() } as never), /version 2 of the Fetch Server API; this/);
  t.throws(() => serve({ [key]: '1', fetch: () => new Response() } as never), TypeError);
  t.throws(() => serve({ [key]: 1, connect: () => undefined } as never), /must have a function fetch/);
});

test('it can be mounted in a router', async (t) => {
  const router = new Router();
  router.all('/app/*', contextHandler(marked({ fetch: async () => new Response('mounted', { status: 201 }) })));
  const server = serve(router);
  t.teardown(() => server.close({ graceMs: 0 }));
  t.match(await clientsOf(t, portOf(server.address)).ask(get('/app/x')), /201 Created[\s\S]*mounted$/);
});

test('it answers without a socket', async (t) => {
  const fetch = (ctx: ServerContext) => {
    ctx.sendInformational(100);
    ctx.sendInformational(103);
    return new Response(ctx.request.method);
  };
  const answer = await inject(marked({ fetch }), { method: 'POST', headers: { Expect: '100-continue' }, body: 'x' });
  t.same([answer.status, answer.text()], [200, 'POST']);
});

test('a Response to HEAD has no body', async (t) => {
  const answer = await site(t, marked({})).ask(request('HEAD', '/', ['Connection: close']));
  t.match(answer, /content-length: 2/i);
  t.match(answer, /\r\n\r\n$/);
});

test('what fetch throws is 500, and reported', async (t) => {
  const error = new Error('secret');
  for (const fetch of [
    () => {
      throw error;
    },
    () => Promise.reject(error),
  ]) {
    const { ask, reported } = site(t, marked({ fetch }));
    const answer = await ask(get());
    t.match(answer, /^HTTP\/1\.1 500 /);
    t.notMatch(answer, /secret/);
    t.same(reported, [error]);
  }
  const { ask, reported } = site(t, marked({ fetch: () => Promise.reject(new HttpError(404, 'not here')) }));
  t.match(await ask(get()), /^HTTP\/1\.1 500 /, 'an HttpError is an error like any other');
  t.match(reported, [{ status: 500, cause: { status: 404 } }]);
});

test('what fetch returns must be a Response, or undefined after deny()', async (t) => {
  for (const value of [undefined, null, 'text', {}, 7]) {
    const { ask, reported } = site(t, marked({ fetch: () => value as never }));
    t.match(await ask(get()), /^HTTP\/1\.1 500 /, String(value));
    t.match(reported, [TypeError]);
  }
  const seen: unknown[] = [];
  const error = (_ctx: ServerContext, thrown: unknown) => {
    seen.push(thrown);
    return new Response('handled', { status: 418 });
  };
  const { ask, reported } = site(t, marked({ fetch: async () => 'text' as never, error }));
  t.match(await ask(get()), /^HTTP\/1\.1 418 [\s\S]*handled$/);
  t.match(seen, [TypeError]);
  t.same(reported, [], 'error() has seen it');
});

test('error() gets the context of the method that failed, and may answer, deny, or leave it to the default', async (t) => {
  const contexts: unknown[] = [];
  const failure = new Error('x');
  const fetch = (ctx: ServerContext) => {
    contexts.push(ctx);
    throw failure;
  };
  const answers: Readonly<Record<string, [error: (ctx: ServerContext, error: unknown) => unknown, expected: RegExp]>> =
    {
      answer: [async () => new Response('mine', { status: 503 }), /^HTTP\/1\.1 503 [\s\S]*mine$/],
      deny: [(ctx) => ctx.deny(), /^HTTP\/1\.1 503 [\s\S]*connection: close/i],
      nothing: [() => undefined, /^HTTP\/1\.1 500 /],
      'a throw': [
        () => {
          throw new Error('second');
        },
        /^HTTP\/1\.1 500 /,
      ],
      'a rejection': [() => Promise.reject(new Error('second')), /^HTTP\/1\.1 500 /],
      'a wrong value': [() => 'text', /^HTTP\/1\.1 500 /],
      'a wrong value later': [async () => 'text', /^HTTP\/1\.1 500 /],
      'a throw after deny': [
        (ctx) => {
          ctx.deny();
          throw new Error('second');
        },
        /^HTTP\/1\.1 503 /,
      ],
    };
  for (const [name, [error, expected]] of Object.entries(answers)) {
    const seen: unknown[] = [];
    const onFailure = (ctx: ServerContext, thrown: unknown) => {
      seen.push(ctx, thrown);
      return error(ctx, thrown) as undefined;
    };
    const { ask, reported } = site(t, marked({ fetch, error: onFailure }));
    t.match(await ask(get()), expected, name);
    t.same(seen.length, 2, 'called once');
    t.equal(seen[0], contexts.at(-1), 'the same context');
    t.equal(seen[1], failure);
    const reports = { answer: 0, deny: 0, nothing: 1, 'a throw after deny': 1 }[name] ?? 2;
    t.equal(reported.length, reports, `reports: ${name}`);
  }
});

test('a stream that fails after the response has begun breaks it off, and error() is not called', async (t) => {
  const failure = new Error('midway');
  let pulls = 0;
  const body = () =>
    new ReadableStream<Uint8Array>({
      async pull(controller) {
        await new Promise((resolve) => setImmediate(resolve));
        if (pulls++ > 0) throw failure;
        controller.enqueue(Buffer.from('first'));
      },
    });
  let completed: Promise<void> | null = null;
  const fetch = (ctx: ServerContext) => {
    completed = ctx.completed;
    return new Response(body());
  };
  const error = () => t.fail('error() was called') as never;
  const { client, reported } = site(t, marked({ fetch, error }));
  const asking = client().write(get());
  await asking.ended();
  t.match(asking.text, /first/);
  t.notMatch(asking.text, /\r\n0\r\n\r\n$/);
  t.same(reported, [failure]);
  await t.rejects(completed as unknown as Promise<void>, { code: 'ERR_HTTP_INTERNAL_ERROR', cause: failure });
});

test('deny() is 503 and the end of the connection, or only the end, by its code', async (t) => {
  const fetch = async (ctx: ServerContext) => {
    const code = new URL(ctx.request.url).pathname.slice(1);
    ctx.deny(code === '' ? undefined : { code });
    await ctx.completed;
    return undefined;
  };
  const { ask, reported } = site(t, marked({ fetch }));
  for (const code of ['', 'ERR_HTTP_REQUEST_REJECTED', 'ERR_HTTP_GOAWAY', 'ERR_UNKNOWN']) {
    const answer = await ask(request('GET', `/${code}`, []));
    t.match(answer, /^HTTP\/1\.1 503 Service Unavailable\r\n/, code);
    t.match(answer, /connection: close\r\n/i, code);
  }
  for (const code of ['ERR_HTTP_REQUEST_CANCELLED', 'ERR_HTTP_INTERNAL_ERROR', 'ERR_HTTP_CONNECT_ERROR']) {
    const { client } = site(t, marked({ fetch }));
    const asking = client().write(request('GET', `/${code}`, []));
    await asking.until(() => asking.isOver || asking.isClosed, 'the end');
    t.equal(asking.text, '', code);
  }
  t.same(reported, []);
});

test('deny() twice, or after something was sent, throws', async (t) => {
  const thrown: string[] = [];
  const fetch = (ctx: ServerContext) => {
    if (ctx.request.url.endsWith('/hint')) ctx.sendInformational(103, { link: '</a>' });
    else ctx.deny();
    try {
      ctx.deny();
    } catch (error) {
      thrown.push((error as DOMException).name);
    }
    try {
      ctx.sendInformational(103);
      thrown.push('sent');
    } catch (error) {
      thrown.push((error as DOMException).name);
    }
    return ctx.request.url.endsWith('/hint') ? new Response('x') : undefined;
  };
  const { ask } = site(t, marked({ fetch }));
  await ask(get('/hint'));
  t.same(thrown, ['InvalidStateError', 'sent']);
  thrown.length = 0;
  await ask(get('/'));
  t.same(thrown, ['InvalidStateError', 'InvalidStateError']);
});

test('a value after deny() is reported; nothing more is sent, and error() is not called', async (t) => {
  const error = () => t.fail('error() was called') as never;
  const fetch = (ctx: ServerContext) => {
    ctx.deny();
    return new Response('late');
  };
  const { ask, reported } = site(t, marked({ fetch, error }));
  const answer = await ask(get());
  t.match(answer, /^HTTP\/1\.1 503 /);
  t.notMatch(answer, /late/);
  t.match(reported, [{ name: 'TypeError', message: /returned a Response where none can be sent/ }]);
});

test('when the client has gone, calls do nothing, and what the handler does is discarded', async (t) => {
  const began = deferred();
  const ended = deferred<unknown[]>();
  const error = () => t.fail('error() was called') as never;
  const fetch = async (ctx: ServerContext) => {
    const { signal } = ctx.request;
    began.resolve();
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    ctx.sendInformational(103);
    ctx.deny();
    const reason = await ctx.completed.catch((rejected: unknown) => rejected);
    ended.resolve([signal.reason, reason]);
    throw new Error('discarded');
  };
  const { client, reported } = site(t, marked({ fetch, error }));
  const asking = client().write(request('GET', '/', []));
  await began.promise;
  asking.reset();
  const [reason, completed] = await ended.promise;
  t.match(reason, { code: 'ERR_HTTP_CONNECTION_RESET' });
  t.ok(reason instanceof TypeError);
  t.equal(completed, reason);
  t.same(reported, []);
});

test('error() may be at work when the client leaves', async (t) => {
  const began = deferred();
  const ended = deferred();
  const fetch = () => Promise.reject(new Error('x'));
  const error = async (ctx: ServerContext) => {
    began.resolve();
    await ctx.completed.catch(() => {});
    setImmediate(() => ended.resolve());
    throw new Error('second');
  };
  const { client, reported } = site(t, marked({ fetch, error }));
  const asking = client().write(request('GET', '/', []));
  await began.promise;
  asking.reset();
  await ended.promise;
  t.same(reported, []);
});

test('undefined is a valid return when the client has gone', async (t) => {
  const began = deferred();
  const ended = deferred();
  const fetch = async (ctx: ServerContext) => {
    began.resolve();
    await ctx.completed.catch(() => {});
    queueMicrotask(() => queueMicrotask(() => ended.resolve()));
    return undefined;
  };
  const { client, reported } = site(t, marked({ fetch }));
  const asking = client().write(request('GET', '/', []));
  await began.promise;
  asking.reset();
  await ended.promise;
  t.same(reported, []);
});

test('a streamed body is cancelled with the protocol error when the client leaves', async (t) => {
  const cancelled = deferred<unknown>();
  const fetch = () =>
    new Response(
      new ReadableStream({
        start: (controller) => controller.enqueue(Buffer.from('first')),
        cancel: (reason) => cancelled.resolve(reason),
      }),
    );
  const { client } = site(t, marked({ fetch }));
  const asking = client().write(request('GET', '/', []));
  await asking.until(() => asking.text.includes('first'), 'the first piece');
  asking.reset();
  t.match(await cancelled.promise, { code: 'ERR_HTTP_CONNECTION_RESET' });
});

test('a client that has only ended its side gets the response', async (t) => {
  const fetch = async (ctx: ServerContext) => {
    const { signal } = ctx.request;
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
    return new Response('still here');
  };
  const { client } = site(t, marked({ fetch }));
  const asking = client().write(request('GET', '/', []));
  asking.socket.end();
  await asking.ended();
  t.match(asking.text, /still here$/);
});

test('waitUntil: a rejection is reported, and changes nothing about the response', async (t) => {
  const failure = new Error('background');
  const error = () => t.fail('error() was called') as never;
  const fetch = (ctx: ServerContext) => {
    ctx.waitUntil(Promise.reject(failure));
    return new Response('ok');
  };
  const { ask, reported } = site(t, marked({ fetch, error }));
  t.match(await ask(get()), /^HTTP\/1\.1 200 /);
  t.same(reported, [failure]);
});

test('a body that a limit of the server refuses is 413 if fetch fails with its error', async (t) => {
  const fetch = () => Promise.reject(protocolError('ERR_HTTP_CONTENT_TOO_LARGE', 'too large'));
  t.match(await site(t, marked({ fetch })).ask(get()), /^HTTP\/1\.1 413 /);
  const error = () => new Response('mine', { status: 400 });
  t.match(await site(t, marked({ fetch, error })).ask(get()), /^HTTP\/1\.1 400 /);
});

test('completed is the same promise each time, and resolves when the response is with the kernel', async (t) => {
  const done = deferred();
  const fetch = (ctx: ServerContext) => {
    t.equal(ctx.completed, ctx.completed);
    ctx.completed.then(done.resolve);
    return new Response('ok');
  };
  await site(t, marked({ fetch })).ask(get());
  await done.promise;
});
