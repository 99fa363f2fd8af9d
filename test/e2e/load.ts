/** Clients that ask without a pause, and remember each request: which instance has answered it, or what went wrong, and when. */

import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly body: string;
}

export interface Question {
  readonly agent: Agent;
  readonly method?: string;
  readonly headers?: Record<string, string>;
}

/** Why there is no answer. */
export class NoAnswer extends Error {
  /** Whether the connection has carried a request before: its other end may have closed it while this one was on its way (RFC 9112 section 9.3.1). */
  readonly isReused: boolean;

  constructor(cause: unknown, isReused: boolean) {
    super(String(cause), { cause });
    this.isReused = isReused;
  }
}

export async function ask(url: string, { agent, method = 'GET', headers = {} }: Question): Promise<Answer> {
  const asked = request(url, { agent, method, headers }).end();
  try {
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    let body = '';
    for await (const piece of response.setEncoding('utf8')) body += piece;
    return { status: response.statusCode as number, body };
  } catch (error) {
    throw new NoAnswer(error, asked.reusedSocket);
  }
}

export interface Failure {
  /** What the request says in X-Id. */
  readonly id: string;
  readonly method: string;
  /** As `performance.now()` tells it. */
  readonly begunAt: number;
  readonly isReused: boolean;
  readonly what: string;
}

/** Each client has a connection that it keeps, for GET, and each time beside it a new one, for GET, POST and PUT. */
const WAYS = ['GET', 'new GET', 'GET', 'new POST', 'GET', 'new PUT'] as const;

/** The instances answer JSON with their `pid`. */
export class Load {
  readonly failures: Failure[] = [];
  /** By process: when it has answered first. */
  readonly #firstAnswers = new Map<number, number>();
  /** By process: how many requests it has answered. */
  readonly #answersOf = new Map<number, number>();
  readonly #inFlight = new Set<string>();
  #answers = 0;
  #isStopping = false;
  readonly #clients: Promise<void>[];

  constructor(url: string, clients = 8) {
    this.#clients = Array.from({ length: clients }, (_, i) => this.#ask(url, i));
  }

  get pids(): ReadonlySet<number> {
    return new Set(this.#answersOf.keys());
  }

  /** The requests that have neither an answer nor an error. */
  get inFlight(): ReadonlySet<string> {
    return new Set(this.#inFlight);
  }

  /** So many more requests are over; returns how many of them each process has answered. */
  async served(count: number): Promise<ReadonlyMap<number, number>> {
    const before = new Map(this.#answersOf);
    const goal = this.#answers + count;
    await this.#until(() => this.#answers >= goal);
    return new Map([...this.#answersOf].map(([pid, answers]) => [pid, answers - (before.get(pid) ?? 0)]));
  }

  /** Resolves with the moment of the first answer of the process. */
  async answeredBy(isTheOne: (pid: number) => boolean): Promise<number> {
    const found = () => [...this.#firstAnswers].find(([pid]) => isTheOne(pid));
    await this.#until(() => found() !== undefined);
    return found()?.[1] as number;
  }

  async stop(): Promise<readonly Failure[]> {
    this.#isStopping = true;
    await Promise.all(this.#clients);
    return this.failures;
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  async #ask(url: string, client: number): Promise<void> {
    const kept = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let i = 0; !this.#isStopping; i++) {
      const [method, isNew] = wayOf(i);
      const id = `${client}-${i}`;
      const begunAt = performance.now();
      this.#inFlight.add(id);
      try {
        const { status, body } = await ask(url, { agent: isNew ? new Agent() : kept, method, headers: { 'X-Id': id } });
        if (status === 200) this.#answered((JSON.parse(body) as { pid: number }).pid);
        else this.failures.push({ id, method, begunAt, isReused: false, what: `${status} ${body}` });
      } catch (error) {
        const { isReused, message } = error as NoAnswer;
        this.failures.push({ id, method, begunAt, isReused, what: message });
      }
      this.#inFlight.delete(id);
      this.#answers++;
    }
    kept.destroy();
  }

  #answered(pid: number): void {
    if (!this.#firstAnswers.has(pid)) this.#firstAnswers.set(pid, performance.now());
    this.#answersOf.set(pid, (this.#answersOf.get(pid) ?? 0) + 1);
  }
}

function wayOf(i: number): readonly [method: string, isNew: boolean] {
  const way = WAYS[i % WAYS.length] as string;
  return [way.replace('new ', ''), way.startsWith('new ')];
}
