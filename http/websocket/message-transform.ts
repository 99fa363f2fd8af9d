/**
 * MessageTransform: THE SEAM for extensions of WebSocket that change messages, such as permessage-deflate (RFC 7692).
 *
 *     Sec-WebSocket-Extensions --parse--> offers --MessageExtension.negotiate--> the answer's text, and a MessageTransform for this connection
 *
 *     a message of the client with RSV1 --decode--> the message            a message of the program --encode--> the payload of a frame with RSV1, or null
 *
 * An endpoint has one MessageExtension or none. A connection whose client has offered what the extension accepts has a MessageTransform of its own.
 *
 * The order is kept by the connection. It calls `decode` for one message after the other, and reads nothing more while a promise of it is pending. It calls
 * `encode` for one message after the other too, and what the program sends meanwhile waits. So a transform needs no queue. A method that returns a value
 * instead of a promise costs no promise.
 *
 * Frames are not seen here: a message that has come in fragments is decoded as a whole, and a message is sent in one frame. Control frames
 * are never transformed.
 *
 * Next: deflate-agreement.ts
 */

/** One extension that a client offers: `permessage-deflate; client_max_window_bits; server_max_window_bits=10`. */
export interface ExtensionOffer {
  readonly name: string;
  /** In their order. The value is true for a parameter without one. A name may come twice. */
  readonly parameters: readonly (readonly [name: string, value: string | true])[];
}

/** What an extension has agreed on with a client. */
export interface NegotiatedExtension {
  /** The field Sec-WebSocket-Extensions of the answer. */
  readonly answer: string;
  /** Called once the connection is a WebSocket. */
  createTransform(): MessageTransform;
}

/** An extension, for all connections of an endpoint. */
export interface MessageExtension {
  /** Chooses the first offer that it can meet. Null declines them all: the connection goes on without it (RFC 7692 section 7). */
  negotiate(offers: readonly ExtensionOffer[]): NegotiatedExtension | null;
  /**
   * Transforms a message for many connections, in such a way that each connection whose transform returns true from `takesShared` can be sent the same bytes.
   * Called once for each message that is published, when the first of them needs it. Null: the message is sent to all as it is. `payload` does not change any more.
   */
  encodeShared(payload: Buffer, isText: boolean): SharedPayload | null;
}

/** A message that an extension has transformed for many connections. */
export interface SharedPayload {
  /** The payload to send with RSV1. */
  readonly bytes: Buffer;
}

/** What an extension does with the messages of one connection. */
export interface MessageTransform {
  /**
   * Returns the message of a payload that has come with RSV1. `payload` belongs to the transform. Throws, or rejects with, a WebSocketFault: with 1009 as soon as
   * the message is longer than `maxBytes`, with 1007 if the payload is damaged. The result belongs to the program. Whether a text is UTF-8 is checked by the connection.
   */
  decode(payload: Buffer, maxBytes: number): Buffer | Promise<Buffer>;
  /**
   * Returns the payload to send with RSV1, or null to send the message as it is. `payload` may be memory of the program: a transform that returns a promise
   * has copied it. The transform may use the memory of its result again once it is called again.
   */
  encode(payload: Buffer, isText: boolean): Buffer | null | Promise<Buffer | null>;
  /** A shared payload is about to be sent here. False: this connection cannot take it, and gets the message as it is. */
  takesShared(shared: SharedPayload): boolean;
  /** The connection is closed. Frees what the transform holds; a pending promise may reject. Called once. */
  close(): void;
}
