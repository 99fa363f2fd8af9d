/**
 * Messages: what the supervisor and a worker say to each other, over the channel that Node gives a child process.
 *
 * A channel has no backpressure: what the other process does not read waits in memory. So `Channel` counts what has not been taken yet, and drops messages
 * between workers above a limit. Orders, of which there are few, are never dropped.
 *
 * Next: shared-memory.ts
 */

import type { TlsOptions } from '../../simplenet/index.ts';
import type { CloseOptions, ServeOptions } from '../serve-options.ts';

/** Where the worker finds what it inherits: the memory, and from FIRST_LISTENER_FD on its listening sockets. 3 is the channel. */
export const MEMORY_FD = 4;
export const FIRST_LISTENER_FD = 5;

export interface StartOrder {
  readonly kind: 'start';
  readonly index: number;
  /** How many workers share the memory. */
  readonly count: number;
  /** How many listening sockets there are. */
  readonly listeners: number;
  /** One more socket follows them: that of plain HTTP, for `redirectFrom`. */
  readonly redirects: boolean;
  /** And one more: that of the port of the metrics. */
  readonly watches: boolean;
  /** The URL of the module. */
  readonly module: string;
  readonly options: ServeOptions;
  readonly beatMs: number;
}

/** Of which sockets a process that stops is the last user: no other one goes on listening there. */
export interface LastUse {
  readonly ofSite: boolean;
  readonly ofMetrics: boolean;
}

export interface StopOrder {
  readonly kind: 'stop';
  readonly close: CloseOptions;
  readonly last: LastUse;
}

export const NOT_LAST: LastUse = { ofSite: false, ofMetrics: false };

/** The supervisor will send a `stop`. Until then the worker goes on, and its /readyz says so. */
export interface NoticeOrder {
  readonly kind: 'notice';
}

/** What the worker has told lately. */
export interface Vitals {
  readonly rssBytes: number;
  readonly connections: number;
  readonly busy: number;
}

export type ToWorker =
  | StartOrder
  | StopOrder
  | NoticeOrder
  | { readonly kind: 'tls'; readonly tls: TlsOptions }
  | { readonly kind: 'told'; readonly subject: string; readonly message: unknown }
  | { readonly kind: 'asked'; readonly id: number; readonly subject: string }
  | { readonly kind: 'answers'; readonly id: number; readonly values: readonly unknown[] };

export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly message: string; readonly exitCode: number }
  | ({ readonly kind: 'alive' } & Vitals)
  | { readonly kind: 'leaving' }
  | { readonly kind: 'tell'; readonly subject: string; readonly message: unknown }
  /** `tally`: the question is for tallies, and this is that of the worker itself. */
  | { readonly kind: 'ask'; readonly id: number; readonly subject: string; readonly tally?: unknown }
  /** The last one. */
  | { readonly kind: 'tally'; readonly subject: string; readonly tally: unknown }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown };

/** Messages between workers that wait for one process to read them, and their bytes. */
export const MAX_WAITING_MESSAGES = 1_000;
export const MAX_WAITING_BYTES = 64 * 1024 ** 2;

/** What a number, or an object without what is in it, counts for. */
const WORD_BYTES = 8;

/** About how many bytes a value takes: its texts and buffers, whatever holds them. */
export function weightOf(value: unknown, seen = new Set<object>()): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null || seen.has(value)) return WORD_BYTES;
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return value.byteLength;
  seen.add(value);
  const parts =
    value instanceof Map ? [...value].flat() : value instanceof Set ? [...value] : Object.entries(value).flat();
  return parts.reduce((bytes: number, part) => bytes + weightOf(part, seen), WORD_BYTES);
}

/** What can send to another process: a ChildProcess, or `process` of one. */
export interface Sender {
  readonly connected: boolean;
  send?(message: object, callback: (error: Error | null) => void): boolean;
}

export class Channel<Message extends object> {
  readonly #sender: Sender;
  #waiting = 0;
  #waitingBytes = 0;
  #whenDrained = () => {};

  constructor(sender: Sender) {
    this.#sender = sender;
  }

  /** Sends, or does nothing if the other process has gone: its end is noticed by other means. Throws if the message cannot be cloned. */
  order(message: Message, bytes = 0): void {
    if (!this.#sender.connected) return;
    const taken = () => {
      this.#waitingBytes -= bytes;
      if (--this.#waiting === 0) this.#whenDrained();
    };
    this.#waiting++;
    this.#waitingBytes += bytes;
    try {
      this.#sender.send?.(message, taken);
    } catch (error) {
      taken();
      throw error;
    }
  }

  /** Resolves when the other process has read all that was sent, or has gone. */
  drained(): Promise<void> {
    if (this.#waiting === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenDrained = resolve;
    });
  }

  /** Sends, or returns false if the other process is too far behind. `bytes`: the weight of the message. */
  offer(message: Message, bytes = 0): boolean {
    if (this.#waiting >= MAX_WAITING_MESSAGES || this.#waitingBytes + bytes > MAX_WAITING_BYTES) return false;
    this.order(message, bytes);
    return true;
  }
}
