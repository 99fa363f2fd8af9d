/**
 * The states of a connection in which things have gone wrong before: each of these was a bug once.
 */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { runInNewContext } from 'node:vm';
import { type Test, test } from 'tap';
import { SLOW_BYTES_PER_SECOND } from '../../../http/connection/body-clock.ts';
import { Connection } from '../../../http/connection/connection.ts';
import { PRESSED_PROGRESS } from '../../../http/connection/deadline.ts';
import { MAX_BEHIND_MS } from '../../../http/connection/eviction.ts';
import { ClientGoneError, HttpError } from '../../../http/http-error.ts';
import {
  defaultLimits,
  defaultTimeouts,
  type Handler,
  type HttpRequest,
  type ResponseWriter,
  Router,
  type ServeOptions,
  type Server,
  serve,
} from '../../../http/index.ts';
import type { InternetAddress } from '../../../simplenet/index.ts';
import { collectGarbage } from '../../support/collect-garbage.ts';
import { Stopwatch } from '../../support/machine-time.ts';
import { MemoryCommons, MemoryStream } from '../../support/memory-server.ts';
import { Program } from '../../support/programs.ts';
import { until } from '../../support/waiting.ts';

const LARGE = Buffer.alloc(12_000_000, 'x');

/** A client whose server has ended in peace would keep its own side open, and this process alive. */
const clients = new Set<Socket>();

function serving(t: Test, handler: Handler | Router, options: ServeOptions = {}): Server {
  const server = serve(handler, { onError: () => {}, ...options });
  t.teardown(async () => {
    await server.close({ graceMs: 1 });
    for (const client of clients) client.destroy();
    clients.clear();
  });
  return server;
}

function dial(server: Server): Socket {
  const { port, address } = server.address as InternetAddress;
  const socket = connect({ port, host: address, allowHalfOpen: true });
  socket.on('error', () => {});
  clients.add(socket);
  return socket;
}

async function gather(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await new Promise((resolve) => socket.once('end', resolve).once('close', resolve));
  socket.destroy();
  return Buffer.concat(chunks).toString('latin1');
}

const closing = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';

const lastAnswers: Readonly<Record<string, string>> = {
  'Connection: close': closing,
  'HTTP/1.0': 'GET / HTTP/1.0\r\n\r\n',
  'a body that nobody reads': 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf',
};
for (const [what, request] of Object.entries(lastAnswers)) {
  for (const end of ['that stays', 'that has ended its side']) {
    test(`the last answer reaches a slow reader whole: ${what}, a client ${end}`, async (t) => {
      const server = serving(t, (_request, response) => response.bytes(LARGE), { timeouts: { lingerMs: 50 } });
      const socket = dial(server);
      socket.write(request);
      if (end !== 'that stays') socket.end();
      socket.pause();
      await sleep(200); // longer than we linger
      socket.resume();
      const text = await gather(socket);
      if (what === 'a body that nobody reads' && end !== 'that stays')
        t.match(text.slice(0, 12), /HTTP\/1\.1 (200|400)/);
      else t.equal(text.length - text.indexOf('\r\n\r\n') - 4, LARGE.length);
    });
  }
}

for (const [what, head] of [
  ['Connection: close', 'POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\n'],
  ['HTTP/1.0', 'POST / HTTP/1.0\r\nContent-Length: 10\r\n\r\n'],
] as const) {
  test(`an answer before the body is whole does not reset who still sends it: ${what}`, async (t) => {
    const server = serving(t, (_request, response) => response.status(401).text('no'));
    const socket = dial(server);
    socket.write(`${head}half`);
    const text = await new Promise<string>((resolve) => {
      let text = '';
      socket.setEncoding('latin1').on('data', (piece: string) => {
        text += piece;
      });
      socket.once('end', () => resolve(text));
    });
    t.match(text, /^HTTP\/1\.1 401 [\s\S]*Connection: close\r\n\r\nno$/);
    t.equal(server.connectionCount, 1, 'our side has ended, and we still listen');
    socket.end('and half');
    await once(socket, 'close');
    await until(() => server.connectionCount === 0);
  });
}

test('a body that had to wait behind another request is not late', async (t) => {
  const reported: unknown[] = [];
  const handler: Handler = async (request, response) => {
    await sleep(1);
    response.text(`${(await request.text()).length};`);
  };
  const limits = { bodyBufferBytes: 100 };
  const server = serving(t, handler, { limits, onError: (error) => void reported.push(error) });
  const socket = dial(server);
  // While the first is at work, more of the second arrives than may wait: the server stops reading.
  const upload = `POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1000\r\n\r\n${'x'.repeat(1_000)}`;
  socket.write(`GET / HTTP/1.1\r\nHost: x\r\n\r\n${upload.slice(0, -500)}`);
  await once(socket, 'data');
  socket.write(upload.slice(-500));
  t.match(await gather(socket), /^HTTP\/1\.1 200 [\s\S]*1000;$/);
  t.same(reported, []);
});

test('one write may be larger than all limits, if it is waited for', async (t) => {
  const chunk = Buffer.alloc(20_000_000, 'y');
  const server = serving(t, async (_request, response) => {
    await response.write(chunk);
    await response.write('the end');
    response.end();
  });
  const socket = dial(server);
  socket.write(closing);
  const text = await gather(socket);
  t.match(text.slice(-20), /the end\r\n0\r\n\r\n$/);
  t.ok(text.length > chunk.length);
});

