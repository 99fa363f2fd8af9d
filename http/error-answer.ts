/**
 * The body of an error: a line of text, or JSON for a client that prefers JSON (Accept).
 *
 *     GET /users/7                           {"status":404,"title":"Not Found","detail":"no user has this number"}
 *     Accept: application/json
 *
 * The members are those of problem details (RFC 9457), whose own content type a client gets if it prefers that. A browser and `curl` prefer neither, and get
 * text.
 *
 * Next: router/path.ts
 */

import { preferredType } from './content/accept.ts';
import type { HttpRequest, ResponseWriter } from './handler.ts';
import { reasonOf } from './status.ts';

const TEXT = 'text/plain';
const PLAIN = 'text/plain; charset=utf-8';
const PROBLEM = 'application/problem+json';
const TYPES = [TEXT, 'application/json', PROBLEM];

/** The body of an error, as its client prefers it. */
export interface ErrorBody {
  readonly contentType: string;
  readonly text: string;
}

/** Sends an error. The headers that the response has are kept. */
export function answerError(request: HttpRequest, response: ResponseWriter, status: number, message: string): void {
  const { contentType, text } = errorBodyOf(request, status, message);
  response.status(status);
  if (contentType === PLAIN) response.text(text);
  else response.whole(text, contentType);
}

export function errorBodyOf(request: HttpRequest, status: number, message: string): ErrorBody {
  const accept = request.headers.get('accept');
  const contentType = accept === null ? TEXT : (preferredType(accept, TYPES) ?? TEXT);
  if (contentType === TEXT) return { contentType: PLAIN, text: `${message}\n` };
  const title = reasonOf(status);
  const problem = message === title ? { status, title } : { status, title, detail: message };
  return { contentType, text: JSON.stringify(problem) };
}
