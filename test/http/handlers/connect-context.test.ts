/** connect(ctx): CONNECT and upgrades, how they are accepted, refused and passed on, and what goes through the tunnel. */

import { test } from 'tap';
import { encodeCapsule } from '../../../http/handlers/capsules.ts';
import { protocolError } from '../../../http/handlers/protocol-error.ts';
import {
  type ConnectContext,
  FALL_THROUGH,
  type Limits,
  type ServerContext,
  serve,
  type Tunnel,
} from '../../../http/index.ts';
import { deferred, marked, request, site } from '../../support/context-client.ts';

const UPGRADE = ['Connection: Upgrade', 'Upgrade: echo/1, other'];
const asksUpgrade = request('GET', '/t', UPGRADE);
const asksConnect = 'CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n';

type Connect = (ctx: ConnectContext) => unknown;

function connecting(connect: Connect, rest: Record<string, unknown> = {}) {
  return marked({ connect: connect as never, ...rest });
}

test('without connect(), CONNECT is 501 and an upgrade is an ordinary request', async (t) => {
  const { ask } = site(t, marked({ fetch: (ctx) => new Response(ctx.request.headers.get('upgrade')) }));
  t.match(await ask(asksConnect), /^HTTP\/1\.1 501 /);
  t.match(await ask(request('GET', '/', [...UPGRADE, 'Connection: close'])), /200 OK[\s\S]*echo\/1, other$/);
  const plain = serve((_request, response) => response.text('x'));
  t.teardown(() => plain.close({ graceMs: 0 }));
});

test('an upgrade: 101 with the protocol and the fields of the program, then raw bytes both ways', async (t) => {
  const seen = deferred<unknown[]>();
  const { client, reported } = site(
    t,
    connecting(async (ctx) => {
      seen.resolve([ctx.connectProtocol, ctx.request.method, ctx.request.url, ctx.request.headers.get('upgrade')]);
      const tunnel = await ctx.accept({ headers: { 'X-Answer': 'yes' } });
      await tunnel.readable.pipeTo(tunnel.writable);
      await tunnel.closed;
    }),
  );
  const asking = client().write(`${asksUpgrade}early `);
  await asking.until(() => asking.text.endsWith('early '), 'the echo of what was sent too early');
  t.match(
    asking.text,
    /^HTTP\/1\.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\/1\r\nx-answer: yes\r\n\r\nearly $/,
  );
  asking.write('late').socket.end();
  await asking.ended();
  t.match(asking.text, /early late$/);
  t.same(await seen.promise, ['echo/1', 'GET', 'http://example.org/t', 'echo/1, other']);
  t.same(reported, []);
});

test('CONNECT: 200 without a length, then raw bytes; the Host of the target counts', async (t) => {
  const { client } = site(
    t,
    connecting(async (ctx) => {
      t.same([ctx.connectProtocol, ctx.request.method, ctx.request.url], [null, 'CONNECT', 'http://example.com:443/']);
      t.equal(ctx.request.headers.get('host'), 'example.com:443');
      const tunnel = await ctx.accept();
      await tunnel.readable.pipeTo(tunnel.writable);
    }),
  );
  const asking = client().write(asksConnect.replace('Host: example.com:443', 'Host: other'));
  await asking.until(() => asking.answers === 1, 'the answer');
  asking.write('ping').socket.end();
  await asking.ended();
  t.match(asking.text, /^HTTP\/1\.1 200 OK\r\nDate: [^\r]+\r\n\r\nping$/);
});

test('a target of CONNECT that is no host with a port is 400', async (t) => {
  const { ask } = site(
    t,
    connecting(() => t.fail('connect() was called')),
  );
  for (const target of ['example.com', '/', '*', 'http://example.com:1/', 'a@b:1', ':80', 'x:', 'x:99999', '[::1]']) {
    t.match(await ask(`CONNECT ${target} HTTP/1.1\r\nHost: x\r\n\r\n`), /^HTTP\/1\.1 400 /, target);
  }
});

test('a CONNECT that is refused ends the connection: what follows may be meant for the tunnel', async (t) => {
  const { ask } = site(
    t,
    connecting(() => new Response('no', { status: 403 })),
  );
  const answer = await ask(`${asksConnect}GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n`);
  t.match(answer, /^HTTP\/1\.1 403 [\s\S]*connection: close[\s\S]*no$/i);
  t.equal(answer.split('HTTP/1.1').length, 2);
});

