/**
 * ServerWebSocket: what a program holds in its hand of a connection: sends, closes, topics. It checks what the program gives, because a mistake must be an
 * error where it is made, and not a frame that a client cannot read.
 *
 * Next: web-socket-handler.ts
 */

import { described } from '../nearest-name.ts';
import { checkClosing, NORMAL_CLOSURE } from './close-code.ts';
import { MAX_CONTROL_BYTES } from './frame-decoder.ts';
import { byteLengthOf } from './frame-encoder.ts';
import { SharedMessage } from './shared-message.ts';
import { WebSocketConnection } from './web-socket-connection.ts';

/**
 * A WebSocket connection.
 *
 * ```ts
 * import { Router, type ServerWebSocket, webSocket } from 'simplenet/http';
 *
 * function greet(ws: ServerWebSocket): void {
 *   ws.subscribe('news');
 *   ws.send('hello');
 * }
 * new Router().get('/news', webSocket({ open: greet }));
 * ```
 */
export class ServerWebSocket<Data = undefined> extends WebSocketConnection<Data> {
  /**
   * Sends a message: a string as text, bytes as binary. The bytes may be used again when this returns. Returns true if the client takes it as fast as it comes. False: it
   * waits, and `drain` will say when all has been sent; or it was dropped, because the connection is closed or `maxQueuedBytes` wait already.
   */
  send(data: string | Uint8Array | ArrayBuffer): boolean {
    return this.sendMessage(payloadOf(data));
  }

  /** Sends a ping with at most 125 bytes. The client answers with the same bytes, and `pong` gets them. Pings against silence are sent by themselves. */
  ping(data: string | Uint8Array = ''): boolean {
    const payload = payloadOf(data);
    const length = byteLengthOf(payload);
    if (length > MAX_CONTROL_BYTES)
      throw new RangeError(`a ping has at most ${MAX_CONTROL_BYTES} bytes, not ${length}`);
    return this.sendPing(payload);
  }

  /**
   * Sends what waits and then a close frame, with 1000 unless another code is given: one of 3000 to 4999 for programs, or one of RFC 6455. The client answers, and
   * `close` is called. After this no message comes any more.
   */
  close(code = NORMAL_CLOSURE, reason = ''): void {
    checkClosing(code, reason);
    this.startClosing(code, reason);
  }

  /** Cuts the connection, without a close frame. `close` is called with 1006. */
  terminate(): void {
    this.cut('terminated');
  }

  /** The topics that this connection has subscribed. */
  get topics(): readonly string[] {
    return this.subscribed?.map((topic) => topic.name) ?? [];
  }

  /** Gets what is published to the topic, from now on until `unsubscribe` or the end of the connection. */
  subscribe(topic: string): void {
    if (typeof topic !== 'string') throw new TypeError(`a topic must be a string, not ${described(topic)}`);
    if (this.isOpen) this.endpoint.topics.add(topic, this);
  }

  /** Gets it no longer. */
  unsubscribe(topic: string): void {
    this.endpoint.topics.delete(topic, this);
  }

  /** Sends a message to all who have subscribed the topic, but not to this connection. Returns how many they are. */
  publish(topic: string, data: string | Uint8Array | ArrayBuffer): number {
    const { topics, extension } = this.endpoint;
    return topics.publish(topic, new SharedMessage(payloadOf(data), extension), this);
  }
}

/** A mistake of the program throws: a number or an object would be sent as a text that nobody meant. */
export function payloadOf(data: string | Uint8Array | ArrayBuffer): string | Uint8Array {
  if (typeof data === 'string' || data instanceof Uint8Array) return data;
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  throw new TypeError(`a message must be a string, a Uint8Array or an ArrayBuffer, not ${described(data)}`);
}
