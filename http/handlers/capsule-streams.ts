/**
 * CapsuleStreams: the bytes of a tunnel as capsules and as HTTP datagrams (RFC 9297). In HTTP/1.1 a datagram is a capsule of type 0.
 *
 * One loop reads the tunnel, when one of the two streams is read. Capsules are never dropped, so the loop waits for a program that does not
 * read them; datagrams are dropped above `tunnelBufferBytes`, as the RFC allows it. Capsules that nobody has asked for are skipped.
 *
 * Next: tunnel.ts
 */

import type { TunnelLimits } from '../limits.ts';
import { type Capsule, CapsuleDecoder, DATAGRAM, encodeCapsule } from './capsules.ts';
import { protocolError } from './protocol-error.ts';
import type { TunnelStreams } from './tunnel-streams.ts';

/**
 * A tunnel as capsules: what `tunnel.capsules()` returns.
 *
 * ```ts
 * import type { CapsuleStream, Tunnel } from 'simplenet/http';
 *
 * async function echo(tunnel: Tunnel): Promise<void> {
 *   const { readable, writable }: CapsuleStream = tunnel.capsules();
 *   await readable.pipeTo(writable);
 * }
 * ```
 */
export interface CapsuleStream {
  readonly readable: ReadableStream<Capsule>;
  readonly writable: WritableStream<Capsule>;
}

/**
 * The HTTP datagrams of a tunnel: what `tunnel.datagrams()` returns.
 *
 * ```ts
 * import type { DatagramStream, Tunnel } from 'simplenet/http';
 *
 * async function echo(tunnel: Tunnel): Promise<void> {
 *   const { readable, writable }: DatagramStream = tunnel.datagrams();
 *   await readable.pipeTo(writable);
 * }
 * ```
 */
export interface DatagramStream {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  /** False over TCP: each datagram arrives. */
  readonly unreliable: boolean;
}

type Controller<T> = ReadableStreamDefaultController<T>;

export class CapsuleStreams {
  readonly #tunnel: TunnelStreams;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #decoder: CapsuleDecoder;
  /** How much of each kind may wait for the program. */
  readonly #queueBytes: number;
  #capsules: Controller<Capsule> | null = null;
  #datagrams: Controller<Uint8Array> | null = null;
  #datagramStream: Omit<DatagramStream, 'unreliable'> | null = null;
  #reading: Promise<void> | null = null;
  #resumeReading: () => void = () => {};
  #isOver = false;

  /** Throws if the program holds a reader or a writer of the tunnel. */
  constructor(tunnel: TunnelStreams, { tunnelBufferBytes, capsuleBytes }: TunnelLimits) {
    this.#tunnel = tunnel;
    this.#queueBytes = tunnelBufferBytes;
    this.#decoder = new CapsuleDecoder(capsuleBytes);
    this.#reader = tunnel.readable.getReader();
    this.#writer = tunnel.writable.getWriter();
    tunnel.closed.catch((error: unknown) => this.#fail(error));
  }

  openCapsules(): CapsuleStream {
    const readable = new ReadableStream<Capsule>(
      {
        start: (controller) => {
          this.#capsules = controller;
        },
        pull: (controller) => {
          this.#resumeReading();
          return this.#readUntil(() => (controller.desiredSize ?? 0) < this.#queueBytes);
        },
        cancel: (reason) => this.#reader.cancel(reason),
      },
      { highWaterMark: this.#queueBytes, size: ({ data }) => data.byteLength + 1 },
    );
    const writable = new WritableStream<Capsule>({
      write: ({ type, data }) => this.#writer.write(encodeCapsule(type, data)),
      close: () => this.#writer.close(),
      abort: (reason) => this.#writer.abort(reason),
    });
    return { readable, writable };
  }

  /** Each call returns the same two streams. */
  datagrams(): DatagramStream {
    this.#datagramStream ??= this.#openDatagrams();
    return { ...this.#datagramStream, unreliable: false };
  }

  #openDatagrams(): Omit<DatagramStream, 'unreliable'> {
    const readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#datagrams = controller;
        },
        pull: (controller) => this.#readUntil(() => (controller.desiredSize ?? 0) < this.#queueBytes),
        cancel: () => {
          this.#datagrams = null; // the tunnel goes on: a datagram stream is no part of its end
        },
      },
      { highWaterMark: this.#queueBytes, size: (data) => data.byteLength + 1 },
    );
    const writable = new WritableStream<Uint8Array>({
      write: (data) => this.#writer.write(encodeCapsule(DATAGRAM, data)),
    });
    return { readable, writable };
  }

  async #readUntil(hasMore: () => boolean): Promise<void> {
    while (!hasMore() && !this.#isOver) {
      this.#reading ??= this.#readOnce().finally(() => {
        this.#reading = null;
      });
      await this.#reading;
    }
  }

  async #readOnce(): Promise<void> {
    if (this.#capsules !== null && (this.#capsules.desiredSize as number) <= 0) {
      await new Promise<void>((resolve) => {
        this.#resumeReading = resolve;
      });
    }
    try {
      const { done, value } = await this.#reader.read();
      if (!done) for (const capsule of this.#decoder.push(value)) this.#deliver(capsule);
      else if (this.#decoder.isMidway) {
        throw protocolError('ERR_HTTP_PROTOCOL_ERROR', 'the tunnel ended within a capsule');
      } else this.#end();
    } catch (error) {
      this.#tunnel.destroy(error);
      this.#fail(error);
    }
  }

  #deliver(capsule: Capsule): void {
    if (capsule.type !== DATAGRAM || this.#datagramStream === null) this.#capsules?.enqueue(capsule);
    else if ((this.#datagrams?.desiredSize ?? 0) > 0) this.#datagrams?.enqueue(capsule.data);
  }

  #end(): void {
    this.#isOver = true;
    this.#capsules?.close();
    this.#datagrams?.close();
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#capsules?.error(error);
    this.#datagrams?.error(error);
    this.#resumeReading();
  }
}