test('a 2xx for a CONNECT that was not accepted would be taken for a tunnel: 502', async (t) => {
  const { ask, reported } = site(
    t,
    connecting(() => new Response('fine')),
  );
  t.match(await ask(asksConnect), /^HTTP\/1\.1 502 /);
  t.match(reported, [{ cause: TypeError }]);
});

test('an upgrade is refused by any Response, and by deny()', async (t) => {
  const close = request('GET', '/', [...UPGRADE, 'Connection: close']);
  t.match(
    await site(
      t,
      connecting(async () => new Response('hm', { status: 403 })),
    ).ask(close),
    /^HTTP\/1\.1 403 [\s\S]*hm$/,
  );
  t.match(
    await site(
      t,
      connecting((ctx) => ctx.deny()),
    ).ask(close),
    /^HTTP\/1\.1 503 /,
  );
  t.match(
    await site(
      t,
      connecting((ctx) => ctx.deny()),
    ).ask(asksConnect),
    /^HTTP\/1\.1 503 /,
  );
});

test('what connect() throws is 502, and error() may answer', async (t) => {
  const failure = new Error('x');
  const connect = () => Promise.reject(failure);
  const { ask, reported } = site(t, connecting(connect));
  t.match(await ask(asksConnect), /^HTTP\/1\.1 502 /);
  t.match(reported, [{ status: 502, cause: failure }]);
  const error = (ctx: ServerContext, thrown: unknown) => {
    t.equal(thrown, failure);
    t.ok('connectProtocol' in ctx);
    return new Response('mine', { status: 504 });
  };
  t.match(await site(t, connecting(connect, { error })).ask(asksConnect), /^HTTP\/1\.1 504 [\s\S]*mine$/);
  t.match(
    await site(
      t,
      connecting(() => undefined),
    ).ask(asksConnect),
    /^HTTP\/1\.1 502 /,
    'undefined',
  );
  t.match(
    await site(
      t,
      connecting(() => 'x'),
    ).ask(asksConnect),
    /^HTTP\/1\.1 502 /,
    'a wrong value',
  );
});

test('what connect() throws after accept() destroys the tunnel', async (t) => {
  for (const end of [() => Promise.reject(new Error('late')), () => new Response('late')]) {
    const tunnels: Tunnel[] = [];
    const error = () => t.fail('error() was called');
    const { client, reported } = site(
      t,
      connecting(
        async (ctx) => {
          tunnels.push(await ctx.accept());
          return end();
        },
        { error },
      ),
    );
    const asking = client().write(asksUpgrade);
    await asking.ended();
    t.equal(reported.length, 1);
    await t.rejects((tunnels[0] as Tunnel).closed, reported[0] as Error);
  }
});

test('the states of accept()', async (t) => {
  const states = deferred<unknown[]>();
  const nameOf = (error: unknown) => (error as Error).name;
  const connect = async (ctx: ConnectContext) => {
    const errors: unknown[] = [await ctx.accept({ headers: { Upgrade: 'x' } }).catch(nameOf)];
    ctx.sendInformational(103);
    const tunnel = await ctx.accept();
    errors.push(await ctx.accept().catch(nameOf));
    for (const call of [() => ctx.deny(), () => ctx.sendInformational(103), () => ctx.deny(FALL_THROUGH)]) {
      try {
        call();
      } catch (error) {
        errors.push(nameOf(error));
      }
    }
    states.resolve(errors);
    tunnel.close();
  };
  const asking = site(t, connecting(connect)).client().write(asksUpgrade);
  asking.socket.end();
  await asking.ended();
  const invalid = 'InvalidStateError';
  t.same(await states.promise, ['TypeError', invalid, invalid, invalid, invalid]);
});

test('accept() fails while the request has a body, and when the client has gone', async (t) => {
  const post = request('POST', '/', [...UPGRADE, 'Content-Length: 3'], 'abc');
  const read = connecting(async (ctx) => {
    await t.rejects(ctx.accept(), { name: 'InvalidStateError' });
    t.equal(await ctx.request.text(), 'abc');
    (await ctx.accept()).close();
  });
  const asking = site(t, read).client().write(post);
  asking.socket.end();
  await asking.ended();
  t.match(asking.text, /^HTTP\/1\.1 101 /);

  const began = deferred();
  const rejected = deferred<unknown>();
  const late = connecting(async (ctx) => {
    began.resolve();
    await ctx.completed.catch(() => {});
    ctx.deny(FALL_THROUGH); // does nothing
    rejected.resolve(await ctx.accept().catch((error: unknown) => error));
  });
  const leaving = site(t, late).client().write(asksUpgrade);
  await began.promise;
  leaving.reset();
  t.match(await rejected.promise, { code: 'ERR_HTTP_CONNECTION_RESET' });
});

