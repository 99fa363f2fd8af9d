/**
 * The server as a whole: what a request costs in system calls, who is answered first, and what is left when clients die.
 */

import { getEventListeners, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import {
  type Handler,
  HttpError,
  type HttpRequest,
  Router,
  type ServeOptions,
  type Server,
  serve,
} from '../../http/index.ts';
import { createEventLoop, type InternetAddress, libc, NetSocket, portOf } from '../../simplenet/index.ts';
import { Random } from '../simulation/random.ts';
import { collectGarbage } from '../support/collect-garbage.ts';
import { CountingLibc } from '../support/counting-libc.ts';
import { Stopwatch } from '../support/machine-time.ts';
import { openDescriptors } from '../support/open-descriptors.ts';
import { until } from '../support/waiting.ts';

const hello = new Router();
hello.get('/', (_request, response) => response.text('hello\n'));

function dial(server: Server): Socket {
  const { port, address } = server.address as InternetAddress;
  const socket = connect({ port, host: address, allowHalfOpen: true });
  socket.on('error', () => {});
  return socket;
}

/** All that arrives until the server ends. */
async function gather(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('latin1').on('data', (piece: string) => {
    text += piece;
  });
  await new Promise((resolve) => socket.once('end', resolve).once('close', resolve));
  socket.destroy();
  return text;
}

function openSockets(): number {
  return openDescriptors().filter((descriptor) => /socket:|eventpoll/.test(descriptor)).length;
}

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;

const isOnUring = process.env.SIMPLENET_BACKEND === 'io_uring';
/**
 * What hands bytes over, and what waits for news: on the io_uring loop that is one call, made twice. The client is in this process: while
 * the loop hosts Node's, the client's news end a wait as well.
 */
const budget = isOnUring ? { calls: {}, waits: 3 } : { calls: { recv: 1, send: 1 }, waits: 2 };
/** The loops change roles, and change back. */
const MAX_CHANGES = 4;
const times = (calls: Record<string, number>, count: number) =>
  Object.fromEntries(Object.entries(calls).map(([name, each]) => [name, each * count]));

test('a keep-alive request costs 1 recv and 1 send, and so do sixteen in a pipeline', async (t) => {
  const original = { ...libc };
  const counting = new CountingLibc(original);
  Object.assign(libc, counting.libc);
  t.teardown(() => Object.assign(libc, original));
  const server = serve(hello);
  t.teardown(() => server.close());
  const socket = dial(server);
  await once(socket, 'connect');
  socket.write(get('/'));
  await once(socket, 'data');
  counting.take();
  for (let i = 0; i < 100; i++) {
    socket.write(get('/'));
    await once(socket, 'data');
  }
  const take = () => {
    const { epoll_wait = 0, io_uring_enter = 0, epoll_ctl = 0, read: _, addressOf: __, ...calls } = counting.take();
    t.ok(epoll_ctl <= MAX_CHANGES, `${epoll_ctl} calls of epoll_ctl`);
    return { calls, waits: epoll_wait + io_uring_enter };
  };
  const single = take();
  t.same(single.calls, times(budget.calls, 100));
  t.ok(single.waits <= 102 * budget.waits, `${single.waits} calls that wait`);
  // On a busy machine a turn may run out of time within a pipeline, which then takes another turn: what counts is the cheapest.
  let cheapest = take();
  const sum = (calls: Record<string, number>) => Object.values(calls).reduce((total, count) => total + count, 0);
  for (let i = 0; i < 10; i++) {
    socket.write(get('/').repeat(16));
    let answers = 0;
    while (answers < 16) answers += String(await once(socket, 'data')).split('HTTP/1.1 200').length - 1;
    const pipeline = take();
    if (i === 0 || sum(pipeline.calls) < sum(cheapest.calls)) cheapest = pipeline;
  }
  t.same(cheapest.calls, budget.calls);
  socket.destroy();
});

test('responses leave in the order of their requests, in whatever order handlers complete them', async (t) => {
  const site = new Router();
  site.get('/async/:ms', async (request, response) => {
    await sleep(Number(request.params.ms));
    response.text(`async ${request.params.ms};`);
  });
  site.get('/sync', (_request, response) => response.text('sync;'));
  const server = serve(site);
  t.teardown(() => server.close());
  const socket = dial(server);
  socket.end(['/async/20', '/sync', '/async/1', '/sync', '/async/0', '/sync'].map(get).join(''));
  const bodies = (await gather(socket)).match(/(a?sync)[^;]*;/g);
  t.same(bodies, ['async 20;', 'sync;', 'async 1;', 'sync;', 'async 0;', 'sync;']);
});

test('a thousand connections, each killed at a random byte, leave nothing behind', async (t) => {
  const before = openSockets();
  let begun = 0;
  let settled = 0;
  const site = new Router();
  const counted =
    (handler: (request: HttpRequest, response: Parameters<Handler>[1]) => Promise<void>) =>
    async (request: HttpRequest, response: Parameters<Handler>[1]) => {
      begun++;
      await handler(request, response).finally(() => settled++);
    };
  site.post(
    '/echo',
    counted(async (request, response) => response.bytes(await request.bytes())),
  );
  site.get(
    '/stream',
    counted(async (_request, response) => {
      for (let i = 0; i < 20; i++) await response.write('x'.repeat(20_000));
      response.end();
    }),
  );
  site.get(
    '/wait',
    counted(async (request, response) => {
      await Promise.race([sleep(200, null, { ref: false }), once(request.signal, 'abort')]);
      response.text('waited');
    }),
  );
  const errors: unknown[] = [];
  const server = serve(site, { onError: (error) => errors.push(error) });
  const random = new Random(42);
  const script = `${get('/wait')}POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 300\r\n\r\n${'b'.repeat(300)}${get('/stream')}`;
  const one = async () => {
    const socket = dial(server);
    await once(socket, 'connect');
    const from = random.pick([0, get('/wait').length, script.length - get('/stream').length]);
    socket.write(script.slice(from, from + random.below(script.length - from + 1)));
    if (random.chance(0.5)) await sleep(random.below(5));
    if (random.chance(0.5)) socket.resetAndDestroy();
    else socket.destroy();
  };
  for (let round = 0; round < 20; round++) await Promise.all(Array.from({ length: 50 }, one));
  await until(() => server.connectionCount === 0);
  await until(() => begun === settled);
  t.ok(begun > 100, `${begun} handlers were called, and all have ended`);
  t.same(errors, [], 'a disconnect of a client is not an error');
  await server.close();
  t.equal(openSockets(), before);
});

test('a slow reader of 50 MB holds little memory', async (t) => {
  const chunk = Buffer.alloc(65_536, 'x');
  let written = 0;
  const server = serve(async (request, response) => {
    if (request.path === '/small') return response.text('small');
    for (let i = 0; i < 800; i++) {
      await response.write(chunk);
      written += chunk.length;
    }
    response.end();
  });
  t.teardown(() => server.close({ graceMs: 1 }));
  const other = dial(server);
  other.write(get('/small'));
  await once(other, 'data');
  const before = process.memoryUsage().arrayBuffers; // with the buffers that all connections share
  const socket = dial(server);
  socket.pause();
  socket.write(get('/'));
  let last = -1;
  while (written !== last) {
    last = written;
    await sleep(50);
  }
  t.ok(written < 12_000_000, `${written} bytes were written, all but one piece into the kernel's buffers`);
  const heldBytes = () => process.memoryUsage().arrayBuffers - before;
  // Memory is given back some time after its garbage was collected.
  for (let tries = 0; tries < 50 && heldBytes() >= 400_000; tries++) {
    collectGarbage();
    await sleep(20);
  }
  t.ok(heldBytes() < 400_000, `${heldBytes()} bytes more of buffers in this process`);
  socket.destroy();
  other.destroy();
  await until(() => server.connectionCount === 0);
});

test("with halfClose 'serve' the signal is aborted when the client is gone, and only then", async (t) => {
  const called: string[] = [];
  const seen: string[] = [];
  const server = serve(
    async (request, response) => {
      called.push(request.path);
      request.signal.addEventListener('abort', () => seen.push(request.path));
      // This answer would be complete before a client that has no core for a while could leave.
      if (request.path === '/gone') await once(request.signal, 'abort');
      else await sleep(30);
      response.text('ok');
    },
    { halfClose: 'serve' },
  );
  t.teardown(() => server.close());
  const halfClosed = dial(server);
  halfClosed.end(get('/half-closed'));
  t.match(await gather(halfClosed), /200 OK/);
  const finished = dial(server);
  finished.write(get('/finished'));
  await once(finished, 'data');
  finished.destroy();
  const gone = dial(server);
  gone.write(get('/gone'));
  await until(() => called.includes('/gone'));
  gone.resetAndDestroy();
  await until(() => seen.includes('/gone') && server.connectionCount === 0);
  t.same(seen, ['/gone']);
});

test('an error of a handler affects no other connection, and is reported', async (t) => {
  const site = new Router();
  site.get('/throws', () => {
    throw new Error('thrown');
  });
  site.get('/rejects', async () => {
    await null;
    throw new Error('rejected');
  });
  site.get('/forgets', async () => {});
  site.get('/twice', (_request, response) => {
    response.text('once');
    response.text('twice');
  });
  site.get('/late', (_request, response) => {
    response.text('in time');
    void Promise.resolve().then(() => response.write('late'));
  });
  site.get('/halfway', async (_request, response) => {
    await response.write('half');
    throw new Error('halfway');
  });
  site.get('/chosen', () => {
    throw new HttpError(418, 'short and stout');
  });
  site.get('/', (_request, response) => response.text('fine'));
  const log: string[] = [];
  const server = serve(site, { onError: (error) => log.push((error as Error).message) });
  t.teardown(() => server.close());
  const bystander = dial(server);
  await once(bystander, 'connect');
  const ask = (path: string) => {
    const socket = dial(server);
    socket.end(get(path));
    return gather(socket);
  };
  const rejections: unknown[] = [];
  const onRejection = (error: Error) => rejections.push(error.message);
  process.on('unhandledRejection', onRejection);
  t.teardown(() => process.off('unhandledRejection', onRejection));
  t.match(await ask('/throws'), /^HTTP\/1\.1 500 [\s\S]*Internal Server Error\n$/);
  t.match(await ask('/rejects'), /^HTTP\/1\.1 500 /);
  t.match(await ask('/forgets'), /^HTTP\/1\.1 500 /);
  t.match(await ask('/twice'), /^HTTP\/1\.1 200 [\s\S]*\r\n\r\nonce$/);
  t.match(await ask('/late'), /^HTTP\/1\.1 200 [\s\S]*\r\n\r\nin time$/);
  t.notMatch(await ask('/halfway'), /0\r\n\r\n$/);
  t.match(await ask('/chosen'), /^HTTP\/1\.1 418 [\s\S]*short and stout\n$/);
  t.same(log, [
    'thrown',
    'rejected',
    'the handler ended before its response was complete',
    'text() was called after the response had ended',
    'halfway',
  ]);
  await sleep(5);
  t.same(
    rejections,
    ['write() was called after the response had ended'],
    'a mistake outside of the handler is an unhandled rejection',
  );
  bystander.end(get('/'));
  t.match(await gather(bystander), /fine$/);
});

test('where it listens', async (t) => {
  const ways: [ServeOptions, RegExp][] = [
    [{}, /^http:\/\/127\.0\.0\.1:\d+$/],
    [{ host: 'localhost' }, /^http:\/\/127\.0\.0\.1:\d+$/],
    [{ host: '::1' }, /^http:\/\/\[::1\]:\d+$/],
    [{ host: '0.0.0.0' }, /^http:\/\/127\.0\.0\.1:\d+$/],
    [{ host: '::' }, /^http:\/\/\[::1\]:\d+$/],
    [{ hostname: '[::1]', port: '0' }, /^http:\/\/\[::1\]:\d+$/],
    [{ host: '', port: '' }, /^http:\/\/127\.0\.0\.1:\d+$/],
    [{ path: `\0simplenet-${process.pid}` }, /^unix:@simplenet-\d+$/],
  ];
  for (const [options, url] of ways) {
    const server = serve(hello, options);
    t.match(server.url, url);
    t.equal(server.port, 'path' in server.address ? null : portOf(server.address));
    if (server.url.startsWith('http')) t.equal(await (await fetch(server.url)).text(), 'hello\n');
    await server.close();
  }
});

test('who connects on this machine is known to the handler', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'who');
  const server = serve((request, response) => response.json(request.peerCredentials), { path });
  t.teardown(() => server.close());
  const socket = connect({ path, allowHalfOpen: true });
  socket.end(get('/'));
  const [, body] = (await gather(socket)).split('\r\n\r\n');
  t.same(JSON.parse(body ?? ''), { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() });
});

