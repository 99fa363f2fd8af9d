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

  constructor(status: number, message: string, options?: ErrorOptions) {
    if (!Number.isInteger(status) || status < 400 || status > 599) {
      throw new RangeError(`the status of an HttpError must be an integer from 400 to 599, not ${String(status)}`);
    }
    super(message, options);
    this.name = 'HttpError';
    this.status = status;
  }
}

/** Rejects pending waits when the client disconnects. It is not an error of the program, so it is not logged. */
export class ClientGoneError extends Error {
  override readonly name = 'ClientGoneError';

  constructor(options?: ErrorOptions) {
    super('the client has gone', options);
  }
}
