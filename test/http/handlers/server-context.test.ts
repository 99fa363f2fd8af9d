/** What a context tells and does: the request, addresses, priority, informational responses and the body. */

import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import { parsePriority } from '../../../http/content/request-priority.ts';
import type { ContextHost } from '../../../http/handlers/context-exchange.ts';
import { contextHandler, type ServerContext, serve } from '../../../http/index.ts';
import { portOf } from '../../../simplenet/kernel/socket-address.ts';
import { clientsOf, deferred, get, marked, request, site } from '../../support/context-client.ts';

/** One exchange with this handler; what it returns of its own comes back. */
async function exchange<T>(
  t: Parameters<typeof site>[0],
  text: string,
  look: (ctx: ServerContext) => T | Promise<T>,
): Promise<{ readonly seen: T; readonly answer: string }> {
  const seen = deferred<T>();
  const fetch = async (ctx: ServerContext) => {
    seen.resolve(await look(ctx));
    return new Response('ok');
  };
  const answer = await site(t, marked({ fetch })).ask(text);
  return { answer, seen: await seen.promise };
}

test('request is a true Request, and the same one each time', async (t) => {
  const fields = ['X-A: 1', 'X-A: 2', 'Keep-Alive: 5', 'Connection: x-hop', 'X-Hop: 1', 'TE: trailers'];
  const { seen } = await exchange(t, get('/p?q', ...fields), (ctx) => {
    t.equal(ctx.request, ctx.request);
    t.ok(ctx.request instanceof Request);
    t.notOk(Object.getPrototypeOf(ctx.request) !== Request.prototype, 'nothing between it and Request');
    const copy = new Request(ctx.request, { method: 'PUT' });
    t.equal(copy.headers.get('x-a'), '1, 2');
    return { url: ctx.request.url, body: ctx.request.body, fields: [...ctx.request.headers] };
  });
  t.same(seen, {
    url: 'http://example.org/p?q',
    body: null,
    fields: [
      ['host', 'example.org'],
      ['x-a', '1, 2'],
    ],
  });
});

test('methods that the constructor of Request refuses', async (t) => {
  const { seen } = await exchange(t, request('TRACE', '/', ['Connection: close']), (ctx) => ctx.request.method);
  t.equal(seen, 'TRACE');
});

test('the body is a stream, and trailers come after it', async (t) => {
  const text = request(
    'POST',
    '/',
    ['Connection: close', 'Transfer-Encoding: chunked'],
    '3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\nX-Sum: 6\r\n\r\n',
  );
  const { seen } = await exchange(t, text, async (ctx) => {
    const { trailers } = ctx.request as Request & { trailers: Promise<Headers> };
    const body = await ctx.request.text();
    return [body, (await trailers).get('x-sum')];
  });
  t.same(seen, ['abcde', '5, 6']);
  const bodiless = await exchange(
    t,
    get(),
    (ctx) => (ctx.request as Request & { trailers: Promise<Headers> }).trailers,
  );
  t.same([...bodiless.seen], []);
});

test('a body that is cancelled leaves the response alone', async (t) => {
  const fetch = async (ctx: ServerContext) => {
    await ctx.request.body?.cancel();
    const { trailers } = ctx.request as Request & { trailers: Promise<Headers> };
    await t.rejects(trailers);
    return new Response('no thanks');
  };
  const { client } = site(t, marked({ fetch }));
  const asking = client().write(request('POST', '/', ['Content-Length: 1000000'], 'abc'));
  await asking.ended();
  t.match(asking.text, /200 OK[\s\S]*no thanks$/);
});

test('addresses, and what a connection without TLS says', async (t) => {
  const { seen } = await exchange(t, get(), (ctx) => ({
    remote: ctx.remoteAddress,
    local: ctx.localAddress,
    rest: [ctx.alpnProtocol, ctx.encrypted, ctx.serverName],
  }));
  t.match(seen.remote, { address: '127.0.0.1', family: 'IPv4' });
  t.match(seen.local, { address: '127.0.0.1', family: 'IPv4' });
  t.ok(seen.remote.port > 0 && seen.local.port > 0 && seen.remote.port !== seen.local.port);
  t.same(seen.rest, ['http/1.1', false, null]);
});

test('after a disconnect the local address is not known', async (t) => {
  const began = deferred();
  const gone = deferred<unknown>();
  const fetch = async (ctx: ServerContext) => {
    began.resolve();
    await ctx.completed.catch(() => {});
    t.match(ctx.request.signal.reason, { code: 'ERR_HTTP_CONNECTION_RESET' }, 'made too late, it is aborted at once');
    gone.resolve(ctx.localAddress);
    return undefined;
  };
  const asking = site(t, marked({ fetch }))
    .client()
    .write(request('GET', '/', []));
  await began.promise;
  asking.reset();
  t.same(await gone.promise, { address: '', port: 0 });
});

