/**
 * Link: the seam below our own TCP/IP. Ethernet frames go out, and frames come in.
 *
 * A link may lose a frame and reports nothing then, as any wire does. TCP above it makes up for that. Three files implement it:
 *
 *     simulated-wire.ts   two ends in this process, with loss, delay and disorder by a seed
 *     tap-link.ts         a network interface of this machine, so that Linux is the other end
 *     observed-link.ts    a link made of a link, which shows each frame to a capture or to the screen
 *
 * Next: ethernet-frame.ts
 */

import type { Host, Watch } from '../../loop/host.ts';

/**
 * Where Ethernet frames go out and come in: a TAP interface, a simulated wire, or anything else that carries frames.
 *
 * ```ts
 * import { createStack, createWire, type Link } from 'simplenet';
 *
 * // Counts what is sent.
 * function counted(link: Link, count: (bytes: number) => void): Link {
 *   return {
 *     mtu: link.mtu,
 *     send(frame, length) {
 *       count(length);
 *       return link.send(frame, length);
 *     },
 *     receive: (into) => link.receive(into),
 *     watch: (host, onReadable) => link.watch(host, onReadable),
 *     close: () => link.close(),
 *   };
 * }
 * const [left] = createWire();
 * createStack({ link: counted(left, console.log), address: '10.9.0.2/24' });
 * ```
 */
export interface Link {
  /** The largest packet that a frame carries: the frame without its Ethernet header of 14 bytes. */
  readonly mtu: number;
  /**
   * Sends the first `length` bytes as one frame. The caller may reuse them at once. Returns false if there was no room: the frame is
   * lost then.
   */
  send(frame: Uint8Array, length: number): boolean;
  /**
   * Copies the next waiting frame into `into` and returns its length, or 0 if none waits. A frame that does not fit is dropped. Throws a
   * SystemError if the link is lost.
   */
  receive(into: Uint8Array): number;
  /** Calls `onReadable` while frames wait, as `Host.watch` does. A link has one watch. */
  watch(host: Host, onReadable: () => boolean): Watch;
  /** Close the watch first. A closed link sends nothing and receives nothing. Closing twice does nothing. */
  close(): void;
}
