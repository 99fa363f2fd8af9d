/**
 * SIGTERM to server.ts while clients ask as fast as they think: which requests get no answer.
 *
 * A request is lost where our kernel had all of it before the server sent FIN, and no answer came. The clients find that out by
 * themselves: on loopback a FIN arrives within the call that sends it, so a client that sees none right before it sends is in time.
 * A client that is refused, or that meets the end before it has sent, has lost nothing.
 */

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fieldOf, ResponseReader } from '../../benchmarks/response-reader.ts';
import {
  abi,
  createEventLoop,
  type EventLoop,
  type InternetAddress,
  NetSocket,
  type OptionTarget,
  type Stream,
  type StreamHandler,
} from '../../simplenet/index.ts';
import { Random } from '../simulation/random.ts';
import { buildFolder, Program, plainEnvironment } from '../support/programs.ts';
import type { Attack, AttackOptions, Finding } from './attack.ts';

const REQUEST = Buffer.from('GET /hello/world HTTP/1.1\r\nHost: x\r\n\r\n');
const MAX_THINKING_MS = 50;
const PIPELINE = 8;
/** How long clients ask before SIGTERM, and how long they may take to notice the end. */
const LOAD_MS = 150;
const PATIENCE_MS = 15_000;

/** What server.ts allows answers under way. */
const GRACE_MS = 10_000;

interface Sizes {
  readonly stops: number;
  readonly requests: number;
}

const sizes: Record<AttackOptions['size'], Sizes> = {
  short: { stops: 2, requests: 500 },
  full: { stops: 100, requests: 100_000 },
};

interface Kind {
  readonly clients: number;
  /** How many requests a client sends before it waits for their answers. */
  readonly pipeline: number;
  /** Whether each request has a connection of its own, which is silent for a moment at first. */
  readonly isFresh: boolean;
}

const kinds: Record<string, Kind> = {
  'keep-alive': { clients: 100, pipeline: 1, isFresh: false },
  'pipelined by 8': { clients: 30, pipeline: PIPELINE, isFresh: false },
  fresh: { clients: 60, pipeline: 1, isFresh: true },
};

/** What all clients of a kind have seen. */
class Tally {
  answered = 0;
  lost = 0;
  /** Not even connected: the client learns at once that it must go elsewhere. */
  refused = 0;
  /** Connected, and ended before it had sent anything. */
  reset = 0;
  wrong = 0;
}

interface Setting {
  readonly loop: EventLoop;
  readonly address: InternetAddress;
  readonly random: Random;
}

/** Sends requests, waits for the responses, pauses, and starts again, until a response says close or the connection ends. */
class Client implements StreamHandler {
  isOver = false;
  readonly #setting: Setting;
  readonly #kind: Kind;
  readonly #tally: Tally;
  #socket: NetSocket | null = null;
  #stream: Stream;
  #reader: ResponseReader;
  #isOpen = false;
  #waitsFor = 0;
  #isTold = false;

  constructor(setting: Setting, kind: Kind, tally: Tally) {
    this.#setting = setting;
    this.#kind = kind;
    this.#tally = tally;
    this.#reader = this.#newReader();
    this.#stream = this.#connect();
  }