test('the fall-through: fetch() gets the same request, in a context of its own', async (t) => {
  const contexts: ServerContext[] = [];
  const requests: Request[] = [];
  const invalid = { name: 'InvalidStateError' };
  const app = connecting(
    async (ctx) => {
      contexts.push(ctx);
      requests.push(ctx.request);
      ctx.deny(FALL_THROUGH);
      t.throws(() => ctx.deny(), invalid);
      t.throws(() => ctx.deny(FALL_THROUGH), invalid);
      await t.rejects(ctx.accept(), invalid);
    },
    {
      fetch: (ctx: ServerContext) => {
        contexts.push(ctx);
        requests.push(ctx.request);
        t.throws(() => ctx.deny(FALL_THROUGH), invalid, 'fetch() has none');
        return new Response(ctx.request.headers.get('upgrade'));
      },
    },
  );
  const answer = await site(t, app).ask(request('GET', '/', [...UPGRADE, 'Connection: close']));
  t.match(answer, /^HTTP\/1\.1 200 OK[\s\S]*echo\/1, other$/);
  t.equal(contexts.length, 2);
  t.not(contexts[0], contexts[1]);
  t.equal(requests[0], requests[1]);
});

test('fetch() may still deny after a fall-through; a CONNECT cannot fall through', async (t) => {
  const fetch = (ctx: ServerContext) => ctx.deny() as undefined;
  const falling = connecting((ctx) => ctx.deny(FALL_THROUGH), { fetch });
  t.match(await site(t, falling).ask(asksUpgrade), /^HTTP\/1\.1 503 /);
  const seen = deferred<unknown>();
  const plain = connecting((ctx) => {
    try {
      ctx.deny(FALL_THROUGH);
    } catch (error) {
      seen.resolve(error);
    }
    ctx.deny();
  });
  await site(t, plain).ask(asksConnect);
  t.match(await seen.promise, { name: 'InvalidStateError' });
});

test('work and a 100 Continue that is due carry over to fetch()', async (t) => {
  const failure = new Error('background');
  const app = connecting(
    (ctx) => {
      ctx.waitUntil(Promise.reject(failure));
      ctx.deny(FALL_THROUGH);
    },
    { fetch: async (ctx: ServerContext) => new Response(await ctx.request.text()) },
  );
  const { client, reported } = site(t, app);
  const asking = client().write(request('POST', '/', [...UPGRADE, 'Expect: 100-continue', 'Content-Length: 2']));
  await asking.until(() => asking.text.includes('100 Continue'), 'the 100 Continue');
  asking.write('ok');
  await asking.until(() => asking.text.endsWith('ok'), 'the answer');
  t.same(reported, [failure]);
});

test('a failure after the fall-through counts: 502, and fetch() is not called', async (t) => {
  const fetch = () => t.fail('fetch() was called');
  for (const end of [() => Promise.reject(new Error('x')), () => new Response('x')]) {
    const app = connecting(
      (ctx) => {
        ctx.deny(FALL_THROUGH);
        return end();
      },
      { fetch },
    );
    const answer = await site(t, app).ask(request('GET', '/', [...UPGRADE, 'Connection: close']));
    t.match(answer, /^HTTP\/1\.1 502 /);
  }
});

test('WebTransport is not supported, and leaves the exchange open', async (t) => {
  const { ask } = site(
    t,
    connecting(async (ctx) => {
      await t.rejects(ctx.upgradeWebTransport(), { name: 'NotSupportedError' });
      return new Response('no', { status: 501 });
    }),
  );
  t.match(await ask(request('GET', '/', ['Connection: Upgrade, close', 'Upgrade: websocket'])), /^HTTP\/1\.1 501 /);
});

test('an Upgrade that HTTP does not allow goes to fetch()', async (t) => {
  const { ask } = site(
    t,
    connecting(() => t.fail('connect() was called')),
  );
  t.match(await ask(request('GET', '/', ['Connection: close', 'Upgrade: x'])), /200 OK/, 'Connection does not name it');
  t.match(await ask(request('GET', '/', ['Connection: upgrade, close', 'Upgrade: b@d'])), /200 OK/, 'no protocol');
  t.match(await ask('GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'), /200 OK/, 'HTTP/1.0');
});

