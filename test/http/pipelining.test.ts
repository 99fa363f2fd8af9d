/**
 * A pipeline that is longer than its share of a turn: where it stops, that it goes on, and that nothing which happens meanwhile
 * takes the requests that wait for something else.
 */

import { connect, type Socket } from 'node:net';
import { test } from 'tap';
import { Connection } from '../../http/connection/connection.ts';
import { type Handler, serve } from '../../http/index.ts';
import { defaultLimits, defaultTimeouts, type Limits } from '../../http/limits.ts';
import { portOf } from '../../simplenet/index.ts';
import { backends, missingBackend } from '../support/backends.ts';
import { MemoryCommons, MemoryStream } from '../support/memory-server.ts';
import { until } from '../support/waiting.ts';

const get = (path: string, fields = '') => `GET ${path} HTTP/1.1\r\nHost: x\r\n${fields}\r\n`;
const SHARE = defaultLimits.requestsPerTurn;

/** A connection in memory. */
function world(handler: Handler, limits: Partial<Limits> = {}) {
  const home = new MemoryCommons(handler, { ...defaultLimits, ...limits });
  const stream = new MemoryStream(false);
  const connection = new Connection(home, stream);
  stream.handler = connection;
  const say = (text: string) => connection.onData(stream, Buffer.from(text));
  const answers = () => stream.sent.toString('latin1').split('HTTP/1.1 200 OK').length - 1;
  return { home, stream, connection, say, answers };
}

const hello: Handler = (_request, response) => response.text('hello\n');

test('as many requests as a turn has room for are answered in it, and one more in the next', async (t) => {
  const { stream, say, answers } = world(hello);
  say(get('/').repeat(SHARE));
  t.same([answers(), stream.wantsTurn], [SHARE, false]);
  say(get('/').repeat(SHARE + 1));
  t.same([answers(), stream.wantsTurn], [2 * SHARE, true]);
  stream.takeTurn();
  t.same([answers(), stream.wantsTurn], [2 * SHARE + 1, false]);
  t.notOk(stream.isClosed);
});

test('the limit is an option', async (t) => {
  const { stream, say, answers } = world(hello, { requestsPerTurn: 1 });
  say(get('/').repeat(3));
  const seen = [answers()];
  while (stream.wantsTurn) {
    stream.takeTurn();
    seen.push(answers());
  }
  t.same(seen, [1, 2, 3]);
});

test('where the time of the turn is spent, one request is begun, and no second', async (t) => {
  const { home, stream, say, answers } = world(hello);
  home.isTurnSpent = true;
  say(get('/').repeat(3));
  t.same([answers(), stream.wantsTurn], [1, true]);
  home.isTurnSpent = false;
  stream.takeTurn();
  t.same([answers(), stream.wantsTurn], [3, false]);
});

test('a pipeline whose time runs out on the way stops within four requests', async (t) => {
  let begun = 0;
  const { home, stream, say } = world((_request, response) => {
    if (++begun === 5) home.isTurnSpent = true;
    response.text('');
  });
  say(get('/').repeat(SHARE));
  t.same([begun, stream.wantsTurn], [8, true]);
});

test('asynchronous handlers have the same share', async (t) => {
  let begun = 0;
  const { stream, say, answers } = world(async (_request, response) => {
    begun++;
    await null;
    response.text('hello\n');
  });
  say(get('/').repeat(SHARE + 2));
  await new Promise(setImmediate);
  t.same([begun, answers(), stream.wantsTurn], [SHARE, SHARE, true]);
  stream.takeTurn();
  await new Promise(setImmediate);
  t.same([begun, answers(), stream.wantsTurn], [SHARE + 2, SHARE + 2, false]);
});

test('what comes while requests wait for their turn is kept behind them', async (t) => {
  const paths: string[] = [];
  const { stream, say } = world((request, response) => {
    paths.push(request.path);
    response.text('');
  });
  say(get('/a').repeat(SHARE + 1));
  say(get('/b'));
  say('GET /c HTTP/1.1\r\n');
  t.equal(paths.length, SHARE);
  stream.takeTurn();
  say('Host: x\r\n\r\n');
  t.same(paths.slice(SHARE - 1), ['/a', '/a', '/b', '/c']);
});