test('several servers in one process, and an end by signal', async (t) => {
  const stop = new AbortController();
  const servers = [1, 2, 3].map((n) =>
    serve((_request, response) => response.text(`server ${n}`), { signal: stop.signal }),
  );
  for (const [i, server] of servers.entries()) t.equal(await (await fetch(server.url)).text(), `server ${i + 1}`);
  stop.abort();
  await Promise.all(servers.map((server) => server.close()));
  for (const server of servers) await t.rejects(fetch(server.url));
  const late = serve(hello, { signal: stop.signal });
  await late.close();
});

test('a signal that outlives a server does not hold on to it', async (t) => {
  const { signal } = new AbortController();
  const server = serve(hello, { signal });
  t.equal(getEventListeners(signal, 'abort').length, 1);
  await server.close();
  t.equal(getEventListeners(signal, 'abort').length, 0);
});

test('a server that cannot listen says why, and leaves nothing', async (t) => {
  const busy = serve(hello);
  t.teardown(() => busy.close());
  const port = portOf(busy.address);
  const before = openSockets();
  t.throws(() => serve(hello, { port }), { code: 'EADDRINUSE', syscall: 'bind', port });
  t.throws(() => serve(hello, { port: 70_000 }), /a port is an integer from 0 to 65535/);
  t.throws(() => serve(hello, { host: 'nowhere.example' }), /is not an IPv4 or IPv6 address/);
  t.throws(() => serve(hello, { limits: { headBytes: 0 } }), /headBytes must be a whole number > 0/);
  t.throws(() => serve(hello, { timeouts: { idle: 5 } as object }), /unknown timeout 'idle': did you mean 'idleMs'/);
  t.throws(() => serve(hello, { prot: port } as object), /unknown option 'prot' of serve: did you mean 'port'/);
  t.throws(() => serve(hello, { port, path: '/run/x' }), /only one of fd, path, systemdSocket, or host and port/);
  await sleep(1);
  t.equal(openSockets(), before);
});

