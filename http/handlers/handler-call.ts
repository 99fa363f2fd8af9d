/**
 * The call of a handler: what it has returned, and what to do with its error.
 *
 * A handler may write its response, return a `Response` or a promise of one, or leave the response to a callback. It may throw before its response
 * has begun, in the middle of it, or when it is over. An exchange of a connection and one in memory treat all of that alike, so it is here.
 *
 * Next: memory-output.ts
 */

import { answerError } from '../error-answer.ts';
import type { Handler, HttpRequest, ResponseWriter } from '../handler.ts';
import { HttpError } from '../http-error.ts';
import { mistakenReturn, promiseOf } from '../promises.ts';
import { reasonOf } from '../status.ts';
import { isResponse, sendResponse } from './send-response.ts';

/** Returns the promise to pass to `awaitHandler`, or null if there is nothing to wait for. Throws what the handler throws. */
export function callHandler(handler: Handler, request: HttpRequest, response: ResponseWriter): Promise<unknown> | null {
  const value: unknown = handler(request, response);
  const result = promiseOf<unknown>(value);
  return value === undefined || result !== null ? result : takeReturned(value, request, response);
}

/** Waits for an async handler. An error goes to the exchange of the response. */
export function awaitHandler(result: Promise<unknown>, request: HttpRequest, response: ResponseWriter): void {
  result.then(
    (value: unknown) => handlerReturned(value, request, response),
    (error: unknown) => response.fail(error),
  );
}

/** An async handler has finished. It may leave a response in pieces to a callback, unless the response has a Content-Length. */
function handlerReturned(value: unknown, request: HttpRequest, response: ResponseWriter): void {
  try {
    const sending = value === undefined ? null : takeReturned(value, request, response);
    if (sending !== null) {
      sending.then(undefined, (error: unknown) => response.fail(error));
      return;
    }
  } catch (error) {
    response.fail(error);
    return;
  }
  if (response.hasEnded || !response.isOpen) return;
  if (response.isSending) response.handlerDone();
  else if (!response.hasBegun || response.hasPromisedLength) {
    response.fail(new Error('the handler ended before its response was complete'));
  }
}

/**
 * Called with what a handler has returned, at once or by its promise. A Response of Fetch is sent; most other values are a mistake, and this
 * throws. Returns a promise if there is something to wait for.
 */
function takeReturned(value: unknown, request: HttpRequest, response: ResponseWriter): Promise<void> | null {
  if (isResponse(value)) return sendResponse(value, request, response);
  if (response.hasBegun || response.isSending || !response.isOpen) return null;
  const mistake = mistakenReturn(value);
  if (mistake !== null) throw mistake;
  return null;
}

/** What the answer to an error asks of the exchange. */
export interface FailedExchange {
  readonly request: HttpRequest;
  readonly response: ResponseWriter;
  readonly body: { hasFailedWith(error: unknown): boolean };
  /** The response is complete, or nothing reaches the client any more. */
  readonly isOver: boolean;
  /** Tells the program of the error. It may answer if it gets the response. Returns false, at once or later, if that has failed. */
  report(error: unknown, response: ResponseWriter | null): boolean | Promise<boolean>;
  /** Breaks off the response, in a way that the client can notice. */
  cut(error: unknown): void;
}

/** Reports an error, and answers it if no response has begun. Returns whether the answer waits for the report. */
export function answerFailure(exchange: FailedExchange, error: unknown): boolean {
  const { response, isOver } = exchange;
  const isForClient = error instanceof HttpError;
  // An HttpError reaches the client, unless its response has begun: then only a report shows it. Errors of the body are not the program's.
  const isLost = response.hasBegun && !exchange.body.hasFailedWith(error);
  const isToReport = !isForClient || error.status >= 500 || isLost;
  if (isOver || response.hasBegun) {
    if (isToReport) void exchange.report(error, null);
    if (!isOver && !response.hasEnded) exchange.cut(error);
    return false;
  }
  response.restart();
  response.status(isForClient ? error.status : 500);
  const reported = isToReport ? exchange.report(error, response) : true;
  if (typeof reported === 'boolean') {
    answerUnlessAnswered(exchange, error, reported);
    return false;
  }
  void reported.then((isReported) => answerUnlessAnswered(exchange, error, isReported));
  return true;
}

/** `isReported` is false if `onError` itself has failed. */
function answerUnlessAnswered(exchange: FailedExchange, error: unknown, isReported: boolean): void {
  const { request, response } = exchange;
  if (response.hasEnded || !response.isOpen) return;
  if (response.hasBegun) {
    if (!isReported) exchange.cut(error); // otherwise a callback of `onError` completes it
    return;
  }
  response.restart();
  const [status, message] = error instanceof HttpError ? [error.status, error.message] : [500, reasonOf(500)];
  answerError(request, response, status, message);
}
