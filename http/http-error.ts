/**
 * HttpError: an error whose message may reach the client.
 *
 * The message of any other error may contain a file name, a query or a password. So every other error that a handler throws becomes a
 * 500 without details for the client, and a full report for the log. A program that throws an HttpError has chosen its status and its
 * message for the client.
 *
 * Next: promises.ts
 */

/**
 * An error whose status and message the client gets.
 *
 * ```ts
 * import { HttpError, Router } from 'simplenet/http';
 *
 * new Router().get('/users/:id', ({ params }, response) => {
 *   if (params.id !== '1') throw new HttpError(404, `there is no user ${params.id}`);
 *   response.json({ id: 1 });
 * });
 * ```
 */
export class HttpError extends Error {
  /** From 400 to 599. */
  readonly status: number;

  /** `status` is from 400 to 599, and the client gets the message. */
  constructor(status: number, message: string, options?: ErrorOptions) {
    if (!Number.isInteger(status) || status < 400 || status > 599) {
      throw new RangeError(`the status of an HttpError must be an integer from 400 to 599, not ${String(status)}`);
    }
    super(message, options);
    this.name = 'HttpError';
    this.status = status;
  }
}

/** The error of a body above its limit. */
export function bodyTooLarge(maxBytes: number): HttpError {
  return new HttpError(413, `a body of more than ${maxBytes} bytes`);
}

/**
 * Rejects pending waits when the client disconnects. It is not an error of the program, so it is not logged. Its `cause` is the error of
 * the connection, for example a SystemError with the code ECONNRESET; without one the client has closed the connection.
 *
 * ```ts
 * import { ClientGoneError, Router } from 'simplenet/http';
 *
 * new Router().get('/ticks', async (_request, response) => {
 *   try {
 *     for (let i = 0; ; i++) await response.write(`${i}\n`);
 *   } catch (error) {
 *     if (error instanceof ClientGoneError) console.log('the reader has left');
 *     throw error; // the server expects it and reports nothing
 *   }
 * });
 * ```
 */
export class ClientGoneError extends Error {
  /** Tells this error from others, also across copies of this library. */
  override readonly name = 'ClientGoneError';

  /** `options.cause` is the error of the connection, if there is one. */
  constructor(options?: ErrorOptions, message = 'the client has gone') {
    super(message, options);
  }
}

/** Returns the reason for an aborted signal: an AbortError, as `fetch` and Node's own functions have it. Its `cause` says how the client went. */
export function abortErrorOf(cause: ClientGoneError): DOMException {
  return new DOMException(cause.message, { name: 'AbortError', cause });
}

/** How many causes are followed. A chain of causes may be a circle. */
const MAX_CAUSES = 8;

/**
 * Whether a client that has gone is the reason for an error: any client, or the one that `own` is about. Functions that get a signal throw
 * its reason, or an error of their own whose `cause` is the reason.
 */
export function isClientGone(error: unknown, own: ClientGoneError | null = null): boolean {
  let current = error;
  for (let i = 0; i < MAX_CAUSES && current instanceof Error; i++) {
    if (current instanceof ClientGoneError && (own === null || current === own)) return true;
    current = current.cause;
  }
  return false;
}