test('without a handler it fails at once, and says what it needs', async (t) => {
  const before = openSockets();
  const cases: [unknown, string][] = [
    [undefined, 'undefined'],
    [null, 'null'],
    [{ port: 8080 }, 'an object'],
    [{ handle: 'GET /' }, 'an object'],
    ['/', "'/'"],
  ];
  for (const [source, text] of cases) {
    t.throws(() => serve(source as Router), {
      name: 'TypeError',
      message: `serve needs a handler first: a function (request, response), or an object with a method \`handle\`, such as a Router, or \`fetch\`; not ${text}`,
    });
  }
  await sleep(1);
  t.equal(openSockets(), before);
});

test('graceful close: idle ones go soon, answers under way are completed, and the deadline holds', async (t) => {
  const site = new Router();
  site.get('/slow', async (_request, response) => {
    await sleep(60);
    response.text('slow but sure');
  });
  site.get('/never', () => new Promise(() => {}));
  const server = serve(site);
  const idle = dial(server);
  await once(idle, 'connect');
  const silentEnd = gather(idle);
  const slow = dial(server);
  slow.write(get('/slow'));
  const never = dial(server);
  never.write(get('/never'));
  await until(() => server.connectionCount === 3);
  await sleep(10);
  t.equal(server.busyCount, 2, 'the silent one is not busy');
  const answers = Promise.all([gather(slow), gather(never)]);
  const startedAt = performance.now();
  const closed = server.close({ graceMs: 200 });
  t.equal(await silentEnd, '', 'idle');
  await closed;
  const took = performance.now() - startedAt;
  t.ok(took >= 190 && took < 1_000, `${took.toFixed(0)} ms`);
  const [slowAnswer, neverAnswer] = await answers;
  t.match(slowAnswer, /Connection: close\r\n[\s\S]*slow but sure$/);
  t.equal(neverAnswer, '');
});