test('an address of IPv6', async (t) => {
  const seen = deferred<unknown>();
  const fetch = (ctx: ServerContext) => {
    seen.resolve(ctx.localAddress);
    return new Response('ok');
  };
  const server = serve(marked({ fetch }), { host: '::1' });
  t.teardown(() => server.close({ graceMs: 0 }));
  const port = portOf(server.address);
  const socket = connect({ host: '::1', port });
  t.teardown(() => socket.destroy());
  socket.write(get());
  t.same(await seen.promise, { address: '::1', port, family: 'IPv6' });
});

test('on a Unix socket there are no addresses', async (t) => {
  const seen = deferred<unknown[]>();
  const fetch = (ctx: ServerContext) => {
    seen.resolve([ctx.remoteAddress, ctx.localAddress]);
    return new Response('ok');
  };
  const folder = mkdtempSync(join(tmpdir(), 'context-')); // the folder of tap is too long for a socket
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 's');
  const server = serve(marked({ fetch }), { path });
  t.teardown(() => server.close({ graceMs: 0 }));
  const socket = connect({ path });
  t.teardown(() => socket.destroy());
  socket.write(get());
  t.same(await seen.promise, [
    { address: '', port: 0 },
    { address: '', port: 0 },
  ]);
});

test('priority: what the client asks for, and what the server sets', async (t) => {
  const { seen } = await exchange(t, get('/', 'Priority: u=1', 'Priority: i'), (ctx) => {
    t.same([ctx.serverPriority, ctx.onpriority], [null, null]);
    ctx.serverPriority = { urgency: 0, incremental: false };
    ctx.onpriority = () => t.fail('HTTP/1.1 has no PRIORITY_UPDATE');
    t.equal(ctx.serverPriority.urgency, 0);
    return ctx.clientPriority;
  });
  t.same(seen, { urgency: 1, incremental: true });
  t.same((await exchange(t, get(), (ctx) => ctx.clientPriority)).seen, parsePriority(null));
});

test('informational responses', async (t) => {
  const { answer } = await exchange(t, get(), (ctx) => {
    ctx.sendInformational(103, [
      ['link', '</a>; rel=preload'],
      ['link', '</b>; rel=preload'],
    ]);
    ctx.sendInformational(102);
  });
  t.match(
    answer,
    /^HTTP\/1\.1 103 Early Hints\r\nlink: <\/a>; rel=preload, <\/b>; rel=preload\r\n\r\nHTTP\/1\.1 102 Processing\r\n\r\nHTTP\/1\.1 200 OK/,
  );
  await exchange(t, get(), (ctx) => {
    for (const status of [101, 99, 200, Number.NaN]) t.throws(() => ctx.sendInformational(status), RangeError);
    t.throws(() => ctx.sendInformational(103, [['bad name', 'x']]), TypeError);
    t.throws(() => ctx.sendInformational(100), { name: 'InvalidStateError' }, 'without Expect');
    ctx.deny();
    t.throws(() => ctx.sendInformational(103), { name: 'InvalidStateError' });
  });
  const old = await exchange(t, 'GET / HTTP/1.0\r\n\r\n', (ctx) => {
    t.throws(() => ctx.sendInformational(103), { name: 'NotSupportedError' });
    t.throws(() => ctx.sendInformational(200), { name: 'NotSupportedError' }, 'this is asked first');
  });
  t.match(old.answer, /^HTTP\/1\.1 200 /);
});

const EXPECTING = ['Expect: 100-continue', 'Content-Length: 3', 'Connection: close'];
const CONTINUE = 'HTTP/1.1 100 Continue\r\n';

/** A client that waits for 100 Continue. `steps` runs in the handler. */
async function expecting(
  t: Parameters<typeof site>[0],
  steps: (ctx: ServerContext) => unknown,
  sendsAfter: RegExp | null,
  host: Partial<ContextHost> = {},
): Promise<string> {
  const failures: unknown[] = [];
  const fetch = async (ctx: ServerContext) => {
    t.equal(ctx.autoContinue, host.autoContinue ?? true);
    if ((await steps(ctx)) === 'denied') return undefined;
    return new Response(ctx.request.bodyUsed ? 'read' : 'unread');
  };
  const handler = contextHandler(marked({ fetch }), {
    autoContinue: true,
    maxBodyBytes: Number.POSITIVE_INFINITY,
    tunnelIdleMs: Number.POSITIVE_INFINITY,
    refusal: null,
    limitReceive: null,
    waitUntil: () => {},
    ...host,
  });
  const server = serve(handler, { onError: (error) => void failures.push(error) });
  t.teardown(() => server.close({ graceMs: 0 }));
  const asking = clientsOf(t, portOf(server.address))
    .client()
    .write(request('POST', '/', EXPECTING));
  if (sendsAfter !== null) {
    await asking.until(() => sendsAfter.test(asking.text), String(sendsAfter));
    asking.write('abc');
  }
  await asking.ended();
  t.same(failures, []);
  return asking.text.replace(/HTTP\/1\.1 (200|503)[\s\S]*\r\n\r\n/, '$1 ');
}