/** A tunnel of the server, and the client at its other end. */
async function tunnelOf(t: Parameters<typeof site>[0], limits: Partial<Limits> = {}) {
  const opened = deferred<Tunnel>();
  const { client } = site(
    t,
    connecting(async (ctx) => opened.resolve(await ctx.accept())),
    { limits },
  );
  const asking = client().write(asksUpgrade);
  const tunnel = await opened.promise;
  await asking.until(() => asking.text.endsWith('\r\n\r\n'), 'the 101');
  asking.text = '';
  return { tunnel, asking };
}

test('one side ends and the other goes on; both ended is closed', async (t) => {
  const { tunnel, asking } = await tunnelOf(t);
  const writer = tunnel.writable.getWriter();
  await writer.write(Buffer.from('first'));
  for (const piece of [' ', 'la', 'st']) void writer.write(Buffer.from(piece));
  tunnel.close(); // also while a writer is held
  tunnel.close();
  await asking.until(() => asking.hasEnded, 'the end of our side');
  t.equal(asking.text, 'first last');
  await t.rejects(writer.write(Buffer.from('late')), { name: 'InvalidStateError' });
  asking.write('still').socket.end();
  t.equal(await new Response(tunnel.readable).text(), 'still');
  await tunnel.closed;
  await tunnel[Symbol.asyncDispose]();
  tunnel.destroy(); // too late
  await tunnel.closed;
});

test('a writer that was let go, and one that is closed as well', async (t) => {
  const one = await tunnelOf(t);
  const writer = one.tunnel.writable.getWriter();
  void writer.write(Buffer.from('a'));
  void writer.write(new Uint8Array(Buffer.from('b')).buffer as never); // bytes of any kind
  writer.releaseLock();
  one.tunnel.close();
  await one.asking.until(() => one.asking.hasEnded, 'the end');
  t.equal(one.asking.text, 'ab');
  const two = await tunnelOf(t);
  const held = two.tunnel.writable.getWriter();
  two.tunnel.close();
  await held.close();
  await two.asking.until(() => two.asking.hasEnded, 'the end');
});

test('await using: it is closed, and waited for', async (t) => {
  const { tunnel, asking } = await tunnelOf(t);
  const disposed = tunnel[Symbol.asyncDispose]();
  await asking.until(() => asking.hasEnded, 'the end of our side');
  asking.socket.end();
  await disposed;
  await tunnel.closed;
});

test('the peer resets: both streams fail, and closed rejects', async (t) => {
  const { tunnel, asking } = await tunnelOf(t);
  const reading = tunnel.readable.getReader().read();
  asking.socket.pause();
  const pending = tunnel.writable.getWriter();
  const writing = pending.write(new Uint8Array(20_000_000));
  asking.reset();
  const code = { code: 'ERR_HTTP_CONNECTION_RESET' };
  await t.rejects(tunnel.closed, code);
  await t.rejects(reading, code);
  await t.rejects(writing, code);
  await t.rejects(pending.write(Buffer.from('x')), code);
  await tunnel[Symbol.asyncDispose]();
});

test('cancel, abort and destroy reset the connection', async (t) => {
  const reason = protocolError('ERR_HTTP_REQUEST_CANCELLED', 'enough');
  const own = new Error('own');
  const ways: Readonly<Record<string, [end: (tunnel: Tunnel) => unknown, rejects: object]>> = {
    cancel: [(tunnel) => tunnel.readable.cancel(reason), reason],
    abort: [(tunnel) => tunnel.writable.abort(own), { code: 'ERR_HTTP_CONNECT_ERROR', cause: own }],
    destroy: [(tunnel) => tunnel.destroy(own), own],
    'destroy without an error': [(tunnel) => tunnel.destroy(), { code: 'ERR_HTTP_CONNECT_ERROR' }],
    'no bytes': [
      (tunnel) =>
        tunnel.writable
          .getWriter()
          .write('text' as never)
          .catch(() => {}),
      TypeError,
    ],
  };
  for (const [name, [end, expected]] of Object.entries(ways)) {
    const { tunnel, asking } = await tunnelOf(t);
    await end(tunnel);
    await t.rejects(tunnel.closed, expected as Error, name);
    await asking.until(() => asking.isClosed, 'the reset');
    t.equal(asking.error?.code, 'ECONNRESET', name);
  }
});