/** Head and body of each answer, without the Date. */
const ok = (body: string, fields = '') =>
  `HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${body.length}\r\n${fields}\r\n${body}`;
const undated = (text: string) => text.replace(/Date: [^\r]*\r\n/g, '');
const CLOSE = 'Connection: close\r\n';

test('an idle connection may begin a request while the server stops, and its response says that it is the last', async (t) => {
  const server = serve(hello);
  const [used, fresh, silent] = [dial(server), dial(server), dial(server)];
  used.write(get('/'));
  await once(used, 'data');
  await until(() => server.connectionCount === 3);
  const closed = server.close({ idleGraceMs: 3_000 });
  const silentEnd = gather(silent);
  await sleep(200); // longer than it would be without the option
  used.write(get('/'));
  fresh.write(get('/'));
  for (const socket of [used, fresh]) t.equal(undated(await gather(socket)), ok('hello\n', CLOSE));
  await until(() => server.connectionCount === 1);
  t.equal(await silentEnd, '', 'it has said nothing');
  await closed;
});

test('a stop takes a connection at rest for what it is when the time is over, also without any grace', async (t) => {
  const server = serve(hello);
  const socket = dial(server);
  await until(() => server.connectionCount === 1);
  const closed = server.close({ idleGraceMs: 0 });
  t.equal(await gather(socket), '');
  await closed;
});

