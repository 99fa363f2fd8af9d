/** serve, Server and Listener of the draft: how they open, refuse and end. */

import { once } from 'node:events';
import { request as requestTls } from 'node:https';
import { test } from 'tap';
import { type ConnectContext, type Listener, type ServerContext, serve, type Tunnel } from '../../fetch/index.ts';
import { certificateFor } from '../support/certificates.ts';
import { clientsOf, deferred, fetchSite, get, marked, request } from '../support/context-client.ts';

const KEEP = request('GET', '/', []);
const LOCAL = { port: 0, hostname: '127.0.0.1' };

test('with a port, or a signal, it listens at once; else when it is told to', async (t) => {
  for (const options of [{ port: 0 }, { signal: new AbortController().signal }]) {
    const server = serve(marked({}), options);
    const [listener] = server;
    t.match(listener?.address, { address: '0.0.0.0', family: 'IPv4' });
    t.ok((listener as Listener).address.port > 0);
    await server.close();
  }
  const server = serve(marked({}));
  t.same([...server], []);
  const one = await server.listen(LOCAL);
  const two = await server.listen({ ...LOCAL, hostname: '::1' });
  t.equal(two.address.family, 'IPv6');
  t.same([...server], [one, two]);
  t.match(await clientsOf(t, one.address.port).ask(get()), /200 OK[\s\S]*ok$/);
  await one.close();
  t.same([...server], [two], 'closing a listener does not close the server');
  await server.close();
  t.same([...server], []);
  await t.rejects(server.listen(LOCAL), { name: 'InvalidStateError' });
  await server.close();
});

test('a busy port throws, and rejects', async (t) => {
  const { port, server } = fetchSite(t, marked({}));
  t.throws(() => serve(marked({}), { ...LOCAL, port }), { code: 'EADDRINUSE' });
  await t.rejects(server.listen({ ...LOCAL, port }), { code: 'EADDRINUSE' });
});

test('reusePort lets several listen on one port', async (t) => {
  const { port, server } = fetchSite(t, marked({}), { reusePort: true });
  t.equal((await server.listen({ ...LOCAL, port, reusePort: true })).address.port, port);
});

test('tls: the certificate by name, and what a context says of it', async (t) => {
  const certificate = certificateFor('site.example');
  const named = certificateFor('named.example');
  const server = serve(
    marked({
      fetch: (ctx) =>
        Response.json([ctx.encrypted, ctx.serverName, ctx.alpnProtocol, new URL(ctx.request.url).protocol]),
    }),
    { ...LOCAL, tls: { ...certificate, sni: { 'named.example': named } } },
  );
  t.teardown(() => server.destroy());
  const [listener] = server;
  const { port } = (listener as Listener).address;
  for (const [servername, { cert }] of [
    ['site.example', certificate],
    ['named.example', named],
  ] as const) {
    const asked = requestTls({ host: '127.0.0.1', port, servername, ca: cert, agent: false }).end();
    const [response] = await once(asked, 'response');
    const [text] = await once(response, 'data');
    t.same(JSON.parse(text), [true, servername, 'http/1.1', 'https:']);
  }
});

test('tls: sni as a function: at once, later, and none', async (t) => {
  const certificate = certificateFor('site.example');
  const named = certificateFor('named.example');
  const asked: string[] = [];
  const sni = (name: string) => {
    asked.push(name);
    if (name === 'named.example') return named;
    return name === 'late.example' ? Promise.resolve(named) : null;
  };
  const server = serve(marked({ fetch: (ctx) => new Response(ctx.serverName) }), {
    ...LOCAL,
    tls: { ...certificate, sni },
  });
  t.teardown(() => server.destroy());
  const [listener] = server;
  const { port } = (listener as Listener).address;
  for (const [servername, { cert }] of [
    ['named.example', named],
    ['late.example', named],
    ['named.example', named],
    ['other.example', certificate],
  ] as const) {
    const request = requestTls({
      host: '127.0.0.1',
      port,
      servername,
      ca: cert,
      checkServerIdentity: () => undefined,
      agent: false,
    });
    const [response] = await once(request.end(), 'response');
    t.equal(String((await once(response, 'data'))[0]), servername);
  }
  t.same(asked, ['named.example', 'late.example', 'named.example', 'other.example']);
});

test('what cannot be done is said at once', async (t) => {
  const tls = { cert: 'c', key: 'k' };
  t.throws(() => serve(marked({}), { port: 0, tls }), RangeError, 'no certificate');
  t.throws(() => serve(marked({}), { tls, quic: true }), { name: 'NotSupportedError' });
  t.throws(() => serve(marked({}), { port: 0, quic: true }), TypeError);
  await t.rejects(serve(marked({})).listen({ tls }), RangeError);
  t.throws(() => serve({ ...marked({}), [Symbol.for('wintertc.server.protocol')]: 3 } as never), /version 3/);
  t.throws(() => serve({} as never, { port: 0 }), TypeError);
  const unmarked = serve({ fetch: (ctx) => new Response(ctx.alpnProtocol) }, LOCAL);
  t.teardown(() => unmarked.destroy());
  const [listener] = unmarked;
  t.match(
    await clientsOf(t, (listener as Listener).address.port).ask(get()),
    /http\/1\.1$/,
    'no marker is needed here',
  );
});