  onOpen(): void {
    this.#isOpen = true;
    if (this.#setting.random.chance(0.5)) this.#ask();
    else this.#askLater();
  }

  onData(stream: Stream, bytes: Buffer): void {
    this.#reader.push(bytes);
    if (this.#waitsFor > 0) return;
    if (this.#isTold || this.#kind.isFresh) stream.close();
    else this.#askLater();
  }

  onEnd(stream: Stream): void {
    stream.close();
  }

  /** The program may be busy elsewhere: a request is lost only if it was sent. */
  onClose(): void {
    if (!this.#isOpen) this.#tally.refused++;
    else if (this.#waitsFor > 0) this.#tally.lost += this.#waitsFor;
    this.isOver = this.#isTold || !this.#kind.isFresh || !this.#isOpen;
    if (this.isOver) return;
    this.#isOpen = false;
    this.#waitsFor = 0;
    this.#reader = this.#newReader();
    this.#stream = this.#connect();
  }

  #connect(): Stream {
    const control = (socket: OptionTarget) => {
      if (socket instanceof NetSocket) this.#socket = socket;
    };
    const stream = this.#setting.loop.connect(this.#setting.address, this, { noDelay: true, control });
    stream.setDeadline(PATIENCE_MS);
    return stream;
  }

  #newReader(): ResponseReader {
    return new ResponseReader(({ status, head }) => {
      this.#waitsFor--;
      this.#tally.answered++;
      if (status !== 200) this.#tally.wrong++;
      if (fieldOf(head, 'connection') === 'close') this.#isTold = true;
    });
  }

  #askLater(): void {
    const stream = this.#stream;
    setTimeout(() => {
      if (stream === this.#stream) this.#ask();
    }, this.#setting.random.below(MAX_THINKING_MS));
  }

  #ask(): void {
    const stream = this.#stream;
    if (stream.isEnded || this.#socket?.tryPeek() !== -abi.EAGAIN) {
      // The server has ended it before anything was sent: this machine was so busy that the client has come too late.
      if (this.#kind.isFresh && !stream.isEnded) this.#tally.reset++;
      this.isOver = true;
      stream.close();
      return;
    }
    this.#waitsFor = this.#kind.pipeline;
    stream.write(Buffer.concat(Array.from({ length: this.#kind.pipeline }, () => REQUEST)));
  }
}

interface Stop {
  readonly code: number | null;
  readonly tookMs: number;
}

async function stopOnce(host: string, backend: string, random: Random, tallies: Record<string, Tally>): Promise<Stop> {
  const args = [join(buildFolder, 'server.js'), '--host', host, '--port', '0', '--backend', backend];
  const server = new Program(process.execPath, args, { env: plainEnvironment() });
  const loop = createEventLoop({ backend: 'epoll' });
  try {
    const [, port] = await server.prints(/Listening on http:\/\/\S+:(\d+)\./);
    const setting: Setting = { loop, address: { address: host, port: Number(port) }, random };
    const clients = Object.entries(kinds).flatMap(([name, kind]) =>
      Array.from({ length: kind.clients }, () => new Client(setting, kind, tallies[name] as Tally)),
    );
    await sleep(LOAD_MS);
    const signalledAt = performance.now();
    server.kill('SIGTERM');
    const { code } = await server.ends();
    const tookMs = performance.now() - signalledAt;
    const giveUpAt = performance.now() + PATIENCE_MS;
    while (!clients.every(({ isOver }) => isOver)) {
      if (performance.now() > giveUpAt) throw new Error('a client has not noticed that the server has gone');
      await sleep(5);
    }
    return { code, tookMs };
  } finally {
    server.kill();
    loop.close();
  }
}

export const attack: Attack = {
  title: 'SIGTERM under load: requests that the kernel has received and that get no response',

  async run({ backend, size }): Promise<readonly Finding[]> {
    const { stops, requests } = sizes[size];
    const random = new Random(1);
    const tallies: Record<string, Tally> = {};
    for (const name of Object.keys(kinds)) tallies[name] = new Tally();
    const answered = () => Object.values(tallies).reduce((sum, tally) => sum + tally.answered, 0);
    const done: Stop[] = [];
    while (done.length < stops || answered() < requests) {
      done.push(await stopOnce(done.length % 2 === 0 ? '127.0.0.1' : '::1', backend, random, tallies));
    }
    const findings: Finding[] = [];
    for (const [name, tally] of Object.entries(tallies)) {
      findings.push({ what: `${name}: answered`, value: tally.answered, atMost: Number.POSITIVE_INFINITY });
      findings.push({ what: `${name}: lost`, value: tally.lost, atMost: 0 });
      findings.push({ what: `${name}: answered with an error`, value: tally.wrong, atMost: 0 });
    }
    const { refused, reset } = tallies.fresh as Tally;
    return [
      ...findings,
      { what: 'fresh: refused', value: refused, atMost: Number.POSITIVE_INFINITY },
      { what: 'fresh: ended before they had sent anything', value: reset, atMost: Number.POSITIVE_INFINITY },
      { what: 'stops', value: done.length, atMost: Number.POSITIVE_INFINITY },
      { what: 'exit codes that are not 0', value: done.filter(({ code }) => code !== 0).length, atMost: 0 },
      {
        what: 'slowest exit in ms',
        value: Math.round(Math.max(...done.map(({ tookMs }) => tookMs))),
        atMost: GRACE_MS,
      },
    ];
  },
};
