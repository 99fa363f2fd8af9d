/**
 * HttpError: an error whose message may reach the client.
 *
 * Most errors must not: a message may hold a file name, a query or a password, so whatever else a handler throws becomes
 * a bare 500 for the client and a full report for the log. Throwing an HttpError says that both the status and the
 * words were chosen for the other side.
 *
 * Next: promises.ts
 */

export class HttpError extends Error {
  /** From 400 to 599. */
  readonly status: number;

  constructor(status: number, message: string, options?: ErrorOptions) {
    if (!Number.isInteger(status) || status < 400 || status > 599) {
      throw new RangeError(`the status of an error is an integer from 400 to 599, not ${String(status)}`);
    }
    super(message, options);
    this.name = 'HttpError';
    this.status = status;
  }
}

/** What waits for a client learns with this that it has gone. It is nobody's mistake, so nobody logs it. */
export class ClientGoneError extends Error {
  override readonly name = 'ClientGoneError';

  constructor(options?: ErrorOptions) {
    super('the client has gone', options);
  }
}