test('100 Continue is sent when the body is first read; then deny() comes too late', async (t) => {
  const text = await expecting(
    t,
    async (ctx) => {
      const reading = ctx.request.text();
      await new Promise((resolve) => setImmediate(resolve));
      t.throws(() => ctx.deny(), { name: 'InvalidStateError' });
      t.throws(() => ctx.sendInformational(100), { name: 'InvalidStateError' }, 'it has been sent');
      await reading;
    },
    /100 Continue/,
  );
  t.equal(text, `${CONTINUE}\r\n200 read`);
});

test('it is not sent if the response comes without the body', async (t) => {
  t.equal(await expecting(t, () => {}, null), '200 unread');
});

test('it is not sent if the exchange is denied', async (t) => {
  const deny = (ctx: ServerContext) => {
    ctx.deny();
    return 'denied';
  };
  t.equal(await expecting(t, deny, null), '503 Service Unavailable\n');
});

test('the program may send it, once, with fields', async (t) => {
  for (const autoContinue of [true, false]) {
    const text = await expecting(
      t,
      async (ctx) => {
        ctx.sendInformational(100, { 'x-ready': 'yes' });
        t.throws(() => ctx.sendInformational(100), { name: 'InvalidStateError' });
        t.equal(await ctx.request.text(), 'abc');
      },
      /100 Continue/,
      { autoContinue },
    );
    t.equal(text, `${CONTINUE}x-ready: yes\r\n\r\n200 read`);
  }
});

test('another informational response brings it along, unless the program sends it by hand', async (t) => {
  const steps = (ctx: ServerContext) => ctx.sendInformational(103, { link: '</a>' });
  const hint = 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n';
  t.equal(await expecting(t, steps, null), `${CONTINUE}\r\n${hint}200 unread`);
  t.equal(await expecting(t, steps, null, { autoContinue: false }), `${hint}200 unread`);
});

test('by hand, reading the body sends nothing; the client may send it without', async (t) => {
  const read = async (ctx: ServerContext) => {
    ctx.sendInformational(102);
    t.equal(await ctx.request.text(), 'abc');
  };
  t.equal(await expecting(t, read, /102/, { autoContinue: false }), 'HTTP/1.1 102 Processing\r\n\r\n200 read');
  const late = async (ctx: ServerContext) => {
    ctx.sendInformational(102);
    const reading = ctx.request.text();
    await new Promise((resolve) => setImmediate(resolve));
    ctx.sendInformational(100);
    t.equal(await reading, 'abc');
  };
  const text = await expecting(t, late, /100 Continue/, { autoContinue: false });
  t.equal(text, `HTTP/1.1 102 Processing\r\n\r\n${CONTINUE}\r\n200 read`);
});

test('100 Continue after the body was cancelled', async (t) => {
  const steps = async (ctx: ServerContext) => {
    await ctx.request.body?.cancel();
    ctx.sendInformational(100);
  };
  t.equal(await expecting(t, steps, null), `${CONTINUE}\r\n200 read`);
});

test('a client that breaks off a body: the read rejects, and the exchange is aborted', async (t) => {
  const began = deferred();
  const seen = deferred<unknown[]>();
  const fetch = async (ctx: ServerContext) => {
    const { signal } = ctx.request;
    const reading = ctx.request.text();
    began.resolve();
    const error = await reading.catch((rejected: unknown) => rejected);
    ctx.deny(); // does nothing
    seen.resolve([error, signal.reason]);
    return undefined;
  };
  const { client, reported } = site(t, marked({ fetch }));
  const asking = client().write(request('POST', '/', ['Content-Length: 9'], 'abc'));
  await began.promise;
  asking.reset();
  const [error, reason] = await seen.promise;
  t.match(error, { code: 'ERR_HTTP_CONNECTION_RESET' });
  t.equal(reason, error);
  t.same(reported, []);
});

test('a body that is read after the response fails with the reason', async (t) => {
  const seen = deferred<unknown>();
  const fetch = (ctx: ServerContext) => {
    const body = ctx.request.body?.getReader();
    void ctx.completed.then(async () => seen.resolve(await body?.read().catch((error: unknown) => error)));
    return new Response(null, { status: 204 });
  };
  const { client } = site(t, marked({ fetch }));
  const asking = client().write(request('POST', '/', ['Content-Length: 3']));
  await asking.until(() => asking.text.endsWith('\r\n\r\n'), 'the answer');
  t.match(await seen.promise, { message: /the response was complete/ });
});

test('a malformed body is a protocol error, and too long a one leaves the response to the handler', async (t) => {
  const seen = deferred<unknown>();
  const fetch = async (ctx: ServerContext) => {
    seen.resolve(await ctx.request.text().catch((error: unknown) => error));
    return new Response('x');
  };
  const chunked = ['Transfer-Encoding: chunked', 'Connection: close'];
  t.match(await site(t, marked({ fetch })).ask(request('POST', '/', chunked, 'zz\r\n')), /^HTTP\/1\.1 400 /);
  t.match(await seen.promise, { code: 'ERR_HTTP_PROTOCOL_ERROR' });
});
