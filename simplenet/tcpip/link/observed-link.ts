/**
 * Observed link: a link made of a link, which shows each frame that passes and changes nothing.
 *
 * capture-link.ts writes the frames to a file with it, and frame-text.ts prints a line for each. A frame that the link has refused is
 * not shown: nobody saw it on the wire. Frames can be observed by several, one around the other.
 *
 * Next: pcap.ts
 */

import type { Host, Watch } from '../../loop/host.ts';
import type { Link } from './link.ts';

/** Gets the bytes themselves, not a copy: they are valid during the call. An exception reaches whoever uses the link. */
export type FrameObserver = (frame: Buffer, direction: 'sent' | 'received') => void;

export function observeFrames(link: Link, observe: FrameObserver): Link {
  return new ObservedLink(link, observe);
}

class ObservedLink implements Link {
  readonly #link: Link;
  readonly #observe: FrameObserver;

  constructor(link: Link, observe: FrameObserver) {
    this.#link = link;
    this.#observe = observe;
  }

  get mtu(): number {
    return this.#link.mtu;
  }

  send(frame: Uint8Array, length: number): boolean {
    const isSent = this.#link.send(frame, length);
    if (isSent) this.#observe(Buffer.from(frame.buffer, frame.byteOffset, length), 'sent');
    return isSent;
  }

  receive(into: Uint8Array): number {
    const length = this.#link.receive(into);
    if (length > 0) this.#observe(Buffer.from(into.buffer, into.byteOffset, length), 'received');
    return length;
  }

  watch(host: Host, onReadable: () => boolean): Watch {
    return this.#link.watch(host, onReadable);
  }

  close(): void {
    this.#link.close();
  }
}
