/**
 * ProtocolError: an error of the exchange itself, with a code that is the same in every version of HTTP.
 *
 * It is a TypeError with an own `code`, as the draft has it (section "Errors"). HTTP/2 and HTTP/3 put such a code on the wire. HTTP/1.1 can
 * only close the connection, or reset it; so here the codes tell the program what has happened, and choose how `deny` answers.
 *
 * Next: true-request.ts
 */

import { HttpError, isClientGone } from '../http-error.ts';

const codes = [
  'ERR_HTTP_REQUEST_REJECTED',
  'ERR_HTTP_REQUEST_CANCELLED',
  'ERR_HTTP_INTERNAL_ERROR',
  'ERR_HTTP_STREAM_RESET',
  'ERR_HTTP_GOAWAY',
  'ERR_HTTP_PROTOCOL_ERROR',
  'ERR_HTTP_CONNECT_ERROR',
  'ERR_HTTP_REQUEST_BODY_REJECTED',
  'ERR_HTTP_CONNECTION_RESET',
  'ERR_HTTP_TIMEOUT',
  'ERR_HTTP_CONTENT_TOO_LARGE',
] as const;

/**
 * The codes of the draft: what has gone wrong with an exchange.
 *
 * ```ts
 * import type { ErrorCode } from 'simplenet/http';
 *
 * const tooMuch: ErrorCode = 'ERR_HTTP_CONTENT_TOO_LARGE';
 * const isTooMuch = (error: { code?: unknown }) => error.code === tooMuch;
 * ```
 */
export type ErrorCode = (typeof codes)[number];

/**
 * An error with one of the codes of the draft.
 *
 * ```ts
 * import type { ProtocolError, ServerContext } from 'simplenet/http';
 *
 * function fetch(ctx: ServerContext): Response {
 *   ctx.completed.catch((error: ProtocolError) => console.error(error.code));
 *   return new Response('hello\n');
 * }
 * ```
 */
export interface ProtocolError extends TypeError {
  readonly code: ErrorCode;
}

export function protocolError(code: ErrorCode, message: string, cause?: unknown): ProtocolError {
  const error = new TypeError(message, cause === undefined ? undefined : { cause });
  // An own property: the draft says so, because Error may get one in a later version of the language.
  return Object.assign(error, { code });
}

export function isProtocolError(error: unknown): error is ProtocolError {
  return error instanceof TypeError && Object.hasOwn(error, 'code') && isErrorCode((error as ProtocolError).code);
}

function isErrorCode(code: unknown): code is ErrorCode {
  return codes.includes(code as ErrorCode);
}

/** Which codes can be sent by what, the default first. */
const sendable = {
  deny: [
    'ERR_HTTP_REQUEST_REJECTED',
    'ERR_HTTP_REQUEST_CANCELLED',
    'ERR_HTTP_INTERNAL_ERROR',
    'ERR_HTTP_CONNECT_ERROR',
    'ERR_HTTP_GOAWAY',
  ],
  tunnel: ['ERR_HTTP_CONNECT_ERROR', 'ERR_HTTP_REQUEST_CANCELLED', 'ERR_HTTP_INTERNAL_ERROR'],
} as const satisfies Record<string, readonly ErrorCode[]>;

/** The code that `deny(error)` sends: that of any error that has a `code`. */
export function deniedCodeOf(error: unknown): ErrorCode {
  const code: unknown = typeof error === 'object' && error !== null ? (error as { code?: unknown }).code : undefined;
  return sendable.deny.find((each) => each === code) ?? sendable.deny[0];
}

/** The error of a tunnel that was aborted for a reason: the reason itself, if a tunnel can send its code. */
export function tunnelErrorOf(reason: unknown): ProtocolError {
  if (isProtocolError(reason) && sendable.tunnel.some((code) => code === reason.code)) return reason;
  return protocolError(sendable.tunnel[0], 'the tunnel was aborted', reason);
}

const REQUEST_TIMEOUT = 408;
const CONTENT_TOO_LARGE = 413;
const SERVICE_UNAVAILABLE = 503;

/** How many causes are followed. A chain of causes may be a circle. */
const MAX_CAUSES = 8;

/** What an error of HTTP is called in the draft; null for an error that is not about the exchange. */
export function inboundErrorOf(error: unknown): ProtocolError | null {
  if (isProtocolError(error)) return error;
  if (error instanceof HttpError) return protocolError(codeOfStatus(error.status), error.message, error);
  if (!isClientGone(error)) return null;
  return hasTimedOut(error)
    ? protocolError('ERR_HTTP_TIMEOUT', 'the client took too little of the response', error)
    : protocolError('ERR_HTTP_CONNECTION_RESET', 'the client has gone', error);
}

function codeOfStatus(status: number): ErrorCode {
  if (status === REQUEST_TIMEOUT || status === SERVICE_UNAVAILABLE) return 'ERR_HTTP_TIMEOUT';
  return status === CONTENT_TOO_LARGE ? 'ERR_HTTP_CONTENT_TOO_LARGE' : 'ERR_HTTP_PROTOCOL_ERROR';
}

/** Whether the kernel or the loop has given up on the client. */
function hasTimedOut(error: unknown): boolean {
  let current = error;
  for (let i = 0; i < MAX_CAUSES && current instanceof Error; i++) {
    if ((current as { code?: unknown }).code === 'ETIMEDOUT') return true;
    current = current.cause;
  }
  return false;
}