test('busy: 503, and the connection stays; no handler is called', async (t) => {
  let calls = 0;
  const fetch = () => new Response(String(++calls));
  const connect = () => t.fail('connect() was called') as never;
  const { server, client } = fetchSite(t, marked({ fetch, connect }));
  const asking = client().write(KEEP);
  await asking.until(() => asking.answers === 1, 'the first answer');
  const [listener] = server;
  for (const [target, text] of [
    [server, KEEP],
    [listener as Listener, request('GET', '/', ['Connection: Upgrade', 'Upgrade: x'])],
  ] as const) {
    target.busy = true;
    asking.text = '';
    const { answers } = asking;
    asking.write(text);
    await asking.until(() => asking.text.includes('Unavailable\n'), 'the refusal');
    t.match(asking.text, /^HTTP\/1\.1 503 [\s\S]*Retry-After: 1\r\n/);
    t.notMatch(asking.text, /connection: close/i);
    target.busy = false;
    asking.write(KEEP);
    await asking.until(() => asking.answers === answers + 2, 'the next answer');
  }
  t.equal(calls, 3);
});

test('close: what is under way is completed, and what comes on an open connection is refused', async (t) => {
  const began = deferred();
  const release = deferred();
  const fetch = async (ctx: ServerContext) => {
    if (!ctx.request.url.endsWith('/slow')) return new Response('quick');
    began.resolve();
    await release.promise;
    return new Response('slow');
  };
  const { server, client } = fetchSite(t, marked({ fetch }));
  const idle = client().write(KEEP);
  await idle.until(() => idle.text.endsWith('quick'), 'an answer');
  const slow = client().write(request('GET', '/slow', []));
  await began.promise;
  const closing = server.close();
  t.equal(server.close(), closing);
  idle.text = '';
  idle.write(KEEP);
  await idle.ended();
  t.match(idle.text, /^HTTP\/1\.1 503 [\s\S]*Connection: close\r\n/);
  release.resolve();
  await slow.ended();
  t.match(slow.text, /slow$/);
  await closing;
  await server.closed;
});

test('close waits for waitUntil, but no longer than its timeout after the response', async (t) => {
  const release = deferred();
  const fetch = (ctx: ServerContext) => {
    ctx.waitUntil(release.promise);
    ctx.waitUntil(Promise.resolve());
    return new Response('ok');
  };
  const { server, ask } = fetchSite(t, marked({ fetch }));
  await ask(get());
  let isClosed = false;
  const closing = server.close().then(() => {
    isClosed = true;
  });
  const [listener] = server;
  if (listener !== undefined) await listener.closed;
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.notOk(isClosed);
  release.resolve();
  await closing;

  const never = marked({
    fetch: (ctx: ServerContext) => {
      ctx.waitUntil(new Promise(() => {}));
      return new Response('ok');
    },
  });
  const impatient = fetchSite(t, never, { timeouts: { waitUntil: 10 } });
  await impatient.ask(get());
  await impatient.server.close();
  const patient = fetchSite(t, never, { timeouts: { waitUntil: 0 } });
  await patient.ask(get());
  const waiting = patient.server.close();
  await new Promise((resolve) => setTimeout(resolve, 20));
  patient.server.destroy(new Error('enough'));
  await t.rejects(waiting, { message: 'enough' });
});

test('a rejection of waitUntil is logged', async (t) => {
  const logged = t.capture(console, 'error', () => {});
  const failure = new Error('background');
  const fetch = (ctx: ServerContext) => {
    ctx.waitUntil(Promise.reject(failure));
    return new Response('ok');
  };
  const { ask, server } = fetchSite(t, marked({ fetch }));
  await ask(get());
  await server.close();
  t.same(logged.args(), [[failure]]);
});

test('destroy ends everything now, and closed rejects', async (t) => {
  const aborted = deferred<unknown>();
  const fetch = async (ctx: ServerContext) => {
    began.resolve();
    ctx.request.signal.addEventListener('abort', () => aborted.resolve(ctx.request.signal.reason));
    ctx.waitUntil(new Promise(() => {}));
    return aborted.promise as Promise<never>;
  };
  let began = deferred();
  const { server, client } = fetchSite(t, marked({ fetch, error: () => undefined }));
  const asking = client().write(KEEP);
  await began.promise;
  const [listener] = server;
  const error = new Error('now');
  t.equal(server.destroy(error), undefined);
  server.destroy();
  await t.rejects(server.closed, error);
  await t.rejects((listener as Listener).closed, error);
  t.match(await aborted.promise, { code: 'ERR_HTTP_CONNECTION_RESET' });
  await asking.until(() => asking.isOver, 'the end');
  await t.rejects(server.listen(), { name: 'InvalidStateError' });
  await t.rejects(server.close(), error);

  began = deferred();
  const other = fetchSite(t, marked({ fetch, error: () => undefined }));
  const closing = other.server.close();
  other.server.destroy();
  await t.rejects(closing, { name: 'AbortError' });
  const alone = await serve(marked({})).listen(LOCAL);
  alone.destroy();
  alone.destroy();
  await t.rejects(alone.closed, { name: 'AbortError' });
});