for (const [what, options] of [
  ['TCP', {}],
  ['TCP over IPv6', { host: '::1' }],
  ['Unix', { path: `\0simplenet-queue-${process.pid}-${isOnUring}` }],
] as const) {
  test(`those who have connected when the server stops are served, though nobody has accepted them: ${what}`, async (t) => {
    const server = serve(hello, options);
    const clients = Array.from({ length: 20 }, () => {
      const client = NetSocket.connectTo(server.address);
      client.writeAll(Buffer.from(get('/')));
      return new Socket({ fd: client.release(), allowHalfOpen: true });
    });
    t.equal(server.connectionCount, 0);
    const closed = server.close();
    for (const client of clients) t.equal(undated(await gather(client)), ok('hello\n', CLOSE));
    await closed;
  });
}

for (const pace of ['at once', 'later'] as const) {
  test(`a pipeline that has come when the server stops is answered to its end: handlers that answer ${pace}`, async (t) => {
    let requests = 0;
    let closed: Promise<void> | null = null;
    const server = serve(async (_request, response) => {
      if (++requests === 2) closed = server.close();
      if (pace === 'later') await sleep(1);
      response.text(`${requests}`);
    });
    const socket = dial(server);
    const post = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc';
    const chunked = 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n';
    socket.write(get('/').repeat(3) + post + chunked + post + get('/'));
    t.equal(undated(await gather(socket)), [1, 2, 3, 4, 5, 6].map((n) => ok(`${n}`)).join('') + ok('7', CLOSE));
    await closed;
  });
}