test('of input that waits for its turn so much is kept and no more is read, until there is room', async (t) => {
  const request = get('/');
  const { stream, say, answers } = world(hello, { requestsPerTurn: 1, bodyBufferBytes: 10 * request.length });
  say(request.repeat(10)); // one is answered, nine wait
  t.notOk(stream.isPaused, 'one below the limit');
  say(request);
  t.ok(stream.isPaused, 'at the limit');
  stream.takeTurn();
  t.ok(stream.isPaused, 'nor while more requests wait for a turn than this one has room for');
  while (stream.wantsTurn) stream.takeTurn();
  t.notOk(stream.isPaused);
  t.equal(answers(), 11);
});

test('a client that ends its side while its requests wait is answered, and then the connection closes', async (t) => {
  const { stream, connection, say, answers } = world(hello);
  say(get('/').repeat(SHARE + 1));
  connection.onEnd(stream);
  t.notOk(stream.isClosed);
  stream.takeTurn();
  t.equal(answers(), SHARE + 1);
  t.ok(stream.isClosed);
});

test('a deadline that passes while requests wait for us is not held against the client', async (t) => {
  const { stream, connection, say, answers } = world(hello);
  say(get('/').repeat(SHARE + 1));
  t.notOk(connection.isIdle, 'a server that stops does not close it');
  stream.passDeadline();
  t.notOk(stream.isEnded);
  stream.takeTurn();
  t.equal(answers(), SHARE + 1);
  t.ok(connection.isIdle);
  t.equal(stream.deadlineMs, defaultTimeouts.idleMs, 'and now it is idle');
});

test('part of a request that is left when the turn comes has its deadline', async (t) => {
  const { stream, say } = world(hello);
  say(`${get('/').repeat(SHARE)}GET / HTTP/1.1\r\n`);
  t.ok(stream.wantsTurn);
  stream.takeTurn();
  t.equal(stream.deadlineMs, 10_000);
});

test('an answer that the client is slow to take is waited for first, and then the next requests go on', async (t) => {
  const home = new MemoryCommons(hello, { ...defaultLimits, requestsPerTurn: 2 });
  const stream = new MemoryStream(true);
  const connection = new Connection(home, stream);
  stream.handler = connection;
  connection.onData(stream, Buffer.from(get('/').repeat(5)));
  t.notOk(stream.wantsTurn);
  for (let i = 0; i < 3; i++) stream.drain();
  t.equal(stream.sent.toString().split('hello').length - 1, 5);
});

test('a connection that ends while its requests wait takes its turn in silence', async (t) => {
  const { stream, connection, say, answers } = world(hello);
  say(get('/').repeat(SHARE + 1));
  connection.onClose(stream, null);
  connection.onTurn();
  t.equal(answers(), SHARE);
});

for (const backend of backends) {
  const skip = missingBackend[backend];

  test(`a request that comes with a long pipeline of another client is not behind all of it (${backend})`, {
    skip,
  }, async (t) => {
    const order: string[] = [];
    const server = serve(
      (request, response) => {
        order.push(request.path);
        response.text('');
      },
      { backend },
    );
    t.teardown(() => server.close({ graceMs: 1 }));
    const dial = async (): Promise<Socket> => {
      const socket = connect(portOf(server.address), '127.0.0.1');
      await until(() => !socket.connecting);
      socket.on('error', () => {}).resume();
      return socket;
    };
    const greedy = await dial();
    const polite = await dial();
    for (const socket of [greedy, polite]) socket.write(get('/first'));
    await until(() => order.length === 2);
    // Both lie in the kernel before the loop looks, unless the machine is so busy that its kernel is late.
    greedy.write(get('/greedy').repeat(1_000));
    polite.write(get('/polite'));
    await until(() => order.length === 1_003);
    t.ok(order.indexOf('/polite') - 2 <= 10 * SHARE, `${order.indexOf('/polite') - 2} requests came before it`);
    greedy.destroy();
    polite.destroy();
  });

  test(`a pipeline of asynchronous handlers leaves room for timers (${backend})`, { skip }, async (t) => {
    let begun = 0;
    let begunAtTimer = 0;
    const server = serve(
      async (_request, response) => {
        if (++begun === 1) {
          setImmediate(() => {
            begunAtTimer = begun;
          });
        }
        await null;
        response.text('');
      },
      { backend },
    );
    t.teardown(() => server.close({ graceMs: 1 }));
    const socket = connect(portOf(server.address), '127.0.0.1');
    socket.on('error', () => {}).resume();
    socket.write(get('/').repeat(1_000));
    await until(() => begun === 1_000);
    // Turns that follow each other without Node's loop, each with two parts.
    t.ok(begunAtTimer <= 8 * SHARE, `${begunAtTimer} requests had begun when Node's loop went on`);
    socket.destroy();
  });
}
