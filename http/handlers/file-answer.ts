/**
 * File answer: what a client gets of an open file: 200, 206, 304, 412 or 416, with the fields that caches need.
 *
 * validators.ts decides whether the client has the file already, byte-range.ts which parts it wants. Several parts are one multipart/byteranges body. The length of every body is
 * known before its head, so a download can be resumed, and the file itself is sent by the kernel.
 *
 * Next: directory-listing.ts
 */

import { read } from 'node:fs';
import { type ByteRange, contentRange, parseRange, unsatisfiedRange } from '../content/byte-range.ts';
import { formatHttpDate } from '../content/http-date.ts';
import { judge } from '../content/validators.ts';
import type { HttpRequest, ResponseWriter } from '../handler.ts';
import type { FilePart } from '../response/response-writer.ts';
import type { OpenFile } from './open-files.ts';

/** What is said of a file beside its bytes. */
export interface FileFields {
  readonly contentType: string;
  /** Null: the file is not encoded. */
  readonly contentEncoding: string | null;
  /** Null: the field is not sent. */
  readonly cacheControl: string | null;
  readonly disposition: string | null;
  /** The answer depends on Accept-Encoding. */
  readonly varies: boolean;
  readonly maxRanges: number;
  readonly nowMs: number;
}

const PIECE_BYTES = 65_536;

/** Answers GET and HEAD. The file stays open until the promise has resolved or rejected. */
export function answerFile(
  request: HttpRequest,
  response: ResponseWriter,
  file: OpenFile,
  fields: FileFields,
): Promise<void> | void {
  const { headers, method } = request;
  // RFC 9110 section 8.8.2.1: a Last-Modified in the future would be wrong for a long time.
  const modifiedMs = file.modifiedMs <= fields.nowMs ? file.modifiedMs : null;
  const verdict = judge(
    {
      method,
      ifMatch: headers.get('if-match'),
      ifNoneMatch: headers.get('if-none-match'),
      ifModifiedSince: headers.get('if-modified-since'),
      ifUnmodifiedSince: headers.get('if-unmodified-since'),
      ifRange: headers.get('if-range'),
    },
    { etag: file.etag, modifiedMs },
    fields.nowMs,
  );
  if (fields.varies) response.append('Vary', 'Accept-Encoding');
  if (verdict === 'failed') {
    response.status(412).text('The file is another version than the request names.\n');
    return;
  }
  response.header('ETag', file.etag);
  if (modifiedMs !== null) response.header('Last-Modified', formatHttpDate(modifiedMs));
  if (fields.cacheControl !== null) response.header('Cache-Control', fields.cacheControl);
  if (verdict === 'not-modified') {
    response.empty(304);
    return;
  }
  response.header('Accept-Ranges', 'bytes');
  const field = verdict === 'proceed' ? headers.get('range') : null;
  const ranges = field === null ? null : parseRange(field, file.size, fields.maxRanges);
  if (ranges === 'refused') {
    const text = 'The file does not have these bytes, or they overlap, or they are too many parts.\n';
    response.status(416).header('Content-Range', unsatisfiedRange(file.size)).text(text);
    return;
  }
  response.header('Content-Type', fields.contentType);
  if (fields.contentEncoding !== null) response.header('Content-Encoding', fields.contentEncoding);
  if (fields.disposition !== null) response.header('Content-Disposition', fields.disposition);
  return sendParts(request, response, file, partsOf(response, file, ranges, fields.contentType));
}

type Part = Uint8Array | FilePart;

/** Prepares status and fields of a partial answer, and returns its body. */
function partsOf(
  response: ResponseWriter,
  file: OpenFile,
  ranges: readonly ByteRange[] | null,
  contentType: string,
): readonly Part[] {
  if (ranges === null) return [{ start: 0, length: file.size }];
  response.status(206);
  const [only, ...others] = ranges as readonly [ByteRange, ...ByteRange[]];
  if (others.length === 0) {
    response.header('Content-Range', contentRange(only, file.size));
    return [only];
  }
  const boundary = crypto.randomUUID();
  response.header('Content-Type', `multipart/byteranges; boundary=${boundary}`);
  const parts: Part[] = [];
  for (const [i, range] of ranges.entries()) {
    const begin = `${i === 0 ? '' : '\r\n'}--${boundary}\r\n`;
    const head = `Content-Type: ${contentType}\r\nContent-Range: ${contentRange(range, file.size)}\r\n\r\n`;
    parts.push(Buffer.from(`${begin}${head}`), range);
  }
  parts.push(Buffer.from(`\r\n--${boundary}--\r\n`));
  return parts;
}

function sendParts(
  { method }: HttpRequest,
  response: ResponseWriter,
  file: OpenFile,
  parts: readonly Part[],
): Promise<void> | void {
  const byteLength = parts.reduce((sum, part) => sum + part.length, 0);
  response.header('Content-Length', byteLength);
  const { content } = file;
  if (method === 'HEAD') response.body('');
  else if (content !== null) response.body(bytesOf(content, parts));
  else return response.fileBody(file.fd, parts) ?? response.body(piecesOf(file.fd, parts));
}

function bytesOf(content: Buffer, parts: readonly Part[]): Uint8Array {
  const pieces = parts.map((part) =>
    part instanceof Uint8Array ? part : content.subarray(part.start, part.start + part.length),
  );
  return pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces);
}

/** For a body that passes a transform, or goes to a client in memory. Node's threads read it. */
async function* piecesOf(fd: number, parts: readonly Part[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) {
    if (part instanceof Uint8Array) {
      yield part;
      continue;
    }
    const end = part.start + part.length;
    for (let at = part.start; at < end; ) {
      const piece = await readPiece(fd, at, Math.min(PIECE_BYTES, end - at));
      at += piece.length;
      yield piece;
    }
  }
}

function readPiece(fd: number, position: number, length: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    read(fd, Buffer.allocUnsafeSlow(length), 0, length, position, (error, bytesRead, buffer) => {
      if (error !== null) reject(error);
      else if (bytesRead === 0) reject(new Error('the file has become shorter while it was sent'));
      else resolve(buffer.subarray(0, bytesRead));
    });
  });
}
