/**
 * A server that is full, or that has no descriptor left, on the real kernel and either loop: the longest idle connection makes room for
 * a new one, and a request is never lost by that.
 */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type Test, test } from 'tap';
import { type Handler, type ServeOptions, type Server, serve } from '../../../http/index.ts';
import { NetSocket, portOf } from '../../../simplenet/index.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { Program } from '../../support/programs.ts';
import { until } from '../../support/waiting.ts';

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;

class Client {
  readonly socket: Socket;
  text = '';
  isClosed = false;

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('error', () => {});
    this.socket.setEncoding('latin1').on('data', (piece: string) => {
      this.text += piece;
    });
    this.socket.on('close', () => {
      this.isClosed = true;
    });
  }

  /** Sends a request, and waits for its response. */
  async asks(path = '/'): Promise<this> {
    const { length } = this.text;
    this.socket.write(get(path));
    await until(() => this.text.length > length || this.isClosed);
    return this;
  }

  get isAnswered(): boolean {
    return /200 OK/.test(this.text);
  }
}

for (const backend of backends) {
  const skip = missingBackend[backend];
  /** Responds to /wait when `goOn` is called. */
  const serving = (t: Test, options: ServeOptions) => {
    const waiting: (() => void)[] = [];
    const handler: Handler = (request, response) => {
      if (request.path === '/upload') return request.bytes().then(() => response.text('thanks'));
      if (request.path === '/wait') waiting.push(() => response.text('late'));
      else response.text('hello');
      return undefined;
    };
    const clients: Client[] = [];
    const server: Server = serve(handler, { backend, ...options });
    t.teardown(async () => {
      for (const { socket } of clients) socket.destroy();
      await server.close({ graceMs: 1 });
    });
    const dial = () => {
      const client = new Client(portOf(server.address));
      clients.push(client);
      return client;
    };
    /** A client that is served at last: the responses of the others must have had time to arrive. */
    const served = async () => {
      for (;;) {
        const client = await dial().asks();
        if (client.isAnswered) return client;
      }
    };
    return { server, dial, served, waiting };
  };

  test(`at n connections none closes; at n + 1 the longest idle one does (${backend})`, { skip }, async (t) => {
    for (const timeouts of [{}, { idleMs: Number.POSITIVE_INFINITY, headerMs: Number.POSITIVE_INFINITY }]) {
      const { server, dial, served } = serving(t, { limits: { connections: 3 }, timeouts });
      const first = await dial().asks();
      const second = await dial().asks();
      const third = await dial().asks();
      await first.asks(); // now the second has been idle for longest
      t.equal(server.connectionCount, 3);
      t.notOk(first.isClosed || second.isClosed || third.isClosed);
      const fourth = await served();
      await until(() => second.isClosed);
      t.notOk(first.isClosed || third.isClosed || fourth.isClosed);
      t.equal(server.connectionCount, 3);
      const fifth = await served();
      await until(() => third.isClosed);
      t.ok(fifth.isAnswered && fourth.isAnswered);
      t.notOk(first.isClosed);
    }
  });

  for (const [what, begin] of [
    ['head', 'GET / HTTP/1.1\r\nHost:'],
    ['body', 'POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\nbegin'],
  ] as const) {
    test(`a client that sends its ${what} slowly makes room, and one whose handler is at work does not (${backend})`, {
      skip,
    }, async (t) => {
      const { server, dial, served, waiting } = serving(t, { limits: { connections: 2 } });
      const atWork = dial();
      atWork.socket.write(get('/wait'));
      await until(() => waiting.length === 1);
      const startedAt = performance.now();
      const slow = dial();
      slow.socket.write(begin);
      await until(() => server.connectionCount === 2);
      const other = await served();
      t.ok(performance.now() - startedAt > 900, 'those that came in the first second were turned away');
      await until(() => slow.isClosed);
      t.match(slow.text, /^HTTP\/1\.1 408 /);
      t.notOk(atWork.isClosed || other.isClosed);
      t.equal(server.connectionCount, 2);
      t.equal(server.commons.door.counts.evicted, 1);
      waiting[0]?.();
      await until(() => atWork.isAnswered);
    });
  }

  test(`while the server stops, an idle connection keeps its grace, and the new one closes (${backend})`, {
    skip,
  }, async (t) => {
    const { server, dial } = serving(t, { limits: { connections: 1 } });
    const idle = await dial().asks();
    const late = NetSocket.connectTo(server.address); // it waits for the handshake alone, so the server has not accepted it yet
    late.setNonBlocking(true);
    t.teardown(() => late.close());
    const stopped = server.close({ idleGraceMs: 200 });
    await until(() => late.tryRead(Buffer.alloc(1)) === 0);
    t.equal(idle.isClosed, false);
    await idle.asks();
    t.match(idle.text, /Connection: close/, 'its last request is served');
    idle.socket.end();
    await stopped;
  });

  test(`silent clients lose their places to those that ask (${backend})`, { skip }, async (t) => {
    const { server, dial } = serving(t, { limits: { connections: 2 } });
    const silent = [dial(), dial()];
    await until(() => server.connectionCount === 2);
    t.ok((await dial().asks()).isAnswered, 'at once');
    t.ok((await dial().asks()).isAnswered);
    await until(() => silent.every(({ isClosed }) => isClosed));
    t.equal(server.connectionCount, 2);
  });

  test(`if none is idle, the new one closes, and those at work go on (${backend})`, { skip }, async (t) => {
    const { server, dial, served, waiting } = serving(t, { limits: { connections: 2 } });
    const atWork = dial();
    const incomplete = dial();
    atWork.socket.write(get('/wait'));
    incomplete.socket.write('GET / HT');
    await until(() => waiting.length === 1 && server.connectionCount === 2);
    await incomplete.asks('/a'); // a malformed head ends it
    await until(() => incomplete.isClosed && server.connectionCount === 1);
    const other = dial();
    other.socket.write(get('/wait'));
    await until(() => waiting.length === 2);
    const refused = await dial().asks();
    t.ok(refused.isClosed && !refused.isAnswered);
    for (const respond of waiting) respond();
    await until(() => atWork.isAnswered && other.isAnswered);
    t.ok(await served(), 'and now one of them is idle');
  });

  test(`while the server stops, an idle connection keeps its grace, and the new one closes (${backend})`, {
    skip,
  }, async (t) => {
    const { server, dial } = serving(t, { limits: { connections: 1 } });
    const idle = await dial().asks();
    const late = dial();
    await new Promise(process.nextTick); // now the kernel has connected it, and the server has not looked yet
    void server.close({ idleGraceMs: 1_000 });
    await late.asks();
    t.ok(late.isClosed && !late.isAnswered);
    t.notOk(idle.isClosed);
    t.equal((await idle.asks()).text.match(/200 OK/g)?.length, 2);
  });

  test(`without descriptors the longest idle connections close: each client is served (${backend})`, {
    skip,
  }, async (t) => {
    const program = Program.script(`
      const { serve } = await import(build + '/http/index.js');
      const { libc, abi } = await import(build + '/simplenet/index.js');
      const server = serve((request, response) => response.text('hello'), { backend: '${backend}' });
      const limit = Buffer.alloc(16);
      libc.getrlimit(abi.RLIMIT_NOFILE, limit);
      limit.writeBigUInt64LE(64n, 0);
      if (libc.setrlimit(abi.RLIMIT_NOFILE, limit) < 0) throw new Error('setrlimit');
      console.log('listening on ' + server.port);
    `);
    t.teardown(() => program.kill());
    const [, port] = await program.prints(/listening on (\d+)\n/);
    const clients: Client[] = [];
    for (let i = 0; i < 150; i++) clients.push(await new Client(Number(port)).asks());
    t.ok(
      clients.every(({ isAnswered }) => isAnswered),
      'all have their response',
    );
    await until(() => clients.slice(0, 80).every(({ isClosed }) => isClosed));
    t.notOk(clients.at(-1)?.isClosed, 'the last ones stay open');
    t.same(
      clients.map(({ isClosed }) => isClosed),
      clients.map(({ isClosed }) => isClosed).sort((a, b) => Number(b) - Number(a)),
      'in the order in which they became idle',
    );
    for (const { socket } of clients) socket.destroy();
    await Promise.all(clients.map(async ({ socket, isClosed }) => isClosed || once(socket, 'close')));
  });
}