test('who writes on without waiting ends at answerBufferBytes', async (t) => {
  const rejections: string[] = [];
  const server = serving(
    t,
    async (_request, response) => {
      for (let i = 0; i < 200; i++) {
        response.write(Buffer.alloc(100_000)).catch((error: Error) => rejections.push(error.message));
        await sleep(0);
      }
    },
    { limits: { answerBufferBytes: 1_000_000 } },
  );
  const socket = dial(server);
  socket.pause();
  socket.write(closing);
  await until(() => rejections.length > 0);
  t.match(rejections[0], /too much is queued for the client: await each write/);
  await until(() => server.connectionCount === 0);
  socket.destroy();
});

/** What a handler does that has written on without waiting, and how many errors of its own it makes of it. */
const careless: readonly (readonly [
  what: string,
  headers: Readonly<Record<string, string>>,
  handler: Handler,
  own: number,
])[] = [
  ['and returns', {}, (_request, response) => void writeOn(response), 0],
  ['and returns later', {}, async (_request, response) => void writeOn(response), 0],
  ['with a Content-Length', { 'Content-Length': '99999999' }, async (_request, response) => void writeOn(response), 0],
  ['and waits for all at the end', {}, async (_request, response) => void (await Promise.all(writeOn(response))), 0],
  ['and writes once more', {}, (_request, response) => void writeOn(response).push(response.write('x')), 0],
  ['and ends the response', {}, (_request, response) => void (writeOn(response) && response.end('x')), 0],
  [
    'and throws',
    {},
    (_request, response) => {
      writeOn(response);
      throw new Error('my own');
    },
    1,
  ],
];

function writeOn(response: ResponseWriter): Promise<void>[] {
  return Array.from({ length: 1_000 }, () => response.write(Buffer.alloc(65_536)));
}

for (const [what, headers, handler, own] of careless) {
  for (const requests of [1, 2]) {
    test(`a handler that writes on without waiting is reported once: ${what}, request ${requests}`, async (t) => {
      const reported: string[] = [];
      const errors: unknown[] = [];
      const router = new Router()
        .get('/first', (_request, response) => response.text('first'))
        .get('/', (request, response) => {
          for (const [name, value] of Object.entries(headers)) response.header(name, value);
          return handler(request, response);
        });
      const server = serving(t, router, {
        onError: (error) => reported.push((error as Error).message),
        onDone: ({ path, error }) => path === '/' && errors.push(error),
      });
      const socket = dial(server);
      socket.pause();
      socket.write(`${requests === 2 ? 'GET /first HTTP/1.1\r\nHost: x\r\n\r\n' : ''}${closing}`);
      await until(() => reported.length > 0);
      socket.destroy();
      await until(() => errors.length > 0 && server.connectionCount === 0);
      const tooMuch = 'too much is queued for the client: await each write()';
      t.same(reported, own === 0 ? [tooMuch] : [tooMuch, 'my own']);
      t.equal((errors[0] as Error).message, tooMuch);
      t.equal(errors.length, 1);
    });
  }
}

test('a handler of errors that writes on is not called again', async (t) => {
  let writing: ResponseWriter | null = null;
  const reported: string[] = [];
  const server = serving(
    t,
    (_request, response) => {
      writing = response;
      writeOn(response);
    },
    {
      onError: (error) => {
        reported.push((error as Error).message);
        void writing?.write('more');
      },
    },
  );
  const socket = dial(server);
  socket.pause();
  socket.write(closing);
  await until(() => reported.length > 0 && server.connectionCount === 0);
  t.equal(reported.length, 1);
});

test('what a handler returns does not matter unless it is a promise, and a log that fails harms no client', async (t) => {
  const odd = serving(t, ((_request: unknown, response: ResponseWriter) => {
    response.text('x');
    return 5;
  }) as unknown as Handler);
  const socket = dial(odd);
  socket.write(closing.replace('close', 'x') + closing);
  t.equal((await gather(socket)).match(/HTTP\/1\.1 /g)?.length, 2);

  const { error: original } = console;
  const logged: unknown[] = [];
  console.error = (...args: unknown[]) => logged.push(args);
  t.teardown(() => {
    console.error = original;
  });
  const failing = serving(
    t,
    () => {
      throw new Error('boom');
    },
    {
      onError: () => {
        throw new Error('logger broke');
      },
    },
  );
  const other = dial(failing);
  other.write(closing);
  t.match(await gather(other), /^HTTP\/1\.1 500 Internal Server Error\r\n/);
  t.equal(logged.length, 1);
});