test('a connection that waits for its client to leave is not reset when the grace is over', async (t) => {
  const server = serve(hello);
  const socket = dial(server);
  socket.write(get('/'));
  await once(socket, 'data');
  const closed = server.close({ graceMs: 1_000, idleGraceMs: 1 });
  let error: Error | null = null;
  socket.on('error', (failure) => {
    error = failure;
  });
  await once(socket, 'end');
  await closed; // our own side is open: the server lingers until its grace is over
  await sleep(10);
  t.equal(error, null);
  socket.destroy();
});

/** More than arrives before the client reads; the server's kernel takes all of it at once. */
const UNREAD = 'x'.repeat(600_000);
const roomy = { socket: { sendBufferBytes: 2_000_000 } };

/** A client that reads nothing until `isReady`. */
async function hearLater(socket: Socket, isReady: () => boolean): Promise<{ text: string; error: Error | null }> {
  let error: Error | null = null;
  socket.on('error', (failure) => {
    error = failure;
  });
  socket.pause();
  await until(isReady);
  await sleep(50); // what the server does next takes no longer, as a rule
  const text = gather(socket);
  socket.resume();
  return { text: await text, error };
}

test('an answer that breaks takes no complete answer with it', async (t) => {
  let isBroken = false;
  const site = new Router();
  site.get('/', (_request, response) => response.text(UNREAD));
  site.get('/halfway', async (_request, response) => {
    await response.write('half');
    isBroken = true;
    throw new Error('halfway');
  });
  const server = serve(site, { ...roomy, onError: () => {} });
  t.teardown(() => server.close());
  const socket = dial(server);
  socket.write(get('/') + get('/halfway'));
  const { text, error } = await hearLater(socket, () => isBroken);
  t.equal(error, null);
  const [, first, second] = text.split('HTTP/1.1 200 OK\r\n');
  t.ok(first?.endsWith(UNREAD), `${first?.length} bytes of the first answer`);
  t.match(second, /\r\n4\r\nhalf\r\n$/, 'the second is cut, and its chunks show it');
});

test('a broken answer whose end is that of its connection ends with RST, after the answers before it', async (t) => {
  const site = new Router();
  site.get('/', (_request, response) => response.text('hello\n'));
  site.get('/halfway', async (_request, response) => {
    await response.write('half');
    throw new Error('halfway');
  });
  const server = serve(site, { onError: () => {} });
  t.teardown(() => server.close());
  const socket = dial(server);
  const old = (path: string) => `GET ${path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`;
  let error: Error | null = null;
  socket.on('error', (failure) => {
    error = failure;
  });
  socket.write(old('/') + old('/halfway'));
  const text = await gather(socket);
  t.match(text, /\r\n\r\nhello\nHTTP\/1.1 200 OK\r\n.*half$/s);
  t.match(error, { code: 'ECONNRESET' });
});

test('an answer in HTTP/1.0 that breaks ends with RST, which comes later than its last bytes', async (t) => {
  const server = serve(
    async (_request, response) => {
      await response.write('half');
      throw new Error('halfway');
    },
    { onError: () => {} },
  );
  t.teardown(() => server.close());
  const socket = dial(server);
  let error: Error | null = null;
  socket.on('error', (failure) => {
    error = failure;
  });
  socket.write('GET / HTTP/1.0\r\n\r\n');
  t.match(await gather(socket), /half$/);
  t.match(error, { code: 'ECONNRESET' }, 'Node takes an RST right behind the last bytes for a normal end');
});

