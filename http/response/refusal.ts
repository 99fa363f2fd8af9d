/**
 * Refusal: the response that a connection gives by itself when it cannot call a handler, or when a handler does not answer.
 *
 * It says why in plain text, and that the connection closes: behind a message that breaks the protocol nobody knows where the next one
 * begins.
 *
 * Next: ../handler.ts
 */

import { statusLine } from '../status.ts';

/** The whole message. `fields` are further lines, each with its CRLF. A response to HEAD has no body. */
export function refusalOf(
  status: number,
  dateLine: string,
  message: string,
  fields: string,
  isHeadRequest: boolean,
): string {
  const body = `${message}\n`;
  const head =
    `${statusLine(status)}${dateLine}Content-Type: text/plain; charset=utf-8\r\n` +
    `Content-Length: ${body.length}\r\n${fields}Connection: close\r\n\r\n`;
  return isHeadRequest ? head : head + body;
}
