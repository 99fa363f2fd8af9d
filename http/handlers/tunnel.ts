/**
 * Tunnel: an accepted CONNECT or upgrade, for the program: two streams of bytes, or capsules, or datagrams.
 *
 * Next: server-context.ts
 */

import type { Stream, StreamHandler } from '../../simplenet/index.ts';
import type { TunnelLimits } from '../limits.ts';
import { type CapsuleStream, CapsuleStreams, type DatagramStream } from './capsule-streams.ts';
import { invalidState } from './exchange-state.ts';
import { TunnelStreams } from './tunnel-streams.ts';

/**
 * A stream of bytes in both directions, which belongs to the program.
 *
 * ```ts
 * import type { Tunnel } from 'simplenet/http';
 *
 * async function echo(tunnel: Tunnel): Promise<void> {
 *   await tunnel.readable.pipeTo(tunnel.writable); // sends back what comes
 * }
 * ```
 */
export class Tunnel {
  readonly #streams: TunnelStreams;
  readonly #limits: TunnelLimits;
  #capsules: CapsuleStreams | null = null;
  #hasCapsules = false;

  private constructor(streams: TunnelStreams, limits: TunnelLimits) {
    this.#streams = streams;
    this.#limits = limits;
  }

  /** @internal Also returns the handler that the stream must get. */
  static over(
    stream: Stream,
    idleMs: number,
    limits: TunnelLimits,
  ): { readonly tunnel: Tunnel; readonly handler: StreamHandler } {
    const handler = new TunnelStreams(stream, idleMs, limits.tunnelBufferBytes);
    return { tunnel: new Tunnel(handler, limits), handler };
  }

  /** What the client sends. Throws once `capsules` or `datagrams` has taken it over. */
  get readable(): ReadableStream<Uint8Array> {
    this.#mustBeRaw();
    return this.#streams.readable;
  }

  /** What the client gets. Closing it ends this side; the other one goes on. Throws once `capsules` or `datagrams` has taken it over. */
  get writable(): WritableStream<Uint8Array> {
    this.#mustBeRaw();
    return this.#streams.writable;
  }

  /** The bytes as capsules (RFC 9297), instead of `readable` and `writable`. It can be called once. */
  capsules(): CapsuleStream {
    if (this.#hasCapsules) throw invalidState('capsules() has been called already');
    const streams = this.#takeOver();
    this.#hasCapsules = true;
    return streams.openCapsules();
  }

  /** The HTTP datagrams of the tunnel, each in a capsule. Each call returns the same two streams. */
  datagrams(): DatagramStream {
    return this.#takeOver().datagrams();
  }

  /** Ends this side after what has been written. The tunnel is closed when the client has ended its side as well. */
  close(): void {
    this.#streams.close();
  }

  /** Resets the connection. `closed` rejects with the error, or with one of its own. */
  destroy(error?: unknown): void {
    this.#streams.destroy(error);
  }

  /** Resolves when both sides have ended; rejects if the tunnel broke. */
  get closed(): Promise<void> {
    return this.#streams.closed;
  }

  /** Calls `close`, and waits until the tunnel is closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#streams.isOver) return;
    this.close();
    await this.closed;
  }

  #takeOver(): CapsuleStreams {
    if (this.#capsules !== null) return this.#capsules;
    const { readable, writable } = this.#streams;
    if (readable.locked || writable.locked) throw invalidState('the raw streams of the tunnel are in use');
    this.#capsules = new CapsuleStreams(this.#streams, this.#limits);
    return this.#capsules;
  }

  #mustBeRaw(): void {
    if (this.#capsules !== null) throw invalidState('the bytes of the tunnel are read as capsules');
  }
}
