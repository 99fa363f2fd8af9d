/**
 * Peers: the worker processes that serve the same site, as the code of the site and of this library sees them.
 *
 * This is the whole seam between a worker and the others: a message to all of them, and a question to all of them. Without workers a process is its
 * only peer: what it tells reaches nobody, and it alone answers what it asks. So no caller needs to know whether there are workers. workers/ joins the
 * process to its peers before the module of the site is loaded.
 *
 * Messages are cloned as `structuredClone` does. Order is kept from one peer to another; nothing is kept for a peer that starts later.
 *
 * Next: content/accept.ts
 */

/** What connects this process with its peers. Workers have one. */
export interface PeerLink {
  /** The place of this worker: 0 to n - 1. The worker that replaces it has the same. */
  readonly index: number;
  tell(subject: string, message: unknown): void;
  /** Resolves with the answers of the others that came in time. With a tally, that of this worker, they are the tallies of all others. */
  askOthers(subject: string, tally?: unknown): Promise<readonly unknown[]>;
  /** The last tally of this worker. */
  tally(subject: string, tally: unknown): void;
}

/**
 * Called with what another worker has told.
 *
 * ```ts
 * import { peers, type ToldListener } from 'simplenet/http';
 *
 * const print: ToldListener = (message) => console.log(message);
 * peers.onTold('news', print);
 * ```
 */
export type ToldListener = (message: unknown) => void;

/**
 * The workers of a site, seen by one of them: `peers`.
 *
 * ```ts
 * import { type Peers, peers } from 'simplenet/http';
 *
 * function forgetEverywhere(key: string, all: Peers = peers): void {
 *   all.tell('cache:forget', key);
 * }
 * peers.onTold('cache:forget', (key) => console.log(`forget ${key}`));
 * forgetEverywhere('front page');
 * ```
 */
export class Peers {
  #link: PeerLink | null = null;
  readonly #listeners = new Map<string, Set<ToldListener>>();
  readonly #answers = new Map<string, () => unknown>();

  /** The place of this worker, from 0; null in a process that is no worker. */
  get index(): number | null {
    return this.#link?.index ?? null;
  }

  /** Tells each other worker, soon. Without workers it does nothing. */
  tell(subject: string, message: unknown): void {
    this.#link?.tell(subject, message);
  }

  /** Calls back with each message of another worker about that subject. Returns a function that ends this. */
  onTold(subject: string, listener: ToldListener): () => void {
    const all = this.#listeners.get(subject) ?? new Set();
    this.#listeners.set(subject, all);
    all.add(listener);
    return () => {
      all.delete(listener);
      if (all.size === 0 && this.#listeners.get(subject) === all) this.#listeners.delete(subject);
    };
  }

  /**
   * Asks each worker, and this one. Resolves with their answers, that of this worker first. A worker that does not answer in time, or has no
   * answer to this question, is left out.
   */
  async askAll(subject: string): Promise<readonly unknown[]> {
    const own = this.answer(subject);
    const others = this.#link === null ? [] : await this.#link.askOthers(subject);
    return own === undefined ? others : [own, ...others];
  }

  /**
   * What this worker answers when a worker asks about that subject: a value that can be cloned, at once. A second call replaces the first. Returns a function that
   * ends this.
   */
  onAsked(subject: string, answer: () => unknown): () => void {
    this.#answers.set(subject, answer);
    return () => {
      if (this.#answers.get(subject) === answer) this.#answers.delete(subject);
    };
  }

  // For metrics, and for workers/.

  /**
   * As `askAll`, of what each worker has counted. One that is late answers with its last tally, and those that have ended count, too: a sum of tallies never falls.
   * @internal
   */
  async tallies(subject: string): Promise<readonly unknown[]> {
    const own = this.answer(subject);
    const others = this.#link === null ? [] : await this.#link.askOthers(subject, own);
    return [own, ...others];
  }

  /**
   * As `onAsked`, for `tallies`. When it ends, the tally of that moment is the last one.
   * @internal
   */
  onTallied(subject: string, tally: () => unknown): () => void {
    const forget = this.onAsked(subject, tally);
    return () => {
      this.#link?.tally(subject, tally());
      forget();
    };
  }

  /**
   * Null: it is alone again.
   * @internal
   */
  join(link: PeerLink | null): void {
    this.#link = link;
  }

  /** @internal */
  told(subject: string, message: unknown): void {
    for (const listener of this.#listeners.get(subject) ?? []) listener(message);
  }

  /**
   * Undefined: it has none.
   * @internal
   */
  answer(subject: string): unknown {
    return this.#answers.get(subject)?.();
  }
}

/**
 * The peers of this process.
 *
 * ```ts
 * import { peers } from 'simplenet/http';
 *
 * let requests = 0;
 * peers.onAsked('requests', () => requests);
 * export default async () => {
 *   requests++;
 *   const all = (await peers.askAll('requests')) as readonly number[];
 *   return new Response(`${all.reduce((sum, each) => sum + each)} requests\n`);
 * };
 * ```
 */
export const peers: Peers = new Peers();
