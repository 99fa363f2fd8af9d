/**
 * CompressionStage: a transform that compresses in pieces, and waits for its turn in the thread pool of Node.
 *
 * node:zlib works in that pool, which has four threads for all files, all names and all compression of a process. So a Gate lets few pieces in at a time, and
 * a large body goes through it in slices: others come between them.
 *
 * What is written while a piece is compressed waits, and goes on as one piece. A client can decode all that has been written when nothing waits any more.
 *
 * Next: compression.ts
 */

import { Duplex, type Transform } from 'node:stream';
import type { Gate } from '../gate.ts';

/** A slice takes about a millisecond. */
const MAX_SLICE_BYTES = 65_536;

type Done = (error?: Error | null) => void;

export class CompressionStage extends Duplex {
  readonly #engine: Transform;
  readonly #gate: Gate;
  #isInside = false;
  /** The reader wants no more for now. */
  #isFull = false;
  #whenRoom: (() => void) | null = null;

  constructor(engine: Transform, gate: Gate) {
    super();
    this.#engine = engine;
    this.#gate = gate;
    engine.on('data', (bytes: Buffer) => {
      if (!this.push(bytes)) this.#isFull = true;
    });
    engine.on('end', () => this.push(null));
    engine.on('error', (error) => this.destroy(error));
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#compress(bytes, 0, done);
  }

  override _writev(pieces: { chunk: Buffer }[], done: Done): void {
    this.#compress(Buffer.concat(pieces.map(({ chunk }) => chunk)), 0, done);
  }

  override _final(done: Done): void {
    this.#pass((leave) =>
      this.#engine.end(() => {
        leave();
        done();
      }),
    );
  }

  override _read(): void {
    this.#isFull = false;
    const go = this.#whenRoom;
    this.#whenRoom = null;
    go?.();
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#whenRoom = null;
    this.#engine.destroy();
    this.#leave();
    done(error);
  }

  #compress(bytes: Buffer, from: number, done: Done): void {
    const to = Math.min(bytes.length, from + MAX_SLICE_BYTES);
    this.#pass((leave) =>
      this.#engine.write(bytes.subarray(from, to), () => {
        leave();
        const goOn = () => (to < bytes.length ? this.#compress(bytes, to, done) : done());
        if (this.#isFull) this.#whenRoom = goOn;
        else goOn();
      }),
    );
  }

  /** Runs a job of the pool when it is its turn. */
  #pass(job: (leave: () => void) => void): void {
    this.#gate.enter(() => {
      this.#isInside = true;
      if (this.destroyed) this.#leave();
      else job(() => this.#leave());
    });
  }

  /** It has left already if it was destroyed meanwhile. */
  #leave(): void {
    if (!this.#isInside) return;
    this.#isInside = false;
    this.#gate.leave();
  }
}