test('the disconnect of another client does not cost this one its response', async (t) => {
  let listener: ResponseWriter | null = null;
  const server = serving(t, async (request, response) => {
    if (request.path === '/listen') {
      await response.write('welcome');
      listener = response;
      return;
    }
    await listener?.write('news');
    response.text('sent');
  });
  const deaf = dial(server);
  deaf.write('GET /listen HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(() => listener !== null);
  deaf.resetAndDestroy();
  await until(() => server.connectionCount === 0);
  const socket = dial(server);
  socket.write(closing);
  t.match(await gather(socket), /^HTTP\/1\.1 500 /);
});

test('a client that waits for 100 Continue is not too slow', async (t) => {
  const server = serving(
    t,
    async (request, response) => {
      await sleep(150);
      response.text(await request.text());
    },
    { timeouts: { bodyGraceMs: 40 } },
  );
  const socket = dial(server);
  socket.write('POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 5\r\n\r\n');
  const [interim] = (await once(socket, 'data')) as [Buffer];
  t.equal(interim.toString(), 'HTTP/1.1 100 Continue\r\n\r\n');
  socket.write('patie');
  t.match(await gather(socket), /200 OK[\s\S]*patie$/);
});

test('an answer that is begun at once is judged by its progress', async (t) => {
  const handler: Handler = async (_request, response) => {
    for (let i = 0; i < 100; i++) await response.write(Buffer.alloc(300_000));
    response.end();
  };
  const server = serving(t, handler, { timeouts: { answerMs: 5_000, writeMs: 100 } });
  const deaf = dial(server);
  deaf.pause();
  deaf.write(closing);
  const watch = new Stopwatch();
  await until(() => server.connectionCount === 1);
  await until(() => server.connectionCount === 0);
  t.ok(watch.stop().fairMs < 2_000, 'the client takes nothing: writeMs counts, not answerMs');
  deaf.destroy();

  const patient = serving(t, handler, { timeouts: { answerMs: 60, writeMs: 5_000 } });
  const steady = dial(patient);
  steady.write(closing);
  steady.pause();
  setTimeout(() => steady.resume(), 200);
  t.ok((await gather(steady)).length > 30_000_000, 'the client takes bytes slowly: answerMs does not count');
});

test('an empty line after a request does not begin another', async (t) => {
  const server = serving(t, (_request, response) => response.text('hi'), { timeouts: { idleMs: 50, headerMs: 100 } });
  const request = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
  const ending = dial(server);
  ending.end(`${request}\r\n`);
  t.match(await gather(ending), /^HTTP\/1\.1 200 OK[\s\S]*hi$/);
  const idle = dial(server);
  idle.write(`${request}\r\n`);
  t.match(await gather(idle), /^HTTP\/1\.1 200 OK[\s\S]*hi$/);
  const going = dial(server);
  going.write(`${request}\r\n`);
  await once(going, 'data');
  going.end(request);
  t.match(await gather(going), /^HTTP\/1\.1 200 OK[\s\S]*hi$/);
});

test('upgrade: not before the body has been read; an earlier end of the client is delivered', async (t) => {
  const heard: string[] = [];
  const returned: boolean[] = [];
  let isBodyRead = false;
  const server = serving(t, async (request, response) => {
    if (isBodyRead) await request.text();
    if (request.path === '/late') await sleep(30);
    returned.push(
      response.upgrade('x', (stream) => ({
        onData: (_stream, bytes) => void heard.push(bytes.toString()),
        onEnd: () => {
          heard.push('end');
          stream.end();
        },
      })),
    );
  });
  const head = 'Host: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n';
  const unread = dial(server);
  unread.end(`POST / HTTP/1.1\r\n${head}Content-Length: 4\r\n\r\nbo`);
  t.match(await gather(unread), /^HTTP\/1\.1 400 /);
  const waiting = dial(server);
  waiting.write(`POST /late HTTP/1.1\r\n${head}Content-Length: 4\r\n\r\nbodyGET / HTTP/1.0\r\n\r\n`);
  t.match(await gather(waiting), /^HTTP\/1\.1 400 [\s\S]*HTTP\/1\.1 426 /, 'a body that has come, and was not read');
  t.same(returned.splice(0), [false, false, false]);
  isBodyRead = true;
  const read = dial(server);
  read.write(`POST / HTTP/1.1\r\n${head}Content-Length: 4\r\n\r\nbodymore`);
  await until(() => heard.length > 0);
  t.same(heard.splice(0), ['more']);
  read.destroy();
  const ended = dial(server);
  ended.end(`GET /late HTTP/1.1\r\n${head}\r\n`);
  t.match(await gather(ended), /^HTTP\/1\.1 101 /);
  t.ok(heard.includes('end'));
  t.same(returned, [true, true]);
});

const otherProtocol = () => ({ onData() {} });
const asking = 'Connection: Upgrade\r\nUpgrade: X\r\n';

for (const [what, fields, status] of [
  ['it in another case', asking, 101],
  ['it among others', 'Connection: foo, upgrade\r\nUpgrade: y/2, , x\t, z\r\n', 101],
  ['it in a second field', 'Connection: upgrade\r\nUpgrade: y\r\nUpgrade: x\r\n', 101],
  ['another', 'Connection: Upgrade\r\nUpgrade: y\r\n', 426],
  ['one that begins like it', 'Connection: Upgrade\r\nUpgrade: xx\r\n', 426],
  ['a version of it', 'Connection: Upgrade\r\nUpgrade: x/1\r\n', 426],
  ['nothing', 'Connection: Upgrade\r\n', 426],
  ['an empty list', 'Connection: Upgrade\r\nUpgrade:\r\n', 426],
  ['it, and Connection does not', 'Upgrade: x\r\n', 426],
] as const) {
  test(`upgrade('x') where Upgrade names ${what}: ${status}`, async (t) => {
    const server = serving(t, (_request, response) => void response.upgrade('x', otherProtocol));
    const socket = dial(server);
    socket.write(`GET / HTTP/1.1\r\nHost: x\r\n${fields}\r\n`);
    const [bytes] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    t.match(bytes.toString(), new RegExp(`^HTTP/1.1 ${status} .*\r\n[^]*Upgrade: x\r\n`));
  });
}

test('upgrade in HTTP/1.0 is ignored (RFC 9110 section 7.8)', async (t) => {
  const server = serving(t, (_request, response) => void response.upgrade('x', otherProtocol));
  const socket = dial(server);
  socket.write(`GET / HTTP/1.0\r\n${asking}\r\n`);
  t.match(await gather(socket), /^HTTP\/1\.1 426 [\s\S]*\r\nConnection: close, Upgrade\r\n/);
});

test('after an upgrade that was refused the connection goes on', async (t) => {
  const server = serving(t, (_request, response) => void response.upgrade('x', otherProtocol));
  const socket = dial(server);
  socket.write(`GET / HTTP/1.1\r\nHost: x\r\n\r\n${closing}`);
  t.match(await gather(socket), /^HTTP\/1\.1 426 [\s\S]*HTTP\/1\.1 426 /);
});

test('fail answers and reports from a callback as a throw would, once', async (t) => {
  const reported: unknown[] = [];
  const error = new Error('x');
  const server = serving(
    t,
    (request, response) => {
      setImmediate(() => {
        response.fail(request.path === '/chosen' ? new HttpError(400, 'chosen') : error);
        response.fail(error); // its answer is complete, and the log hears of it
      });
    },
    { onError: (failure, request) => void reported.push(failure, request?.path) },
  );
  const socket = dial(server);
  socket.write('GET /chosen HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  t.match(await gather(socket), /^HTTP\/1\.1 400 [\s\S]*chosen[\s\S]*HTTP\/1\.1 500 [\s\S]*Internal Server Error\n$/);
  t.same(reported, [error, '/chosen', error, '/', error, '/']);
});

for (const [when, respond] of [
  ['while its response is under way', (response: ResponseWriter) => void response.write('part')],
  ['after its response', (response: ResponseWriter) => response.text('whole')],
] as const) {
  test(`an HttpError that is thrown ${when} cannot reach the client, so it is reported`, async (t) => {
    const error = new HttpError(404, 'no such order');
    const reported: unknown[] = [];
    const handler: Handler = (_request, response) => {
      respond(response);
      throw error;
    };
    const server = serving(t, handler, { onError: (failure) => void reported.push(failure) });
    const socket = dial(server);
    socket.write(closing);
    t.notMatch(await gather(socket), 'no such order');
    t.same(reported, [error]);
  });
}

test('a protocol that throws at its start is reported, and does not keep the connection', async (t) => {
  const reported: string[] = [];
  const onError = (error: unknown) => void reported.push((error as Error).message);
  const never: Handler = (_request, response) => {
    response.upgrade('x', () => {
      throw new Error('no such room');
    });
  };
  const server = serving(t, never, { onError });
  const socket = dial(server);
  socket.write(`GET / HTTP/1.1\r\nHost: x\r\n${asking}\r\n`);
  await gather(socket);
  await until(() => server.connectionCount === 0);
  t.same(reported, ['no such room']);
});

test('an upgrade takes up reading again where too much had come behind the request', async (t) => {
  let heardBytes = 0;
  let isAtWork = false;
  let go = () => {};
  const server = serving(t, async (_request, response) => {
    isAtWork = true;
    await new Promise<void>((resolve) => {
      go = resolve;
    });
    const onData = (_stream: unknown, bytes: Buffer) => {
      heardBytes += bytes.length;
    };
    response.upgrade('x', () => ({ onData }));
  });
  const socket = dial(server);
  const much = 8_000_000;
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
  socket.write(Buffer.alloc(much));
  await until(() => isAtWork);
  await sleep(50); // for it to be stopped: more than any buffer holds is on its way
  t.ok(socket.writableLength > 0);
  go();
  await until(() => heardBytes === much);
  socket.destroy();
});

const thenables: Readonly<Record<string, () => unknown>> = {
  'a promise of another realm': () => runInNewContext('Promise.reject(new Error("boom"))'),
  'an object with a then': () => ({
    // biome-ignore lint/suspicious/noThenProperty: that is what is tried.
    then: (_resolve: unknown, reject: (error: Error) => void) => setImmediate(reject, new Error('boom')),
  }),
  'an object whose then cannot be read': () => ({
    // biome-ignore lint/suspicious/noThenProperty: that is what is tried.
    get then() {
      throw new Error('boom');
    },
  }),
};
for (const [what, make] of Object.entries(thenables)) {
  test(`a handler that returns ${what} is answered and reported like any other`, async (t) => {
    const reported: string[] = [];
    const handler = make as () => Promise<void>;
    const server = serving(t, handler, { onError: (error) => reported.push((error as Error).message) });
    const socket = dial(server);
    socket.write(closing);
    t.match(await gather(socket), /^HTTP\/1\.1 500 /);
    t.same(reported, ['boom']);
  });
}

test('a middleware that does not await next() leaves no unhandled rejection', async (t) => {
  const router = new Router();
  router.use(async (_request, _response, next) => {
    void next();
  });
  router.get('/', async () => {
    await sleep(1);
    throw new Error('boom');
  });
  const reported: string[] = [];
  const server = serving(t, router, { onError: (error) => reported.push((error as Error).message) });
  const socket = dial(server);
  socket.write(closing);
  t.match(await gather(socket), /^HTTP\/1\.1 500 /);
  t.same(reported, ['boom']);
});

test('the signal of a client that has gone is aborted, whenever it is asked for', async (t) => {
  const seen: boolean[] = [];
  const server = serving(t, async (request, response) => {
    await until(() => server.connectionCount === 0);
    seen.push(request.signal.aborted);
    if (request.signal.aborted) return;
    response.text('nobody hears this');
  });
  const socket = dial(server);
  socket.write(closing);
  await until(() => server.connectionCount === 1);
  await sleep(5);
  socket.resetAndDestroy();
  await until(() => seen.length > 0);
  t.same(seen, [true]);
});

/** Counts how many errors of a kind are made, from here to the end of the test. */
function counting(t: Test, kind: typeof ClientGoneError | typeof HttpError): { made: number } {
  const count = { made: 0 };
  class Counted extends Error {
    constructor(message?: string, options?: ErrorOptions) {
      super(message, options);
      count.made++;
    }
  }
  Object.setPrototypeOf(kind, Counted); // what its `super` calls
  t.teardown(() => Object.setPrototypeOf(kind, Error));
  return count;
}

test('a malformed head is refused without an error object, whose stack would make a flood expensive', async (t) => {
  const errors = counting(t, HttpError);
  const server = serving(t, () => {}, { timeouts: { headerMs: 20 } });
  const refusalOf = (text: string, isEnded: boolean) => {
    const socket = dial(server);
    if (isEnded) socket.end(text);
    else socket.write(text);
    return gather(socket);
  };
  t.match(await refusalOf('this is none\r\n', false), /^HTTP\/1\.1 400 /);
  t.match(await refusalOf('GET / HTTP/1.1\r\nHost: x\r\n', true), /^HTTP\/1\.1 400 [\s\S]*ended within a head\n$/);
  t.match(await refusalOf('GET / HTTP/1.1\r\nHost: x\r\n', false), /^HTTP\/1\.1 408 [\s\S]*took too long\n$/);
  t.equal(errors.made, 0);
});

test('a disconnect for which no code waits makes no error object', async (t) => {
  const errors = counting(t, ClientGoneError);
  let isWaiting = false;
  const server = serving(t, async (request, response) => {
    if (request.path === '/wait') {
      isWaiting = true;
      await once(request.signal, 'abort');
    }
    response.text('hello');
  });
  const leave = async (socket: Socket) => {
    socket.resetAndDestroy();
    await until(() => server.connectionCount === 0);
  };
  const silent = dial(server);
  await until(() => server.connectionCount === 1);
  await leave(silent);
  const served = dial(server);
  served.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody');
  await once(served, 'data');
  await leave(served);
  t.equal(errors.made, 0);
  const waiting = dial(server);
  waiting.write('GET /wait HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(() => isWaiting);
  await leave(waiting);
  t.equal(errors.made, 1, 'the pending wait is rejected');
});

test('205 has no content', async (t) => {
  const server = serving(t, (_request, response) => response.status(205).text('content'));
  const socket = dial(server);
  socket.write(closing);
  t.match(await gather(socket), /^HTTP\/1\.1 205 Reset Content\r\n[\s\S]*Content-Length: 0\r\n[\s\S]*\r\n\r\n$/);
});

test('an upload in a pipeline that had to wait is read like any other', async (t) => {
  // So much waits behind the first request that reading stops; the second has all its time nevertheless.
  const server = serving(t, async (request, response) => {
    await sleep(20);
    response.text(`${request.method} ${(await request.bytes()).length};`);
  });
  const socket = dial(server);
  const body = 'b'.repeat(200_000);
  socket.write(
    `GET / HTTP/1.1\r\nHost: x\r\n\r\n` +
      `POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  const text = await gather(socket);
  t.match(text, /200 OK[\s\S]*GET 0;HTTP\/1\.1 200 OK[\s\S]*POST 200000;$/);
});

/** Its client takes what a test says that it takes. As with a real stream, what is written while it closes goes nowhere. */
class SlowStream extends MemoryStream {
  constructor() {
    super(true);
  }

  override write(bytes: Uint8Array, length?: number): boolean {
    return !this.isClosed && super.write(bytes, length);
  }
}

/** A server to which nothing may be reported. */
function homeOf(t: Test, handler: Handler): MemoryCommons {
  const home = new MemoryCommons(handler, defaultLimits);
  home.report = (error: unknown) => t.fail(String(error));
  return home;
}

test('an answer that is begun while the body waits has no deadline of its own: the stream watches its progress', async (t) => {
  const stream = new SlowStream();
  const home = homeOf(t, async (_request, response) => {
    await response.write(Buffer.alloc(1_000_000));
    await new Promise(() => {}); // it reads no body for now, and goes on when it likes
  });
  const connection = new Connection(home, stream);
  stream.handler = connection;
  t.same(stream.minimumProgress, { everyMs: 30_000, bytes: 7_200 });
  connection.onData(stream, Buffer.from('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n'));
  connection.onData(stream, Buffer.alloc(80_000));
  t.ok(stream.isPaused, 'so much of the body waits that no more is read');
  t.equal(stream.deadlineMs, Number.POSITIVE_INFINITY);
  stream.passDeadline();
  t.notOk(stream.isEnded, 'should one come all the same, the answer goes on');
  stream.queuedBytes = 0;
  connection.onDrain();
  t.equal(stream.deadlineMs, Number.POSITIVE_INFINITY, 'only the handler is waited for, without a limit');
});

test('an idle connection makes room when its response has arrived, and no request lies in the kernel', async (t) => {
  const connected = () => {
    const stream = new MemoryStream(false);
    const home = homeOf(t, (_request, response) => response.text('hello\n'));
    return { stream, connection: new Connection(home, stream) };
  };
  const { stream, connection } = connected();
  connection.onData(stream, Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'));
  t.equal(connection.idleSince, 0);
  stream.hasOutput = () => true;
  t.equal(connection.closeIfSilent(), false);
  stream.hasOutput = () => false;
  stream.hasInput = () => true;
  t.equal(connection.closeIfSilent(), false);
  stream.hasInput = () => false;
  connection.onData(stream, Buffer.from('\r\n'));
  t.equal(connection.idleSince, Number.POSITIVE_INFINITY, 'the deadline of a head is in force');
  connection.onData(stream, Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'));
  t.equal(connection.idleSince, 0);
  stream.queuedBytes = 1;
  t.equal(connection.idleSince, Number.POSITIVE_INFINITY, 'the client has yet to take something');
  stream.queuedBytes = 0;
  t.equal(connection.closeIfSilent(), true);
  t.ok(stream.isClosed && !stream.wasAborted);
  t.equal(connection.idleSince, Number.POSITIVE_INFINITY, 'it closes once');
  const silent = connected();
  t.equal(silent.connection.idleSince, 0);
  t.equal(silent.connection.closeIfSilent(), true, 'a client that has asked nothing waits for nothing');
});

/** A connection at time 0, to which `text` has come. */
function pressed(t: Test, handler: Handler, text: string) {
  const home = homeOf(t, handler);
  home.nowMs = 0;
  const stream = new MemoryStream(false);
  const connection = new Connection(home, stream);
  const say = (bytes: string) => connection.onData(stream, Buffer.from(bytes));
  say(text);
  return { home, stream, connection, say };
}

const upload = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n';
const reading: Handler = (request) => request.bytes().then(() => {});

test('a head that has been incomplete for a second is refused to make room, and not before', async (t) => {
  const { home, stream, connection } = pressed(t, () => {}, 'GET / HTTP/1.1\r\n');
  home.nowMs = MAX_BEHIND_MS - 1;
  t.equal(connection.refuseIfSlow(), false);
  home.nowMs = MAX_BEHIND_MS;
  stream.hasInput = () => true;
  t.equal(connection.refuseIfSlow(), false, 'more of it lies in the kernel');
  stream.hasInput = () => false;
  t.equal(connection.refuseIfSlow(), true);
  t.match(stream.sent.toString(), /^HTTP\/1\.1 408 /);
  t.equal(connection.refuseIfSlow(), false, 'it is refused once');
});

test('a body is too slow to keep its place if it is a second behind the slowest rate', async (t) => {
  const { home, stream, connection, say } = pressed(t, reading, upload);
  say('x'.repeat(2 * SLOW_BYTES_PER_SECOND));
  home.nowMs = 2_000 + MAX_BEHIND_MS - 1;
  t.equal(connection.press(), MAX_BEHIND_MS - 1);
  t.equal(connection.refuseIfSlow(), false);
  home.nowMs++;
  t.equal(connection.refuseIfSlow(), true);
  t.match(stream.sent.toString(), /^HTTP\/1\.1 408 /);
});

test('a handler that has begun its response while it reads a slow body is cut', async (t) => {
  const { home, stream, connection } = pressed(
    t,
    async (request, response) => {
      await response.write('begun');
      await request.bytes();
    },
    upload,
  );
  await null;
  await null;
  home.nowMs = MAX_BEHIND_MS;
  t.equal(connection.refuseIfSlow(), true);
  t.ok(stream.wasAborted);
});

test('the server waits for no client whose handler is at work, nor for one without a request under way', async (t) => {
  const upgrade = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n';
  const others: Readonly<Record<string, readonly [Handler, string]>> = {
    'a handler that has not begun to read': [() => {}, upload],
    'a handler that reads no further': [
      (request) => {
        request.body[Symbol.asyncIterator]();
      },
      upload + 'x'.repeat(90_000),
    ],
    'a handler without a body': [() => {}, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'],
    'an idle connection': [(_request, response) => response.text('hello'), 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'],
    'one that lingers': [() => {}, 'malformed\r\n\r\n'],
    'another protocol': [(_request, response) => void response.upgrade('x', () => ({ onData() {} })), upgrade],
  };
  for (const [what, [handler, text]] of Object.entries(others)) {
    const { home, connection } = pressed(t, handler, text);
    home.nowMs = 60_000;
    t.equal(connection.press(), 0, what);
  }
});

test('where there is no room, a client must take its response faster, until it has taken it', async (t) => {
  const handler: Handler = (_request, response) => response.text('hello');
  const get = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
  const usual = { everyMs: PRESSED_PROGRESS.everyMs + 1, bytes: 1 };
  for (const [minimum, wanted] of [
    [usual, PRESSED_PROGRESS],
    [null, PRESSED_PROGRESS],
    [
      { ...usual, everyMs: PRESSED_PROGRESS.everyMs },
      { ...usual, everyMs: PRESSED_PROGRESS.everyMs },
    ],
  ]) {
    const home = homeOf(t, handler);
    Object.assign(home, { minimumProgress: minimum });
    const stream = new MemoryStream(true);
    const connection = new Connection(home, stream);
    stream.handler = connection;
    connection.onData(stream, Buffer.from(get));
    t.same(stream.minimumProgress, minimum);
    t.equal(connection.press(), 0);
    t.same(stream.minimumProgress, wanted);
    t.equal(connection.press(), 0);
    t.same(stream.minimumProgress, wanted);
    stream.drain();
    t.same(stream.minimumProgress, minimum);
  }
});

test('an answer that turns out to be queued is waited for, before the connection is idle and before it ends', async (t) => {
  for (const hasEnded of [false, true]) {
    const stream = new SlowStream();
    const connection = new Connection(
      homeOf(t, (_request, response) => response.text('hello\n')),
      stream,
    );
    stream.handler = connection;
    connection.onData(stream, Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'));
    stream.drain();
    t.equal(stream.deadlineMs, defaultTimeouts.idleMs);
    stream.queuedBytes = 100; // as on io_uring, where the kernel may not have taken what was written
    if (hasEnded) connection.onEnd(stream);
    else stream.passDeadline();
    t.notOk(stream.isClosed);
    t.equal(stream.deadlineMs, Number.POSITIVE_INFINITY, 'the stream watches the client');
    stream.drain();
    if (!hasEnded) stream.passDeadline();
    t.ok(stream.isClosed);
  }
});

test('a connection that its client wants closed closes at once behind what fits in a segment, and lingers behind one byte more', async (t) => {
  for (const [length, isClosed] of [
    [1_200, true],
    [1_201, false],
  ] as const) {
    const stream = new SlowStream();
    const connection = new Connection(
      homeOf(t, (_request, response) => response.text('x'.repeat(length))),
      stream,
    );
    stream.handler = connection;
    connection.onData(stream, Buffer.from('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'));
    stream.drain();
    t.ok(stream.isEnded);
    t.equal(stream.isClosed, isClosed, `${length} bytes`);
  }
});

test('an answer that is cut waits for those before it, and ends with RST when they have left', async (t) => {
  const stream = new SlowStream();
  const home = homeOf(t, async (request, response) => {
    if (request.path === '/') return response.text('hello\n');
    await response.write('half');
    throw new Error('halfway');
  });
  home.report = () => true;
  const connection = new Connection(home, stream);
  stream.handler = connection;
  const old = (path: string) => `GET ${path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`;
  connection.onData(stream, Buffer.from(old('/')));
  stream.drain();
  connection.onData(stream, Buffer.from(old('/halfway')));
  await new Promise(setImmediate);
  stream.drain();
  await new Promise(setImmediate);
  t.equal(stream.deadlineMs, 100);
  stream.queuedBytes = 100; // as on io_uring, where the kernel may not have taken what was written
  stream.passDeadline();
  t.notOk(stream.wasAborted);
  t.equal(stream.deadlineMs, 100);
  stream.queuedBytes = 0;
  stream.passDeadline();
  t.ok(stream.wasAborted);
});

test('while we linger behind an answer that is still queued, the stream waits for the client', async (t) => {
  const stream = new SlowStream();
  const connection = new Connection(
    homeOf(t, () => {}),
    stream,
  );
  connection.onData(stream, Buffer.from('this is no request\r\n'));
  t.ok(stream.isEnded && stream.queuedBytes > 0, 'it was refused, and has not heard so');
  stream.handler = connection;
  stream.passDeadline();
  t.notOk(stream.isClosed);
  t.equal(stream.deadlineMs, defaultTimeouts.lingerMs);
  stream.queuedBytes = 0;
  stream.passDeadline();
  t.ok(stream.isClosed);
});

test('a close of what is closed keeps no process alive', async (t) => {
  const { code, stdout } = await Program.script(`
    const { serve } = await import(build + '/http/index.js');
    const server = serve(() => {});
    await server.close();
    await server.close();
    const startedAt = performance.now();
    process.once('exit', () => console.log(Math.round(performance.now() - startedAt)));`).ends();
  t.equal(code, 0);
  t.ok(Number(stdout) < 5_000, `it ended after ${stdout.trim()} ms`);
});

test('a second close may shorten the grace, and an infinite grace sets no alarm', async (t) => {
  const server = serving(t, () => new Promise(() => {}));
  const socket = dial(server);
  socket.write(closing);
  await until(() => server.connectionCount === 1);
  await sleep(5);
  const closed = server.close({ graceMs: Number.POSITIVE_INFINITY });
  await sleep(20);
  t.equal(server.connectionCount, 1);
  server.close({ graceMs: 1 });
  await closed;
  t.equal(server.connectionCount, 0);
  socket.destroy();
});

test('what is dropped while we linger has a limit: at it the stream is read, one byte above it is not', async (t) => {
  const stream = new SlowStream();
  const connection = new Connection(
    homeOf(t, () => {}),
    stream,
  );
  connection.onData(stream, Buffer.from('this is no request\r\n'));
  t.ok(stream.isEnded, 'it was refused');
  for (let i = 0; i < 4; i++) connection.onData(stream, Buffer.alloc(1024 * 1024));
  t.notOk(stream.isPaused);
  connection.onData(stream, Buffer.alloc(1));
  t.ok(stream.isPaused);
  t.notOk(stream.wasAborted, 'RST would destroy the answer');
  stream.handler = connection;
  stream.queuedBytes = 0;
  stream.passDeadline();
  t.ok(stream.isClosed, 'and the deadline still holds');
});

const whatElse: Readonly<Record<string, (request: HttpRequest) => Promise<unknown>>> = {
  'waits for something else': () => new Promise(() => {}),
  'reads on': (request) => request.body.read(),
};
for (const [what, goOn] of Object.entries(whatElse)) {
  test(`a handler that ${what} behind an answer that is cut gives the connection no other deadline`, async (t) => {
    const stream = new MemoryStream(false);
    const home = homeOf(t, async (request, response) => {
      if (request.path === '/') return response.text('whole');
      response.header('Content-Length', 4);
      void response.write('four');
      t.throws(() => response.write('!'), /Content-Length is 4, but the body would have 5 bytes/);
      await goOn(request);
    });
    const connection = new Connection(home, stream);
    const cut = 'POST /cut HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n';
    connection.onData(stream, Buffer.from(`GET / HTTP/1.1\r\nHost: x\r\n\r\n${cut}`));
    t.match(stream.sent.toString(), /whole[\s\S]*four$/);
    t.ok(stream.isEnded);
    t.equal(stream.deadlineMs, defaultTimeouts.lingerMs);
    connection.onClose(stream, null);
  });
}

for (const isEarly of [true, false]) {
  test(`nor does a body that waits for memory in vain, ${isEarly ? 'from before the cut' : 'from then on'}`, async (t) => {
    const home = new MemoryCommons(
      async (request, response) => {
        if (request.path === '/') return response.text('whole');
        const gathering = isEarly || request.path === '/first' ? request.bytes() : null;
        if (request.path === '/cut') {
          await response.write('a beginning');
          response.fail(new Error('boom'));
        }
        const failure = await (gathering ?? request.bytes()).catch((error: HttpError) => error);
        t.match(failure, { status: 503 });
      },
      { ...defaultLimits, bodyMemoryBytes: 100 },
    );
    const upload = (path: string) =>
      `POST ${path} HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1000\r\n\r\n${'b'.repeat(500)}`;
    const first = new MemoryStream(false); // of all bodies one may always go on
    new Connection(home, first).onData(first, Buffer.from(upload('/first')));
    const stream = new MemoryStream(false);
    stream.handler = new Connection(home, stream);
    const whole = 'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n';
    stream.handler.onData(stream, Buffer.from(`${whole}${upload('/cut')}`));
    await new Promise(setImmediate);
    t.match(home.reported, [{ message: 'boom' }]);
    t.equal(home.bodyMemory.waitingCount, 1);
    t.equal(stream.deadlineMs, 100, 'so long the whole answer has to arrive: RST will show that the other one is cut');
    stream.deadlineMs = 1;
    home.endWait();
    await new Promise(setImmediate);
    t.equal(stream.deadlineMs, 1);
    t.notOk(stream.isEnded);
    stream.passDeadline();
    t.ok(stream.wasAborted);
  });
}

test('write() that waits because much is gathered goes on when the client has taken it in the same tick', async (t) => {
  const stream = new MemoryStream(false);
  const home = new MemoryCommons(
    async (_request, response) => {
      await response.write('more than ten bytes');
      response.end();
    },
    { ...defaultLimits, answerBufferBytes: 10 },
  );
  new Connection(home, stream).onData(stream, Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'));
  t.equal(stream.sentBytes, 0, 'what comes in pieces is gathered');
  await new Promise(setImmediate);
  t.match(stream.sent.toString(), /more than ten bytes\r\n0\r\n\r\n$/);
});

test('a connection at rest does not end while the server stops if its next request is in the kernel', async (t) => {
  const stream = new MemoryStream(false);
  const home = homeOf(t, () => {});
  home.isStopping = true;
  stream.handler = new Connection(home, stream);
  t.equal(stream.deadlineMs, home.idleGraceMs);
  stream.hasInput = () => true;
  stream.passDeadline();
  t.notOk(stream.isEnded);
  t.equal(stream.deadlineMs, home.idleGraceMs, 'it closes within idleGraceMs');
  stream.hasInput = () => false;
  stream.passDeadline();
  t.ok(stream.isEnded);
  t.notOk(stream.isClosed, 'RST would destroy the answers before it');
  t.equal(stream.deadlineMs, defaultTimeouts.lingerMs);
});

test('late calls: after the response the signal is never aborted, and after a disconnect upgrade returns false', async (t) => {
  const kept: { request: HttpRequest; response: ResponseWriter }[] = [];
  const stream = new SlowStream();
  const connection = new Connection(
    homeOf(t, (request, response) => {
      kept.push({ request, response });
      if (request.path === '/') response.text('hello');
    }),
    stream,
  );
  connection.onData(stream, Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'));
  stream.queuedBytes = 0;
  connection.onDrain();
  connection.onData(stream, Buffer.from('GET /late HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'));
  connection.onClose(stream, null);
  const [first, second] = kept;
  t.equal(first?.request.signal.aborted, false, 'it was answered: whatever became of the client');
  t.equal(second?.response.upgrade('x', otherProtocol), false);
  t.equal(second?.request.signal.aborted, true);
});

test('a client that waits for 100 Continue gets it when its body has waited for memory', async (t) => {
  const context = new MemoryCommons(
    async (request, response) => response.text(`${(await request.bytes()).length} bytes`),
    {
      ...defaultLimits,
      bodyMemoryBytes: 100,
    },
  );
  const upload = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n';
  const first = new MemoryStream(false); // one body is always read on
  first.handler = new Connection(context, first);
  first.handler.onData(first, Buffer.from(`${upload}\r\n${'b'.repeat(500)}`));
  const second = new MemoryStream(false);
  second.handler = new Connection(context, second);
  second.handler.onData(second, Buffer.from(`${upload}Expect: 100-continue\r\n\r\n`));
  await new Promise(setImmediate);
  t.equal(context.bodyMemory.waitingCount, 1);
  t.equal(second.sent.toString(), '');
  first.handler.onData(first, Buffer.alloc(500, 'b'));
  await new Promise(setImmediate);
  t.match(first.sent.toString(), '1000 bytes');
  t.equal(second.sent.toString(), 'HTTP/1.1 100 Continue\r\n\r\n');
  second.handler.onData(second, Buffer.alloc(1_000, 'b'));
  await new Promise(setImmediate);
  t.match(second.sent.toString(), '1000 bytes');
});

test('no 100 Continue in the middle of an answer', async (t) => {
  const server = serving(t, async (request, response) => {
    await response.write('first ');
    response.end(await request.text());
  });
  const socket = dial(server);
  socket.write('POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n');
  const [begin] = (await once(socket, 'data')) as [Buffer];
  t.match(begin.toString(), /^HTTP\/1\.1 200 OK\r\n[\s\S]*first \r\n$/);
  const rest = gather(socket);
  socket.write('body');
  t.equal(await rest, '4\r\nbody\r\n0\r\n\r\n');
});

test('an idle connection keeps nothing of the head of its last request', async (t) => {
  const COUNT = 500;
  const HEAD_BYTES = 8_000;
  const context = new MemoryCommons((_request, response) => response.text('ok'), {
    ...defaultLimits,
    headBytes: 10_000,
  });
  const open: Connection[] = [];
  const connectAndAsk = (i: number) => {
    const stream = new MemoryStream(false);
    const connection = new Connection(context, stream);
    const field = `${i}`.padEnd(HEAD_BYTES, 'x'); // no two are the same text
    connection.onData(stream, Buffer.from(`GET / HTTP/1.1\r\nHost: x\r\nX: ${field}\r\n\r\n`));
    open.push(connection);
  };
  connectAndAsk(0);
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  for (let i = 1; i <= COUNT; i++) connectAndAsk(i);
  collectGarbage();
  const bytesEach = (process.memoryUsage().heapUsed - before) / COUNT;
  t.ok(open.every((connection) => connection.isIdle));
  t.ok(bytesEach < HEAD_BYTES / 2, `${bytesEach} bytes each`);
});
