/**
 * sendResponse: sends a `Response` of Fetch through our ResponseWriter, which frames it.
 *
 * Text and bytes leave in one piece with a Content-Length. A FastResponse shows them. In a Response of the platform they are in a
 * stream, as anything else; but a stream that the platform has made of them has one piece and ends in the same tick. So after the first piece
 * the end is awaited for a few microtasks. A stream that takes longer is sent in chunks, as fast as the client takes them.
 *
 * If the client leaves, the stream is cancelled. A client that has ended its side before the Response came still gets it, as it would get any
 * other body; one that ends its side while it is sent has left, unless `halfClose` is `serve`. If the stream fails, the connection is cut, so
 * that no client takes the part for the whole.
 *
 * Next: fetch-handler.ts
 */

import type { HttpRequest, ResponseWriter } from '../handler.ts';
import { markHandled, promiseOf } from '../promises.ts';
import { hasNoBody, reasonOf } from '../status.ts';
import { takeKeptBody } from './fast-response.ts';

type Reader = ReadableStreamDefaultReader<Uint8Array>;
type Piece = Awaited<ReturnType<Reader['read']>>;

/** RFC 9110 section 7.6.1: fields about one connection. A Response from `fetch` has those of another one. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection'],
  ...['te', 'trailer', 'transfer-encoding', 'upgrade'],
]);

/** Node 20 to 26 need fewer for a stream that they have made of a text. */
const MICROTASKS_TO_WAIT = 8;

/** What an app returns whose request has become a WebSocket: it is answered already. */
export class UpgradedResponse extends Response {
  constructor() {
    super(null);
    Object.defineProperty(this, 'status', { value: 101 }); // the constructor of the platform refuses it
  }
}

export function isResponse(value: unknown): value is Response {
  return typeof value === 'object' && value !== null && value instanceof Response;
}

/**
 * Sends a `Response` that code of the program has returned, at once or by its promise. Returns a promise if there is something to wait for. Other
 * values are passed on: the exchange looks at them.
 */
export function sendReturned(returned: unknown, request: HttpRequest, response: ResponseWriter): unknown {
  const promise = promiseOf<unknown>(returned);
  if (promise !== null) return promise.then((value) => sendIfResponse(value, request, response));
  return sendIfResponse(returned, request, response);
}

function sendIfResponse(value: unknown, request: HttpRequest, response: ResponseWriter): unknown {
  return isResponse(value) ? (sendResponse(value, request, response) ?? undefined) : value;
}

/** What the sending of a Response asks of its request. */
export type SendingRequest = Pick<HttpRequest, 'method' | 'signal' | 'done'>;

/**
 * Returns null if the response is complete. Throws what the writer throws, for example if the body is longer than its Content-Length. Status 200 is
 * what a Response has that says nothing, so a status that was set before stays: 404 in `notFound`, 500 in `onError`.
 */
export function sendResponse(
  answer: Response,
  request: SendingRequest,
  response: ResponseWriter,
): Promise<void> | null {
  if (response.hasBegun || response.isSending) {
    if (answer instanceof UpgradedResponse) return null;
    if (answer.body?.locked === false) void markHandled(answer.body.cancel());
    throw new Error('a handler returned a Response after its response had begun');
  }
  const kept = takeKeptBody(answer);
  const { status, statusText } = answer;
  if (statusText !== '' && statusText !== reasonOf(status)) response.status(status, statusText);
  else if (status !== 200) response.status(status);
  if (kept !== null && kept.onlyContentType !== null) {
    response.whole(kept.body, kept.onlyContentType);
    return null;
  }
  const contentType = copyFields(answer, response);
  if (kept !== null) {
    response.whole(kept.body, contentType);
    return null;
  }
  const { body } = answer;
  if (body !== null) return sendStream(body, contentType, request, response);
  if (contentType !== null) response.header('Content-Type', contentType);
  if (request.method === 'HEAD' && !hasNoBody(response.statusCode)) endHead(response);
  else response.empty(response.statusCode);
  return null;
}

/** Copies all fields but Content-Type, and returns that one. */
function copyFields(answer: Response, response: ResponseWriter): string | null {
  let contentType: string | null = null;
  for (const [name, value] of answer.headers) {
    if (name === 'content-type') contentType = value;
    else if (name === 'vary')
      response.append(name, value); // middleware depends on fields of its own, such as Origin
    else if (!HOP_BY_HOP.has(name)) response.header(name, value);
  }
  return contentType;
}

/** Ends a response to HEAD whose length is not known, which must not look like 0. A Content-Length of the app is kept. */
function endHead(response: ResponseWriter): void {
  void response.write('');
  response.end();
}

async function sendStream(
  body: ReadableStream<Uint8Array>,
  contentType: string | null,
  request: SendingRequest,
  response: ResponseWriter,
): Promise<void> {
  const reader = body.getReader();
  const { signal } = request;
  const cancel = () => void markHandled(reader.cancel(signal.reason));
  // A client that had ended its side before may wait for the response. One that ends it in the middle has left.
  const isAwaited = signal.aborted && response.isOpen;
  if (isAwaited) void request.done.then(cancel);
  else signal.addEventListener('abort', cancel, { once: true });
  try {
    if (signal.aborted && !isAwaited) cancel();
    const reading = reader.read();
    // A client that asks for a head alone does not wait for a body.
    const isHead = request.method === 'HEAD';
    const first = isHead ? await soon(reading) : await reading;
    const second = first === null || first.done ? null : markHandled(reader.read());
    // A cancelled stream has ended too. Its response must not look complete.
    if (signal.aborted && !isAwaited) throw signal.reason;
    if (first?.done === true) response.whole('', contentType);
    else if (first !== null && second !== null && (await soon(second))?.done === true)
      response.whole(bytesOf(first), contentType);
    else {
      if (contentType !== null) response.header('Content-Type', contentType);
      if (first === null || second === null || isHead) {
        cancel();
        endHead(response);
        return;
      }
      await response.write(bytesOf(first));
      for (let piece = await second; !piece.done; piece = await reader.read()) await response.write(bytesOf(piece));
      if (signal.aborted && !isAwaited) throw signal.reason;
      response.end();
    }
  } catch (error) {
    markHandled(reader.cancel(error));
    throw error;
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

/** Returns what the stream gives within this tick, or null. */
async function soon(next: Promise<Piece>): Promise<Piece | null> {
  let piece: Piece | null = null;
  const settle = (settled: Piece) => {
    piece = settled;
  };
  next.then(settle, () => {});
  for (let waited = 0; waited < MICROTASKS_TO_WAIT && piece === null; waited++) await null;
  return piece;
}

function bytesOf({ value }: Piece): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new TypeError('the stream of a Response must give Uint8Array');
  return value;
}
