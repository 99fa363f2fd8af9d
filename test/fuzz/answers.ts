/**
 * A reader of answers without any tolerance: what it accepts, no client can take for something else.
 *
 * It is written anew, by the RFC, and shares no code with the writer that it checks.
 */

import { fieldsAsUtf8 } from '../oracle/comparison.ts';
import { type Field, valuesOf } from '../oracle/reading.ts';
import { type Answer, readAnswersWithLlhttp } from '../oracle/theirs.ts';

const STATUS_LINE = /^HTTP\/1\.1 ([1-5]\d\d) ([\t -~\x80-\xff]*)$/;
const FIELD_LINE =
  /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)[ \t]*$/;

interface Part<T> {
  readonly value: T;
  /** The offset behind it. */
  readonly end: number;
}

function upTo(text: string, end: string, from: number, what: string): number {
  const at = text.indexOf(end, from);
  if (at < 0) throw new Error(`${what} does not end`);
  return at;
}

function fieldsIn(lines: string): Field[] {
  if (lines === '') return [];
  return lines.split('\r\n').map((line) => {
    const match = FIELD_LINE.exec(line);
    if (match === null) throw new Error(`no field: ${JSON.stringify(line)}`);
    return [match[1] as string, match[2] as string];
  });
}

interface Chunks {
  readonly body: string;
  readonly trailers: Field[];
}

function readChunks(text: string, start: number): Part<Chunks> {
  let body = '';
  for (let at = start; ; ) {
    const lineEnd = upTo(text, '\r\n', at, 'the size of a chunk');
    const line = text.slice(at, lineEnd);
    if (!/^[0-9a-f]{1,8}$/.test(line)) throw new Error(`no size of a chunk: ${JSON.stringify(line)}`);
    const size = Number.parseInt(line, 16);
    if (size === 0) {
      // The CRLF of this line and an empty line, with the trailers between them.
      const end = upTo(text, '\r\n\r\n', lineEnd, 'the trailers');
      return { value: { body, trailers: fieldsIn(text.slice(lineEnd + 2, end)) }, end: end + 4 };
    }
    const dataEnd = lineEnd + 2 + size;
    if (text.slice(dataEnd, dataEnd + 2) !== '\r\n') throw new Error('a chunk does not end in CRLF');
    body += text.slice(lineEnd + 2, dataEnd);
    at = dataEnd + 2;
  }
}

function readBody(text: string, start: number, fields: readonly Field[], isBodyless: boolean): Part<Chunks> {
  const lengths = valuesOf(fields, 'content-length');
  const codings = valuesOf(fields, 'transfer-encoding');
  if (lengths.length + codings.length > 1) throw new Error('more than one field frames the body');
  if (isBodyless) return { value: { body: '', trailers: [] }, end: start };
  if (codings.length > 0) {
    if (codings[0] !== 'chunked') throw new Error(`a coding that nobody asked for: ${codings[0]}`);
    return readChunks(text, start);
  }
  if (lengths.length === 0 && !isClosing(fields)) throw new Error('a body without end on a connection that goes on');
  const end = lengths.length === 0 ? text.length : start + Number(lengths[0]);
  if (!(end <= text.length)) throw new Error(`Content-Length ${lengths[0]}, and ${text.length - start} bytes`);
  return { value: { body: text.slice(start, end), trailers: [] }, end };
}

function isClosing(fields: readonly Field[]): boolean {
  return valuesOf(fields, 'connection').includes('close');
}

/**
 * All answers on a connection that has ended. `methods` are those of the requests, in order; a 1xx comes before the answer
 * to the same request. Throws where the bytes are anything else.
 */
export function readAnswers(bytes: Buffer, methods: readonly string[]): Answer[] {
  const text = bytes.toString('latin1');
  const answers: Answer[] = [];
  let request = 0;
  for (let at = 0; at < text.length; ) {
    const headEnd = upTo(text, '\r\n\r\n', at, 'a head');
    const lineEnd = upTo(text, '\r\n', at, 'a status line');
    const line = STATUS_LINE.exec(text.slice(at, lineEnd));
    if (line === null) throw new Error(`no status line: ${JSON.stringify(text.slice(at, lineEnd))}`);
    const fields = fieldsIn(text.slice(lineEnd + 2, Math.max(lineEnd + 2, headEnd)));
    const status = Number(line[1]);
    const isFinal = status >= 200;
    const hasNoBody = !isFinal || status === 204 || status === 304 || methods[request] === 'HEAD';
    if (isFinal && valuesOf(fields, 'date').length !== 1) throw new Error('a final answer has one Date');
    const { value, end } = readBody(text, headEnd + 4, fields, hasNoBody);
    answers.push({ status, reason: line[2] as string, fields, ...value, keepAlive: !isClosing(fields) });
    at = end;
    if (isFinal) request++;
  }
  return answers;
}

/** What both readers, this one and llhttp, take for the answers. Throws where they disagree. */
export function answersForBoth(bytes: Buffer, methods: readonly string[]): Answer[] {
  const ours = readAnswers(bytes, methods);
  const theirs = JSON.stringify(readAnswersWithLlhttp(bytes, methods));
  const comparable = ours.map((answer) => ({ ...answer, fields: fieldsAsUtf8(answer.fields) }));
  if (JSON.stringify(comparable) !== theirs) throw new Error(`we read ${JSON.stringify(ours)}, llhttp ${theirs}`);
  return ours;
}