test('an aborted signal destroys with its reason', async (t) => {
  const controller = new AbortController();
  const { server } = fetchSite(t, marked({}), { signal: controller.signal });
  controller.abort(new Error('shutting down'));
  await t.rejects(server.closed, { message: 'shutting down' });
  const late = serve(marked({}), { ...LOCAL, signal: controller.signal });
  t.same([...late], []);
  await t.rejects(late.closed, { message: 'shutting down' });
});

test('await using closes', async (t) => {
  const server = serve(marked({}), LOCAL);
  const listener = await server.listen(LOCAL);
  await listener[Symbol.asyncDispose]();
  t.equal([...server].length, 1);
  await server[Symbol.asyncDispose]();
  await server.closed;
});

test('a body above the limit: declared, 413 without a handler; otherwise reads fail, and the handler answers', async (t) => {
  let calls = 0;
  const fetch = async (ctx: ServerContext) => {
    calls++;
    const error = await ctx.request.text().then(
      () => ({ code: 'read' }),
      (rejected: { code: string }) => rejected,
    );
    if (ctx.request.url.endsWith('/throw')) throw error;
    return new Response(error.code);
  };
  const { ask } = fetchSite(t, marked({ fetch }), { limits: { maxRequestBodySize: 5 } });
  const fields = ['Connection: close'];
  t.match(await ask(request('POST', '/', [...fields, 'Content-Length: 5'], '12345')), /200 OK[\s\S]*read$/);
  t.match(await ask(request('POST', '/', [...fields, 'Content-Length: 6'], '123456')), /^HTTP\/1\.1 413 /);
  t.equal(calls, 1);
  const chunked = [...fields, 'Transfer-Encoding: chunked'];
  t.match(await ask(request('POST', '/', chunked, '5\r\n12345\r\n0\r\n\r\n')), /200 OK[\s\S]*read$/);
  t.match(await ask(request('POST', '/', chunked, '6\r\n123456\r\n0\r\n\r\n')), /200 OK[\s\S]*CONTENT_TOO_LARGE$/);
  t.match(await ask(request('POST', '/throw', chunked, '6\r\n123456\r\n0\r\n\r\n')), /^HTTP\/1\.1 413 /);
});

test('receive: a body that stops coming aborts the exchange; a slow handler does not', async (t) => {
  const seen = deferred<unknown[]>();
  const fetch = async (ctx: ServerContext) => {
    const { signal } = ctx.request;
    const error = await ctx.request.text().catch((rejected: unknown) => rejected);
    if (typeof error === 'string') {
      await new Promise((resolve) => setTimeout(resolve, 60));
      return new Response('slow');
    }
    seen.resolve([error, signal.reason, await ctx.completed.catch((rejected: unknown) => rejected)]);
    return undefined;
  };
  const error = () => t.fail('error() was called') as never;
  const { client, ask } = fetchSite(t, marked({ fetch, error }), { timeouts: { receive: 40 } });
  t.match(await ask(request('POST', '/', ['Connection: close', 'Content-Length: 3'], 'abc')), /200 OK[\s\S]*slow$/);
  const asking = client().write(request('POST', '/', ['Content-Length: 3'], 'ab'));
  const errors = await seen.promise;
  t.match(errors[0], { code: 'ERR_HTTP_TIMEOUT' });
  t.same([errors[1] === errors[0], errors[2] === errors[0]], [true, true]);
  await asking.until(() => asking.isOver, 'the end');
  t.equal(asking.text, '');
});

test('tunnelIdle: a silent tunnel is destroyed', async (t) => {
  const opened = deferred<Tunnel>();
  const connect = async (ctx: ConnectContext) => {
    opened.resolve(await ctx.accept());
    return undefined;
  };
  const { client } = fetchSite(t, marked({ connect }), { timeouts: { tunnelIdle: 30 } });
  const asking = client().write(request('GET', '/', ['Connection: Upgrade', 'Upgrade: x']));
  await t.rejects((await opened.promise).closed, { code: 'ERR_HTTP_TIMEOUT' });
  await asking.until(() => asking.isClosed, 'the reset');
});

test('autoContinue: false is passed on', async (t) => {
  const fetch = (ctx: ServerContext) => new Response(String(ctx.autoContinue));
  t.match(await fetchSite(t, marked({ fetch }), { autoContinue: false }).ask(get()), /false$/);
  t.match(await fetchSite(t, marked({ fetch })).ask(get()), /true$/);
});

test('close waits for a tunnel, and destroy does not', async (t) => {
  const opened = deferred<Tunnel>();
  const connect = async (ctx: ConnectContext) => {
    opened.resolve(await ctx.accept());
    return undefined;
  };
  const { client, server } = fetchSite(t, marked({ connect }));
  const asking = client().write(request('GET', '/', ['Connection: Upgrade', 'Upgrade: x']));
  const tunnel = await opened.promise;
  const closing = server.close();
  tunnel.close();
  asking.socket.end();
  await closing;
  await tunnel.closed;
});
