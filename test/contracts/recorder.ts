/**
 * A stream handler that records its callbacks, and records a complaint about each forbidden one: a callback within a call of the
 * program, a second onClose, any callback after it.
 */

import type { SystemError } from '../../simplenet/kernel/system-error.ts';
import type { Stream, StreamHandler } from '../../simplenet/loop/event-loop.ts';

export class Recorder implements Required<StreamHandler> {
  stream: Stream | null = null;
  readonly chunks: Buffer[] = [];
  readonly complaints: string[] = [];
  byteLength = 0;
  opens = 0;
  ends = 0;
  drains = 0;
  timeouts = 0;
  turns = 0;
  closes = 0;
  error: SystemError | null = null;
  readonly endsAtBreak: boolean;
  #depth = 0;
  readonly #reaction: Partial<StreamHandler>;

  /** `reaction` is what to do besides remembering. */
  constructor(reaction: Partial<StreamHandler> = {}) {
    this.#reaction = reaction;
    this.endsAtBreak = reaction.endsAtBreak ?? false;
  }

  get received(): Buffer {
    return Buffer.concat(this.chunks);
  }

  get isClosed(): boolean {
    return this.closes > 0;
  }

  /** Runs calls of the program, during which no callback may come. */
  calling<T>(calls: () => T): T {
    this.#depth++;
    try {
      return calls();
    } finally {
      this.#depth--;
    }
  }

  onOpen(stream: Stream): void {
    this.#note('onOpen', stream);
    this.opens++;
    this.calling(() => this.#reaction.onOpen?.(stream));
  }

  onData(stream: Stream, bytes: Buffer): void {
    this.#note('onData', stream);
    if (bytes.length === 0) this.complaints.push('onData without data');
    if (this.ends > 0) this.complaints.push('onData after onEnd');
    this.chunks.push(Buffer.from(bytes));
    this.byteLength += bytes.length;
    this.calling(() => this.#reaction.onData?.(stream, bytes));
  }

  onEnd(stream: Stream): void {
    this.#note('onEnd', stream);
    this.ends++;
    this.calling(() => (this.#reaction.onEnd === undefined ? stream.end() : this.#reaction.onEnd(stream)));
  }

  onDrain(stream: Stream): void {
    this.#note('onDrain', stream);
    if (stream.queuedBytes > 0) this.complaints.push('onDrain with bytes still queued');
    this.drains++;
    this.calling(() => this.#reaction.onDrain?.(stream));
  }

  onTurn(stream: Stream): void {
    this.#note('onTurn', stream);
    this.turns++;
    this.calling(() => this.#reaction.onTurn?.(stream));
  }

  onTimeout(stream: Stream): void {
    this.#note('onTimeout', stream);
    this.timeouts++;
    this.calling(() => (this.#reaction.onTimeout === undefined ? stream.close() : this.#reaction.onTimeout(stream)));
  }

  onClose(stream: Stream, error: SystemError | null): void {
    this.#note('onClose', stream);
    this.closes++;
    this.error = error;
    this.calling(() => this.#reaction.onClose?.(stream, error));
  }

  #note(callback: string, stream: Stream): void {
    this.stream ??= stream;
    if (stream !== this.stream) this.complaints.push(`${callback} of another stream`);
    if (this.#depth > 0) this.complaints.push(`${callback} within a call`);
    if (this.closes > 0) this.complaints.push(`${callback} after onClose`);
  }
}