test('while the server stops, an early answer takes no request with it that lies behind its body in the kernel', async (t) => {
  const server = serve((request, response) => response.text(`${request.path}\n`));
  const socket = dial(server);
  socket.write(get('/first'));
  await once(socket, 'data');
  const head = 'POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n';
  socket.write(`${head}${'x'.repeat(100_000)}${get('/behind')}`); // more than one recv(2) takes
  const closed = server.close({ idleGraceMs: 300 });
  t.match(await gather(socket), /\/early\n.*Connection: close\r\n\r\n\/behind\n$/s);
  await closed;
});

test('the grace ends an answer, too, that is complete and that its client does not read', async (t) => {
  const server = serve((_request, response) => response.text(UNREAD), { socket: { sendBufferBytes: 4_096 } });
  const socket = dial(server);
  socket.pause();
  socket.on('error', () => {});
  socket.write(get('/'));
  await until(() => server.connectionCount === 1);
  const watch = new Stopwatch();
  await server.close({ graceMs: 50, idleGraceMs: 10 });
  t.ok(watch.stop().fairMs < 2_000);
  socket.destroy();
});

test('a CRLF that comes after the last request does not truncate a large answer', async (t) => {
  let isAnswered = false;
  const server = serve((_request, response) => {
    response.text(UNREAD);
    isAnswered = true;
  }, roomy);
  t.teardown(() => server.close());
  const socket = dial(server);
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  socket.pause();
  await until(() => isAnswered);
  await sleep(50);
  socket.write('\r\n');
  const { text, error } = await hearLater(socket, () => true);
  t.equal(error, null);
  t.ok(text.endsWith(UNREAD), `${text.length} bytes`);
});

test('an upgrade hands over the bare stream, with what came behind the request', async (t) => {
  const server = serve((request, response) => {
    if (request.path !== '/shout') throw new HttpError(404, 'nothing here');
    response.upgrade('shout', () => ({
      onData(stream, bytes) {
        stream.write(Buffer.from(bytes.toString().toUpperCase()));
      },
    }));
  });
  t.teardown(() => server.close());
  const socket = dial(server);
  socket.write(`GET /shout HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nfirst `);
  let text = '';
  socket.setEncoding('latin1').on('data', (piece: string) => {
    text += piece;
  });
  await until(() => text.endsWith('FIRST '));
  socket.write('second');
  await until(() => text.endsWith('SECOND'));
  t.match(text, /^HTTP\/1\.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nFIRST SECOND$/);
  socket.destroy();
  const plain = dial(server);
  plain.end(get('/shout'));
  t.match(await gather(plain), /^HTTP\/1\.1 426 /);
});

test('a response that never begins becomes 503; a client that takes nothing loses its connection', async (t) => {
  const log: string[] = [];
  const server = serve(
    async (request, response) => {
      if (request.path === '/never') await new Promise(() => {});
      for (let i = 0; i < 1_000; i++) await response.write(Buffer.alloc(100_000));
      response.end();
    },
    { timeouts: { answerMs: 50, writeMs: 100 }, onError: (error) => log.push((error as Error).message) },
  );
  t.teardown(() => server.close({ graceMs: 1 }));
  const never = dial(server);
  never.write(get('/never'));
  t.match(await gather(never), /^HTTP\/1\.1 503 Service Unavailable\r\n/);
  t.same(log, ['no response began within 50 ms (answerMs)']);
  const deaf = dial(server);
  deaf.pause();
  deaf.write(get('/'));
  await until(() => server.connectionCount > 0);
  await until(() => server.connectionCount === 0);
  deaf.destroy();
});

