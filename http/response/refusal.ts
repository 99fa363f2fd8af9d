/**
 * Refusal: the response that a connection sends by itself while it has no request: a head that is malformed or too slow. What it refuses later
 * is a response with fields and callbacks of middleware (`refusal` of FramedResponse).
 *
 * Its body gives the reason, and `Connection: close` says that the connection ends. After a malformed message the place of the next
 * message is unknown.
 *
 * Next: ../handler.ts
 */

import { statusLine } from '../status.ts';

/** Returns the whole message. */
export function refusalOf(status: number, dateLine: string, message: string): string {
  const body = `${message}\n`;
  return (
    `${statusLine(status)}${dateLine}Content-Type: text/plain; charset=utf-8\r\n` +
    `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`
  );
}
