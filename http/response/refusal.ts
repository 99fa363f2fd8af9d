/**
 * Refusal: the response that a connection sends by itself: its request is malformed or too slow, or its handler sends none in time.
 *
 * Its body gives the reason, and `Connection: close` says that the connection ends. After a malformed message the place of the next
 * message is unknown.
 *
 * Next: ../handler.ts
 */

import { statusLine } from '../status.ts';

/** Returns the whole message. `fields` are further field lines, each with its CRLF. A response to HEAD has no body. */
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
