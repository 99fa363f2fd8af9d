/**
 * What the simulated days have found in the connection, each by itself: a client that one can follow step by step, on a
 * kernel with small buffers and no faults, in simulated time.
 */

import { test } from 'tap';
import type { Handler, ServeOptions } from '../../../http/index.ts';
import { Server } from '../../../http/serve.ts';
import { EpollLoop } from '../../../simplenet/epoll/epoll-loop.ts';
import { AF_INET, MSG_DONTWAIT, SHUT_WR, SOCK_NONBLOCK, SOCK_STREAM } from '../../../simplenet/kernel/abi.ts';
import { encodeSocketAddress } from '../../../simplenet/kernel/socket-address.ts';
import { defaultLoopLimits } from '../../../simplenet/loop/loop-limits.ts';
import { SimulatedHost } from '../../simulation/simulated-host.ts';
import { SimulatedKernel } from '../../simulation/simulated-kernel.ts';

const BUFFER_BYTES = 4_000;
const QUIET_MS = 1;

class Conversation {
  readonly server: Server;
  readonly errors: string[] = [];
  readonly #kernel = new SimulatedKernel({ sendBufferBytes: BUFFER_BYTES, receiveBufferBytes: BUFFER_BYTES });
  readonly #host = new SimulatedHost(this.#kernel);
  readonly #fd: number;

