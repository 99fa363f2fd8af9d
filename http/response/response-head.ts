/**
 * Response head: the text of a head, from its status line to its empty line, for a final response and for an informational one.
 *
 * The fields that frame a message are written here and nowhere else: Content-Length, Transfer-Encoding and Connection. A handler that
 * could set them could make two responses of one. HeadCache has the same head as bytes, for responses without fields of their own.
 *
 * Next: response-output.ts
 */

import { described } from '../nearest-name.ts';
import { hasNoBody, statusLine } from '../status.ts';
import { checkField, type FieldLine, type FieldValue, hasField, textsOf } from './response-fields.ts';

/** How a reader finds the end of the body: by its length, by chunks, or by the end of the connection. */
export type Framing = 'length' | 'chunked' | 'close';

export interface HeadParts {
  readonly status: number;
  /** Null for the usual phrase of the status. */
  readonly reason: string | null;
  readonly fields: readonly FieldLine[] | null;
  readonly framing: Framing;
  /** For the framing `length`. */
  readonly byteLength: number;
  /** The type that the call of the handler implies; a Content-Type among the fields replaces it. */
  readonly contentType: string | null;
  readonly minorVersion: number;
  readonly isClosing: boolean;
  /** The line `Keep-Alive: ...` for a client that asks for it, else ''. */
  readonly keepAliveLine: string;
  readonly dateLine: string;
}

/** RFC 9110 section 15.3.6: a response without content, whose Content-Length is 0. */
export const RESET_CONTENT = 205;

export function headOf(parts: HeadParts): string {
  const { status, reason, fields, framing, contentType } = parts;
  const isBodiless = hasNoBody(status);
  let head = reason === null ? statusLine(status) : `HTTP/1.1 ${status} ${reason}\r\n`;
  if (fields === null || !hasField(fields, 'date')) head += parts.dateLine;
  if (contentType !== null && !isBodiless && (fields === null || !hasField(fields, 'content-type'))) {
    head += `Content-Type: ${contentType}\r\n`;
  }
  if (fields !== null) for (const [, line] of fields) head += line;
  // RFC 9110 section 8.6: no Content-Length in 204; in 304 it would have to be that of the whole 200 response.
  if (framing === 'length' && !isBodiless) head += `Content-Length: ${parts.byteLength}\r\n`;
  if (framing === 'chunked' && !isBodiless) head += 'Transfer-Encoding: chunked\r\n';
  let connection = '';
  if (parts.isClosing) connection = 'close';
  else if (parts.minorVersion === 0 || parts.keepAliveLine !== '') connection = 'keep-alive';
  // RFC 9110 section 7.8: Connection must name Upgrade too, so that a proxy does not pass it on.
  if (fields !== null && hasField(fields, 'upgrade')) connection += connection === '' ? 'Upgrade' : ', Upgrade';
  if (connection !== '') head += `Connection: ${connection}\r\n${parts.keepAliveLine}`;
  return `${head}\r\n`;
}

/** RFC 9110 section 15.2 and RFC 9112 section 6: they frame a message or a connection, and an informational response has no body. */
const notInformational = new Set([
  'connection',
  'content-length',
  'keep-alive',
  'transfer-encoding',
  'trailer',
  'upgrade',
]);

/** Returns the head of an informational response. Throws if a handler may not send it. */
export function informationalHead(status: number, fields: Readonly<Record<string, FieldValue>>): string {
  if (!Number.isInteger(status) || status < 102 || status > 199) {
    const instead =
      status === 101 ? ': use upgrade()' : status === 100 ? ': the server sends it when the body is read' : '';
    throw new RangeError(`an informational status must be an integer from 102 to 199, not ${String(status)}${instead}`);
  }
  return interimHead(status, fields);
}

/** As `informationalHead`, for every status. */
export function interimHead(status: number, fields: Readonly<Record<string, FieldValue>>): string {
  let head = statusLine(status);
  for (const [name, value] of Object.entries(fields)) {
    for (const each of textsOf(name, value)) {
      const lower = checkField(name, each);
      if (notInformational.has(lower)) throw new Error(`${name} cannot be sent in an informational response`);
      head += `${name}: ${each}\r\n`;
    }
  }
  return `${head}\r\n`;
}

/**
 * The line `Keep-Alive: ...`. Clients that are told can leave a connection before the server closes it, so that no request of theirs meets the end. In whole seconds,
 * as RFC 2068 section 19.7.1 and all clients have it.
 */
export function keepAliveLineOf(idleMs: number): string {
  const seconds = Math.floor(idleMs / 1_000);
  return seconds >= 1 && Number.isFinite(seconds) ? `Keep-Alive: timeout=${seconds}\r\n` : '';
}

/** Location must be ASCII, so other characters are percent-encoded. */
export function asciiLocation(location: string): string {
  if (typeof location !== 'string') throw new TypeError(`redirect() takes a text or a URL, not ${described(location)}`);
  // Encoding would hide a line end as %0D%0A. It is a mistake, as in every field.
  if (/[\x00-\x1f\x7f]/.test(location)) throw new TypeError('the location of a redirect has a control character');
  return location.replace(/[^\x21-\x7e]+/g, encodeURIComponent);
}