test('backpressure: a tunnel that is not read stops its client, and one that is not taken makes writes wait', async (t) => {
  const { tunnel, asking } = await tunnelOf(t);
  const sent = 8_000_000;
  const isTaken = deferred();
  asking.socket.write(Buffer.alloc(sent), () => isTaken.resolve());
  asking.socket.pause();
  const writer = tunnel.writable.getWriter();
  let written = 0;
  const write = async () => {
    for (let i = 0; i < 80; i++) {
      await writer.write(new Uint8Array(100_000));
      written++;
    }
    await writer.close();
  };
  const writing = write();
  let before = -1;
  while (before !== written) {
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  t.ok(written < 80, `${written} of 80 were written`);
  t.ok(asking.socket.writableLength > 0, 'the client waits');
  asking.socket.resume();
  let received = 0;
  for await (const piece of tunnel.readable) {
    received += piece.byteLength;
    if (received === sent) break;
  }
  await isTaken.promise;
  await writing;
  t.equal(received, sent);
  await asking.until(() => asking.receivedBytes >= sent || asking.isClosed, 'all of it');
  await t.rejects(tunnel.closed, { code: 'ERR_HTTP_CONNECT_ERROR' }, 'leaving the loop cancels');
});

test('capsules, with the raw streams taken over', async (t) => {
  const { tunnel, asking } = await tunnelOf(t);
  const { readable, writable } = tunnel.capsules();
  const invalid = { name: 'InvalidStateError' };
  t.throws(() => tunnel.readable, invalid);
  t.throws(() => tunnel.writable, invalid);
  t.throws(() => tunnel.capsules(), invalid);
  const reader = readable.getReader();
  asking.write(encodeCapsule(7, Buffer.from('seven'))).write(encodeCapsule(0, Buffer.from('d')));
  t.same((await reader.read()).value, { type: 7, data: new Uint8Array(Buffer.from('seven')) });
  t.same(
    (await reader.read()).value,
    { type: 0, data: new Uint8Array(Buffer.from('d')) },
    'a datagram, if nobody asks for them',
  );
  const writer = writable.getWriter();
  await writer.write({ type: 9, data: Buffer.from('nine') });
  await writer.close();
  await asking.until(() => asking.hasEnded, 'the end of our side');
  t.equal(asking.text, Buffer.from(encodeCapsule(9, Buffer.from('nine'))).toString('latin1'));
  asking.socket.end();
  t.ok((await reader.read()).done);
  await tunnel.closed;
});

test('datagrams: capsules of type 0, reliable, beside the others', async (t) => {
  const { tunnel, asking } = await tunnelOf(t);
  const first = tunnel.datagrams();
  const second = tunnel.datagrams();
  t.not(first, second);
  t.equal(first.readable, second.readable);
  t.equal(first.unreliable, false);
  t.throws(() => tunnel.readable, { name: 'InvalidStateError' });
  const capsules = tunnel.capsules();
  asking.write(encodeCapsule(0, Buffer.from('one'))).write(encodeCapsule(5, Buffer.from('five')));
  const datagrams = first.readable.getReader();
  t.same((await datagrams.read()).value, new Uint8Array(Buffer.from('one')));
  t.match((await capsules.readable.getReader().read()).value, { type: 5 });
  const writer = first.writable.getWriter();
  await writer.write(Buffer.from('two'));
  await writer.close(); // sends nothing
  await asking.until(() => asking.receivedBytes > 0 && asking.text !== '', 'the datagram');
  t.equal(asking.text, '\0\x03two');
  await datagrams.cancel();
  asking.write(encodeCapsule(0, Buffer.from('dropped')));
  tunnel.close();
  asking.socket.end();
  await tunnel.closed;
});

test('capsules are never dropped: datagrams behind them wait until they are read; datagrams above the queue are dropped', async (t) => {
  const { tunnel, asking } = await tunnelOf(t);
  const capsules = tunnel.capsules().readable.getReader();
  const datagrams = tunnel.datagrams().readable.getReader();
  const large = new Uint8Array(50_000);
  for (let i = 0; i < 3; i++) asking.write(encodeCapsule(5, large));
  asking.write(encodeCapsule(0, Buffer.from('behind')));
  const reading = datagrams.read();
  for (let i = 0; i < 3; i++) t.equal((await capsules.read()).value?.data.byteLength, large.length);
  t.same((await reading).value, new Uint8Array(Buffer.from('behind')));
  for (let i = 0; i < 3; i++) asking.write(encodeCapsule(0, large));
  asking.write(encodeCapsule(6, Buffer.from('last')));
  t.match((await capsules.read()).value, { type: 6 });
  for (let i = 0; i < 2; i++) t.equal((await datagrams.read()).value?.byteLength, large.length);
  asking.socket.end();
  t.ok((await datagrams.read()).done, 'the third did not fit');
  tunnel.close();
  await tunnel.closed;
});

test('a tunnel that ends within a capsule, or a capsule that is too long, is a protocol error', async (t) => {
  for (const bytes of [Buffer.from([1, 5, 1]), Buffer.from([1, 0xbf, 0xff, 0xff, 0xff])]) {
    const { tunnel, asking } = await tunnelOf(t);
    const reading = tunnel.capsules().readable.getReader().read();
    asking.write(bytes).socket.end();
    await t.rejects(reading, { code: 'ERR_HTTP_PROTOCOL_ERROR' });
    await t.rejects(tunnel.closed, { code: 'ERR_HTTP_PROTOCOL_ERROR' });
  }
});

test('a server sets the longest capsule', async (t) => {
  const HEAD_BYTES = 3;
  const { tunnel, asking } = await tunnelOf(t, { capsuleBytes: 100 });
  const reader = tunnel.capsules().readable.getReader();
  asking.write(encodeCapsule(1, new Uint8Array(100 - HEAD_BYTES)));
  t.equal((await reader.read()).value?.data.byteLength, 100 - HEAD_BYTES);
  const reading = reader.read();
  asking.write(encodeCapsule(1, new Uint8Array(100 - HEAD_BYTES + 1)).subarray(0, HEAD_BYTES));
  await t.rejects(reading, { code: 'ERR_HTTP_PROTOCOL_ERROR', message: 'a capsule of more than 100 bytes' });
  await t.rejects(tunnel.closed, { code: 'ERR_HTTP_PROTOCOL_ERROR' });
});

test('a server sets how many datagrams wait', async (t) => {
  const DATAGRAM = encodeCapsule(0, new Uint8Array(4)); // it counts as 5 bytes
  for (const [tunnelBufferBytes, kept] of [
    [10, 2],
    [11, 3],
  ] as const) {
    const { tunnel, asking } = await tunnelOf(t, { tunnelBufferBytes });
    const capsules = tunnel.capsules().readable.getReader();
    const datagrams = tunnel.datagrams().readable.getReader();
    asking.write(Buffer.concat([DATAGRAM, DATAGRAM, DATAGRAM, DATAGRAM, encodeCapsule(6, Buffer.from('last'))]));
    t.match((await capsules.read()).value, { type: 6 });
    asking.socket.end();
    let count = 0;
    while (!(await datagrams.read()).done) count++;
    t.equal(count, kept, `${tunnelBufferBytes} bytes`);
    tunnel.close();
    await tunnel.closed;
  }
});

test('capsules and datagrams are refused while the program reads the raw streams', async (t) => {
  const { tunnel } = await tunnelOf(t);
  tunnel.readable.getReader();
  t.throws(() => tunnel.capsules(), { name: 'InvalidStateError' });
  t.throws(() => tunnel.datagrams(), { name: 'InvalidStateError' });
  tunnel.destroy();
});

test('cancelling or aborting capsules ends the tunnel', async (t) => {
  const reason = protocolError('ERR_HTTP_INTERNAL_ERROR', 'enough');
  const one = await tunnelOf(t);
  await one.tunnel.capsules().readable.cancel(reason);
  await t.rejects(one.tunnel.closed, reason);
  const two = await tunnelOf(t);
  await two.tunnel.capsules().writable.abort(reason);
  await t.rejects(two.tunnel.closed, reason);
});

test('destroy() reaches capsules and datagrams', async (t) => {
  const { tunnel } = await tunnelOf(t);
  const capsules = tunnel.capsules().readable.getReader().read();
  const datagrams = tunnel.datagrams().readable.getReader().read();
  const error = new Error('enough');
  tunnel.destroy(error);
  await t.rejects(capsules, error);
  await t.rejects(datagrams, error);
});