  constructor(handler: Handler, options: ServeOptions = {}) {
    const onError = (error: unknown) => void this.errors.push((error as Error).message);
    const limits = { ...defaultLoopLimits, tickMs: 1, maxQueuedBytes: Number.MAX_SAFE_INTEGER };
    this.server = new Server(
      handler,
      { onError, ...options },
      () => new EpollLoop(this.#kernel.libc, this.#host, limits),
    );
    const address = encodeSocketAddress(this.server.address);
    this.#fd = this.#kernel.peerLibc.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    this.#kernel.peerLibc.connect(this.#fd, address, address.length);
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#host.alarm(ms, resolve));
  }

  /** Sends as much as there is room for, then lets happen what can; answers what is left. */
  async say(text: string): Promise<string> {
    const bytes = Buffer.from(text);
    const sent = this.#kernel.peerLibc.send(this.#fd, bytes, 0, bytes.length, MSG_DONTWAIT);
    await this.pass(QUIET_MS);
    return text.slice(Math.max(0, sent));
  }

  /** What has arrived, and what arrives while it is read. */
  async hear(): Promise<string> {
    const buffer = Buffer.alloc(65_536);
    let heard = '';
    for (;;) {
      const length = this.#kernel.peerLibc.recv(this.#fd, buffer, 0, buffer.length, MSG_DONTWAIT);
      if (length <= 0) return heard;
      heard += buffer.toString('latin1', 0, length);
      await this.pass(QUIET_MS);
    }
  }

  /** Reads at most so many bytes. */
  async take(bytes: number): Promise<void> {
    this.#kernel.peerLibc.recv(this.#fd, Buffer.alloc(bytes), 0, bytes, MSG_DONTWAIT);
  }

  /** The server stands still, and the client sends something meanwhile. */
  stall(ms: number, text: string): void {
    this.#kernel.peerLibc.send(this.#fd, Buffer.from(text), 0, text.length, MSG_DONTWAIT);
    while (this.#kernel.canDeliver) this.#kernel.deliver();
    this.#host.advance(ms);
  }

  halfClose(): Promise<void> {
    this.#kernel.peerLibc.shutdown(this.#fd, SHUT_WR);
    return this.pass(QUIET_MS);
  }

  /** Lets so much time pass, and everything happen that happens meanwhile. */
  async pass(ms: number): Promise<void> {
    let isOver = false;
    this.#host.alarm(ms, () => {
      isOver = true;
    });
    while (!isOver && this.#host.step()) await new Promise(setImmediate);
  }
}

const get = (path: string, fields = '') => `GET ${path} HTTP/1.1\r\nHost: x\r\n${fields}\r\n`;
const post = (length: number, fields = '') =>
  `POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n${fields}\r\n`;

/** Larger than both kernel buffers together: some of it is queued until the client reads. */
const LARGE = 'x'.repeat(3 * BUFFER_BYTES);

/** Has left the server, but not all of it has arrived before the client reads: an RST would destroy the rest. */
const MEDIUM = 'x'.repeat(1.5 * BUFFER_BYTES);

test('a request behind others in a pipeline may take its time before it reads its body', async (t) => {
  const limits = { bodyBufferBytes: 1_000 };
  const talk: Conversation = new Conversation(
    async (request, response) => {
      await talk.sleep(10);
      response.text(`${(await request.text()).length} bytes`);
    },
    { limits },
  );
  await talk.say(get('/first') + post(6_000) + 'b'.repeat(2_000)); // more than is read ahead: the stream is paused
  for (let rest = 'b'.repeat(4_000); rest !== ''; ) rest = await talk.say(rest);
  await talk.pass(100);
  const heard = await talk.hear();
  t.match(heard, /0 bytes.*6000 bytes/s);
  t.same(talk.errors, []);
});

test('a request has to be answered in time, also when the answer before it took some time to leave', async (t) => {
  const talk = new Conversation(
    (request, response) => (request.path === '/large' ? response.text(LARGE) : undefined), //
    { timeouts: { answerMs: 1_000 } },
  );
  await talk.say(get('/large') + get('/never'));
  t.match(await talk.hear(), /^HTTP\/1\.1 200 OK\r\n.*x$/s);
  await talk.pass(900);
  t.equal(await talk.hear(), '');
  await talk.pass(200);
  t.match(await talk.hear(), /^HTTP\/1\.1 503 /);
});

test('a request has to be answered in time, also while its client does not read the answer before it', async (t) => {
  const talk = new Conversation(
    (request, response) => (request.path === '/large' ? response.text(LARGE) : undefined), //
    { timeouts: { answerMs: 1_000, writeMs: 10_000 } },
  );
  await talk.say(get('/large') + get('/never'));
  await talk.pass(1_100);
  t.same(talk.errors, ['no response began within 1000 ms (answerMs)']);
  t.match(await talk.hear(), /x*HTTP\/1\.1 503 /);
});

test('an answer that is begun has no deadline any more, although the client still waits for 100 Continue', async (t) => {
  const talk: Conversation = new Conversation(
    async (_request, response) => {
      await talk.sleep(500);
      await response.write('one');
      await talk.sleep(2_000);
      response.end('two');
    },
    { timeouts: { answerMs: 1_000 } },
  );
  await talk.say('POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n');
  await talk.pass(3_000);
  t.match(await talk.hear(), /^HTTP\/1\.1 200 [\s\S]*one\r\n3\r\ntwo\r\n0\r\n\r\n$/);
  t.same(talk.errors, []);
});

test('half a head behind an answer has its deadline, also when the client was slow to read that answer', async (t) => {
  const talk = new Conversation((_request, response) => response.text(LARGE), {
    timeouts: { headerMs: 1_000, writeMs: 60_000 },
  });
  await talk.say(`${get('/')}GET /half`);
  await talk.pass(2_000);
  t.match(await talk.hear(), /^HTTP\/1\.1 200 OK\r\n.*x$/s, 'the client was reading: that time does not count');
  await talk.pass(900);
  t.equal(await talk.hear(), '');
  await talk.pass(200);
  t.match(await talk.hear(), /^HTTP\/1\.1 408 /);
});

test('a drip of empty lines extends no deadline', async (t) => {
  const talk = new Conversation((_request, response) => response.text('hello\n'), { timeouts: { headerMs: 1_000 } });
  await talk.say('\r\n');
  await talk.pass(900);
  await talk.say('\r\n');
  await talk.pass(50);
  t.equal(talk.server.connectionCount, 1);
  await talk.pass(100);
  t.equal(talk.server.connectionCount, 0);
});

test('a head that begins behind empty lines while the server stops has as long as any other', async (t) => {
  const talk = new Conversation((_request, response) => response.text('hello\n'), { timeouts: { headerMs: 1_000 } });
  await talk.say(get('/'));
  const closed = talk.server.close({ graceMs: 10_000, idleGraceMs: 50 });
  await talk.say('\r\n');
  const [begin, end] = ['GET /late HTTP/1.1\r\n', 'Host: x\r\n\r\n'];
  await talk.say(begin);
  await talk.pass(500);
  await talk.say(end);
  t.match(await talk.hear(), /^HTTP\/1\.1 200 .*HTTP\/1\.1 200 .*Connection: close.*hello\n$/s);
  await talk.halfClose();
  await closed;
});

test('write() waits for what has not left yet, also within the turn of the request', async (t) => {
  let written = 0;
  const talk = new Conversation(
    async (_request, response) => {
      for (; written < 3; written++) await response.write(LARGE);
      response.end();
    },
    { limits: { answerBufferBytes: 1_000 } },
  );
  await talk.say(get('/'));
  t.equal(written, 0, 'no byte has been read yet');
  const heard = await talk.hear();
  t.equal(written, 3);
  t.match(heard, /\r\n0\r\n\r\n$/);
});

test('what is queued of the answer before is not held against the first piece of the next', async (t) => {
  const talk = new Conversation(
    (request, response) => {
      if (request.path === '/large') response.text(LARGE);
      else void Promise.resolve().then(() => response.write('a piece').then(() => response.end()));
    },
    { limits: { answerBufferBytes: 1_000 } },
  );
  await talk.say(get('/large') + get('/stream'));
  t.match(await talk.hear(), /a piece\r\n0\r\n\r\n$/);
});

test('the last response reaches a client that is still sending a body that is dropped', async (t) => {
  const talk = new Conversation((_request, response) => response.status(403).text(`${MEDIUM}no\n`));
  await talk.say(post(100_000, 'Connection: close\r\n'));
  for (let i = 0; i < 5; i++) await talk.say('b'.repeat(1_000));
  t.match(await talk.hear(), /^HTTP\/1\.1 403 .*no\n$/s);
});

test('an answer that completes while the server stops reaches a client that has asked for more', async (t) => {
  const talk: Conversation = new Conversation(async (_request, response) => {
    await response.write(`a beginning${MEDIUM}`);
    await talk.sleep(100);
    response.end(', and an end');
  });
  await talk.say(get('/'));
  const closed = talk.server.close();
  await talk.pass(100);
  await talk.say(get('/more'));
  const heard = await talk.hear();
  await talk.pass(100);
  const answer = /a beginningx*\r\nc\r\n, and an end\r\n0\r\n\r\n/.source;
  t.match(
    heard + (await talk.hear()),
    new RegExp(`^HTTP/1.1 200 OK\r\n.*${answer}HTTP/1.1 200 OK\r\n.*Connection: close\r\n.*${answer}$`, 's'),
  );
  await talk.halfClose();
  await closed;
});

test('a stream that is closed as it is handed over only gets onClose', async (t) => {
  const calls: string[] = [];
  const talk: Conversation = new Conversation(async (_request, response) => {
    await talk.sleep(100);
    response.upgrade('other', (stream) => {
      stream.close();
      return {
        onData: () => calls.push('data'),
        onEnd: () => calls.push('end'),
        onClose: () => calls.push('close'),
      };
    });
  });
  await talk.say(get('/', 'Connection: Upgrade\r\nUpgrade: other\r\n'));
  await talk.halfClose();
  await talk.pass(200);
  t.same(calls, ['close']);
});

test('a pipeline of small uploads is not read further ahead with each of them', async (t) => {
  const limits = { bodyBufferBytes: 1_000 };
  const talk: Conversation = new Conversation(
    async (request, response) => {
      await request.text();
      await talk.sleep(1_000);
      response.empty();
    },
    { limits },
  );
  const pipeline = `${post(1)}b`.repeat(2_000);
  let rest = pipeline;
  for (let i = 0; i < 500; i++) {
    rest = await talk.say(rest);
    await talk.pass(20);
  }
  const answers = (await talk.hear()).split('HTTP/1.1 204').length - 1;
  t.ok(answers >= 9, `${answers} answers`);
  const sent = pipeline.length - rest.length;
  t.ok(sent < 2 * BUFFER_BYTES + BUFFER_BYTES + 1_000 + 1_000, `${sent} bytes were taken`);
});

/** Larger than what leaves before its client reads, by much. */
const HUGE = 'x'.repeat(100 * BUFFER_BYTES);

const patient = { bodyMs: 300_000, bodyGraceMs: 5_000, bodyMinBytesPerSecond: 1, writeMs: 30_000 };

test('a client that drips its body and reads nothing of the answer is given up after writeMs', async (t) => {
  const talk = new Conversation((_request, response) => void response.write(HUGE), { timeouts: patient });
  await talk.say(post(10_000));
  for (let second = 1; second < 30; second++) {
    await talk.say('b'.repeat(10));
    await talk.pass(1_000);
    t.equal(talk.server.connectionCount, 1, `after ${second} s`);
  }
  await talk.pass(2_000);
  t.equal(talk.server.connectionCount, 0);
});

test('a client that drips its body and reads the answer slowly is not', async (t) => {
  const talk = new Conversation((_request, response) => void response.write(HUGE), { timeouts: patient });
  await talk.say(post(10_000));
  for (let second = 1; second < 120; second++) {
    await talk.say('b');
    await talk.pass(1_000);
    await talk.take(1_000);
  }
  t.equal(talk.server.connectionCount, 1);
});

test('a client without a limit on its time gets its response', async (t) => {
  const timeouts = { writeMs: Number.POSITIVE_INFINITY };
  const talk = new Conversation((_request, response) => response.text(HUGE), { timeouts });
  await talk.say(get('/'));
  await talk.pass(24 * 3_600_000);
  t.equal(talk.server.connectionCount, 1);
  t.equal(talk.server.commons.minimumProgress, null, 'and the kernel is not asked how much it has taken');
  t.match(await talk.hear(), /^HTTP\/1\.1 200 .*x{100}$/s);
});

test('readers of so many bytes a second, at the limit and just below it', async (t) => {
  for (const [bytesPerSecond, isKept] of [
    [240, true],
    [239, false],
  ] as const) {
    const talk = new Conversation((_request, response) => response.text(HUGE));
    await talk.say(get('/'));
    await talk.pass(1_000); // up to here the kernel may have taken more than the client
    for (let second = 1; second < 100; second++) {
      await talk.take(bytesPerSecond);
      await talk.pass(1_000);
    }
    t.equal(talk.server.connectionCount, isKept ? 1 : 0, `${bytesPerSecond} bytes/s`);
  }
});

test('a stall in the middle of a body is not held against its client', async (t) => {
  const timeouts = { bodyGraceMs: 1_000, bodyMs: 10_000, bodyMinBytesPerSecond: 1_000 };
  const talk = new Conversation(async (request, response) => response.text(await request.text()), { timeouts });
  await talk.say(post(4_000));
  await talk.say('b'.repeat(1_000));
  await talk.pass(500);
  talk.stall(3_600_000, 'b'.repeat(1_000));
  await talk.pass(200);
  await talk.say('b'.repeat(2_000));
  t.match(await talk.hear(), /^HTTP\/1\.1 200 .*b{4000}$/s);
});

test('nor is a stall before the handler reads on', async (t) => {
  const timeouts = { bodyGraceMs: 1_000, bodyMs: 1_001 };
  const talk = new Conversation(
    async (request, response) => {
      let bytes = 0;
      for await (const chunk of request.body) {
        if (bytes === 0) talk.stall(3_600_000, 'b'.repeat(3_000));
        bytes += chunk.length;
      }
      response.text(`${bytes} bytes`);
    },
    { timeouts },
  );
  await talk.say(`${post(4_000)}${'b'.repeat(1_000)}`);
  await talk.pass(200);
  t.match(await talk.hear(), /^HTTP\/1\.1 200 .*4000 bytes$/s);
});