test('limits on requests per connection and on connections', async (t) => {
  const server = serve(hello, { limits: { requestsPerConnection: 2, connections: 1 } });
  t.teardown(() => server.close());
  const socket = dial(server);
  socket.write(get('/').repeat(3));
  const text = await gather(socket);
  t.equal(text.match(/200 OK/g)?.length, 2);
  t.match(text, /Connection: close\r\n\r\nhello\n$/);
  await until(() => server.connectionCount === 0);
  const first = dial(server);
  first.write(get('/'));
  await once(first, 'data');
  const second = dial(server);
  t.equal(await gather(second), '');
  first.destroy();
});

test('a client that asks is told how long an idle connection stays, in whole seconds', async (t) => {
  const cases: [number, string][] = [
    [75_000, 'Connection: keep-alive\r\nKeep-Alive: timeout=75\r\n'],
    [2_999, 'Connection: keep-alive\r\nKeep-Alive: timeout=2\r\n'],
    [1_000, 'Connection: keep-alive\r\nKeep-Alive: timeout=1\r\n'],
    [999, ''],
    [Number.POSITIVE_INFINITY, ''],
  ];
  for (const [idleMs, fields] of cases) {
    const server = serve(hello, { timeouts: { idleMs } });
    t.teardown(() => server.close());
    for (const value of ['keep-alive', 'Keep-Alive', 'x, keep-alive']) {
      const socket = dial(server);
      socket.end(get('/').replace('\r\n\r\n', `\r\nConnection: ${value}\r\n\r\n`));
      const [head = ''] = (await gather(socket)).split('\r\n\r\n');
      t.equal(`${head}\r\n`.replace(/^[\s\S]*?charset=utf-8\r\n/, ''), `${fields}Content-Length: 6\r\n`, `${idleMs}`);
    }
  }
});

test('a listening socket that others have opened, and one end for all of it: await using', async (t) => {
  const socket = NetSocket.listenOn({ address: '127.0.0.1', port: 0 });
  const port = portOf(socket.localAddress);
  let url: string;
  {
    await using server = serve(hello, { fd: socket.release() });
    url = server.url;
    t.equal(url, `http://127.0.0.1:${port}`);
    t.equal(await (await fetch(url)).text(), 'hello\n');
  }
  await t.rejects(fetch(url));
});

test('a loop that was given serves two servers, and outlives them', async (t) => {
  const loop = createEventLoop();
  t.teardown(() => loop.close());
  const servers = [serve(hello, { loop }), serve(hello, { loop })];
  for (const { url } of servers) t.equal(await (await fetch(url)).text(), 'hello\n');
  t.throws(() => serve(hello, { loop, port: servers[0]?.port ?? 0 }), { code: 'EADDRINUSE' });
  await Promise.all(servers.map((server) => server.close()));
  t.equal(loop.openCount, 0);
  const next = serve(hello, { loop });
  t.equal(await (await fetch(next.url)).text(), 'hello\n', 'it is open');
  await next.close();
});

test('an address of this network is shown as it is', async (t) => {
  // All of 127.0.0.0/8 is this machine: an address that is neither the default nor a wildcard.
  const server = serve(hello, { host: '127.0.0.2' });
  t.teardown(() => server.close());
  t.match(server.url, /^http:\/\/127\.0\.0\.2:\d+$/);
});

test('the handler learns who asks', async (t) => {
  const server = serve((request, response) => response.text(request.remoteAddress));
  t.teardown(() => server.close());
  const socket = dial(server);
  socket.end(get('/'));
  t.match(await gather(socket), /\r\n\r\n127\.0\.0\.1$/);
});

test('without onError, what a handler did not mean for the client is written to standard error', async (t) => {
  const written = t.capture(console, 'error', () => {});
  const server = serve(() => {
    throw new Error('boom');
  });
  t.teardown(() => server.close());
  const socket = dial(server);
  socket.end(get('/'));
  t.match(await gather(socket), /^HTTP\/1\.1 500 /);
  t.match(written.args(), [['%s:', /^GET \/ failed at .*serve\.test/, { message: 'boom' }]]);
});
