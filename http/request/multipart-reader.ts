/**
 * MultipartReader: gives a handler the parts of a multipart body, one after another, while they arrive.
 *
 * It reads no more of the body than the handler asks for, so a handler that writes a file slowly slows the client down. Asking for the next
 * part skips what is left of the present one. A handler that stops early cancels the body.
 *
 * Calls take turns: a part whose `bytes()` was not awaited is complete before the next part comes.
 *
 * Next: request-body.ts
 */

import type { MultipartEvent, MultipartParser } from '../content/multipart.ts';
import { FormPart, type PartContent, type PartSource } from './form-part.ts';
import { PendingInput } from './pending-input.ts';

/** What the reader asks of the body. */
export interface PartedBody {
  read(): Promise<Buffer | null>;
  /** So many bytes more of the body are kept in memory. */
  keep(byteLength: number): void;
  /** The rest is not wanted. Later reads reject with the reason. */
  cancel(reason?: Error): void;
}

const ignore = () => {};

export class MultipartReader implements PartSource {
  readonly #body: PartedBody;
  readonly #parser: MultipartParser;
  /** The part that can be read now. */
  #current: FormPart | null = null;
  #isCurrentOver = true;
  #failure: Error | null = null;
  /** Settles when the last call has ended. */
  #lastTurn: Promise<void> = Promise.resolve();

  constructor(body: PartedBody, parser: MultipartParser) {
    this.#body = body;
    this.#parser = parser;
  }

  async *parts(): AsyncGenerator<FormPart, void, undefined> {
    let isComplete = false;
    try {
      for (let part = await this.#nextPart(); part !== null; part = await this.#nextPart()) yield part;
      isComplete = true;
    } finally {
      if (!isComplete) this.#body.cancel();
    }
  }

  readPiece(part: FormPart): Promise<Buffer | null> {
    return this.#inTurn(() => this.#readPiece(part));
  }

  readWhole(part: FormPart): Promise<PartContent> {
    return this.#inTurn(() => this.#readWhole(part));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#lastTurn.then(work);
    this.#lastTurn = result.then(ignore, ignore);
    return result;
  }

  #nextPart(): Promise<FormPart | null> {
    return this.#inTurn(async () => {
      while (!this.#isCurrentOver) await this.#nextData();
      const event = await this.#nextEvent();
      this.#current = event?.kind === 'part' ? new FormPart(event.head, this) : null;
      this.#isCurrentOver = this.#current === null;
      return this.#current;
    });
  }

  async #readPiece(part: FormPart): Promise<Buffer | null> {
    this.#check(part);
    return (await this.#nextData())?.bytes ?? null;
  }

  async #readWhole(part: FormPart): Promise<PartContent> {
    this.#check(part);
    const first = await this.#nextData();
    if (first === null) return { bytes: Buffer.alloc(0), offset: 0 };
    const content = new PendingInput(first.bytes, Number.POSITIVE_INFINITY);
    let kept = 0;
    for (let data: PartContent | null = first; data !== null; data = await this.#nextData()) {
      if (data !== first) content.append(data.bytes);
      this.#body.keep(content.capacity - kept);
      kept = content.capacity;
    }
    return { bytes: content.all(), offset: first.offset };
  }

  #check(part: FormPart): void {
    if (part !== this.#current) throw new Error('the part is over: read it before you ask for the next one');
  }

  /** Returns the next bytes of the current part, or null at its end. */
  async #nextData(): Promise<PartContent | null> {
    const event = (await this.#nextEvent()) as MultipartEvent; // not null: a body that ends here is an error
    if (event.kind === 'data') return event;
    this.#isCurrentOver = true;
    return null;
  }

  /** Returns null at the end of the body. After an error it rejects with the same one. */
  async #nextEvent(): Promise<MultipartEvent | null> {
    if (this.#failure !== null) throw this.#failure;
    try {
      for (;;) {
        const event = this.#parser.next();
        if (event !== null) return event;
        const bytes = await this.#body.read();
        if (bytes === null) {
          this.#parser.finish();
          return null;
        }
        this.#parser.feed(bytes);
      }
    } catch (error) {
      this.#failure = error as Error;
      this.#body.cancel(this.#failure);
      throw error;
    }
  }
}
