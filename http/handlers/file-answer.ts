/**
 * File answer: what a client gets of an open file: 200, 206, 304, 412 or 416, with the fields that caches need.
 *
 * Most clients ask for a whole file, without conditions. They get the same field lines, which are made once and kept with the file (`isPlain`). For the others
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
import { checkField } from '../response/response-fields.ts';
import type { FilePart } from '../response/response-writer.ts';
import type { FileClock, FileFields, OpenFile } from './open-files.ts';

const PIECE_BYTES = 65_536;

/** Answers GET and HEAD, and releases the file when the answer has ended. */
export function answerFile(
  request: HttpRequest,
  response: ResponseWriter,
  file: OpenFile,
  fields: FileFields,
  clock: FileClock,
): Promise<void> | void {
  let pending: Promise<void> | void;
  try {
    pending = isPlain(request, response, file)
      ? sendWhole(response, file, fields, clock)
      : answerConditions(request, response, file, fields, clock.now());
  } catch (error) {
    file.release();
    throw error;
  }
  if (pending !== undefined) return pending.finally(() => file.release());
  file.release();
}

/** Whether the client gets the whole file, with the fields that all such clients get. */
function isPlain({ method, headers }: HttpRequest, response: ResponseWriter, file: OpenFile): boolean {
  const isSendable = file.content !== null || response.sendsFiles;
  return method === 'GET' && isSendable && !headers.mayHaveConditions && response.takesKeptLines;
}

function sendWhole(
  response: ResponseWriter,
  file: OpenFile,
  fields: FileFields,
  clock: FileClock,
): Promise<void> | void {
  const lines = fields.lines ?? linesOf(file, fields, clock.now());
  if (file.content === null) return response.keptFile(lines, file.fd, file.size);
  response.keptBytes(lines, file.content);
}

/** Makes the field lines of an answer with the whole file, and keeps them. */
function linesOf(file: OpenFile, fields: FileFields, nowMs: number): string {
  const modifiedMs = modifiedMsOf(file, nowMs);
  const values = {
    Vary: fields.varies ? 'Accept-Encoding' : null,
    ETag: file.etag,
    'Last-Modified': modifiedMs === null ? null : formatHttpDate(modifiedMs),
    'Cache-Control': fields.cacheControl,
    'Accept-Ranges': 'bytes',
    'Content-Type': fields.contentType,
    'Content-Encoding': fields.contentEncoding,
    'Content-Disposition': fields.disposition,
  };
  let lines = '';
  for (const [name, value] of Object.entries(values)) {
    if (value === null) continue;
    checkField(name, value);
    lines += `${name}: ${value}\r\n`;
  }
  if (modifiedMs !== null) fields.lines = lines;
  return lines;
}

/** Null for a time in the future. RFC 9110 section 8.8.2.1: such a Last-Modified would be wrong for a long time. */
function modifiedMsOf({ modifiedMs }: OpenFile, nowMs: number): number | null {
  return modifiedMs <= nowMs ? modifiedMs : null;
}

function answerConditions(
  request: HttpRequest,
  response: ResponseWriter,
  file: OpenFile,
  fields: FileFields,
  nowMs: number,
): Promise<void> | void {
  const { headers, method } = request;
  const modifiedMs = modifiedMsOf(file, nowMs);
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
    nowMs,
  );
  if (fields.varies) response.append('Vary', 'Accept-Encoding');
  if (verdict === 'failed') {
    response.status(412).text('The file is another version than the request names.\n');
    return;
  }
  response.header('ETag', file.etag);
  if (modifiedMs !== null) response.header('Last-Modified', formatHttpDate(modifiedMs));
  response.header('Cache-Control', fields.cacheControl);
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
