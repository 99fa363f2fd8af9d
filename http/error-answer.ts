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
const PROBLEM = 'application/problem+json';
const TYPES = [TEXT, 'application/json', PROBLEM];

/** Sends an error. The headers that the response has are kept. */
export function answerError(request: HttpRequest, response: ResponseWriter, status: number, message: string): void {
  const accept = request.headers.get('accept');
  const type = accept === null ? TEXT : (preferredType(accept, TYPES) ?? TEXT);
  response.status(status);
  if (type === TEXT) {
    response.text(`${message}\n`);
    return;
  }
  const title = reasonOf(status);
  if (type === PROBLEM) response.header('Content-Type', PROBLEM);
  response.json(message === title ? { status, title } : { status, title, detail: message });
}
