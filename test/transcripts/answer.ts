/**
 * Answers: what a transcript expects of one, what bytes are one, and whether the two agree. Pure.
 *
 * Besides what a transcript says, every answer must keep the laws of HTTP that need no transcript: see `brokenLaw`.
 * The order of fields is not compared, because it means nothing (RFC 9110 section 5.3). It never repairs what it reads:
 * a head that a browser would forgive is a failure here.
 *
 * Next: conversation.ts
 */

export interface Field {
  readonly name: string;
  readonly value: Pattern;
}

export type ExpectedBody =
  | { readonly kind: 'exact'; readonly bytes: Buffer }
  /** As long as the head says, whatever it is. */
  | { readonly kind: 'framed' }
  /** These bytes, in whatever chunks. */
  | { readonly kind: 'chunked'; readonly bytes: Buffer; readonly trailers: readonly Field[] };

export interface Answer {
  /** Where in the transcript. */
  readonly line: number;
  readonly isOptional: boolean;
  readonly statusLine: Pattern;
  readonly fields: readonly Field[];
  readonly allowsMoreFields: boolean;
  readonly body: ExpectedBody;
}

export type Comparison =
  /** Everything has arrived, and it is `length` bytes long. */
  | { readonly kind: 'match'; readonly length: number }
  /** So far it is right, and there must be more. */
  | { readonly kind: 'unfinished'; readonly reason: string }
  | { readonly kind: 'mismatch'; readonly reason: string };

/** What was received, and whether there can be more of it. */
export interface Received {
  readonly bytes: Buffer;
  readonly isEnded: boolean;
  /** Milliseconds since 1970: what {date} must be near to. */
  readonly now: number;
}

const DATE_TOLERANCE_MS = 10_000;

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

function listOf(text: string): string[] {
  return text.split(',').map((item) => item.trim());
}

/** An IMF-fixdate (RFC 9110 section 5.6.7), with the day of the week that belongs to it, and not long ago. */
function isDate(text: string, now: number): boolean {
  const time = Date.parse(text);
  return new Date(time).toUTCString() === text && Math.abs(time - now) < DATE_TOLERANCE_MS;
}

/** One line of an expected answer, with its placeholders. */
export class Pattern {
  readonly text: string;
  readonly #form: RegExp;
  readonly #checks: ((text: string, now: number) => boolean)[] = [];

  constructor(text: string) {
    this.text = text;
    const parts = text.split(/\{(date|any|number|list with [^{}]+|[^{}"]*\|[^{}"]*)\}/);
    const sources = parts.map((part, i) => (i % 2 === 0 ? escapeRegExp(part) : this.#placeholder(part)));
    this.#form = new RegExp(`^${sources.join('')}$`, 's');
  }

  matches(text: string, now: number): boolean {
    const match = this.#form.exec(text);
    return match !== null && this.#checks.every((check, i) => check(match[i + 1] ?? '', now));
  }

  #placeholder(name: string): string {
    if (name === 'any') return '.*';
    if (name === 'number') return '\\d+';
    if (name === 'date') {
      this.#checks.push(isDate);
      return '(.*)';
    }
    if (name.startsWith('list with ')) {
      const wanted = listOf(name.slice('list with '.length));
      this.#checks.push((text) => wanted.every((item) => listOf(text).includes(item)));
      return '(.*)';
    }
    return `(?:${name.split('|').map(escapeRegExp).join('|')})`;
  }
}

interface Head {
  readonly statusLine: string;
  readonly status: number;
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** Where the body begins. */
  readonly end: number;
}

/** What is wrong, as a value: most comparisons of half an answer end in one of these. */
class Trouble {
  readonly isFinal: boolean;
  readonly reason: string;

  constructor(reason: string, isFinal: boolean) {
    this.reason = reason;
    this.isFinal = isFinal;
  }
}

function missing(received: Received, what: string): Trouble {
  return new Trouble(
    received.isEnded ? `the connection ended before ${what}` : `waiting for ${what}`,
    received.isEnded,
  );
}

const FIELD_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\t\x20-\x7e\x80-\xff]*)$/;

function fieldsOf(lines: readonly string[]): [string, string][] | Trouble {
  const fields: [string, string][] = [];
  for (const line of lines) {
    const match = FIELD_LINE.exec(line);
    if (match === null) return new Trouble(`not a field: ${JSON.stringify(line)}`, true);
    fields.push([match[1] ?? '', match[2] ?? '']);
  }
  return fields;
}

function readHead(received: Received, start: number): Head | Trouble {
  const { bytes } = received;
  const preface = bytes.toString('latin1', start, start + 9);
  if (preface !== 'HTTP/1.1 '.slice(0, preface.length)) {
    return new Trouble(`no status line: ${JSON.stringify(bytes.toString('latin1', start, start + 40))}`, true);
  }
  const end = bytes.indexOf('\r\n\r\n', start);
  if (end < 0) return missing(received, 'the head of an answer');
  const [statusLine = '', ...lines] = bytes.toString('latin1', start, end).split('\r\n');
  const fields = fieldsOf(lines);
  if (fields instanceof Trouble) return fields;
  return { statusLine, status: Number(statusLine.slice(9, 12)), fields, end: end + 4 };
}

function valuesOf(head: Head, name: string): string[] {
  return head.fields.filter(([one]) => one.toLowerCase() === name).map(([, value]) => value);
}

/** What every answer must keep, so that no transcript has to say it. */
function brokenLaw(head: Head, now: number): string | null {
  const isInterim = head.status < 200;
  const lengths = valuesOf(head, 'content-length');
  const codings = valuesOf(head, 'transfer-encoding');
  const dates = valuesOf(head, 'date');
  if (!/^HTTP\/1\.1 [1-5]\d\d [\t\x20-\x7e\x80-\xff]*$/.test(head.statusLine)) return 'this is no status line';
  if (!isInterim && dates.length !== 1) return 'a final answer has one Date (RFC 9110 section 6.6.1)';
  if (dates.some((date) => !isDate(date, now))) return 'Date is no IMF-fixdate of this moment (RFC 9110 section 5.6.7)';
  if (lengths.length > 1 || codings.length > 1) return 'two fields that frame the body';
  if (lengths.length + codings.length > 1) return 'both Content-Length and Transfer-Encoding (RFC 9112 section 6.2)';
  if (lengths.some((length) => !/^\d+$/.test(length))) return 'Content-Length is no number';
  if (codings.some((coding) => coding !== 'chunked')) return 'a transfer coding that nobody asked for';
  if ((isInterim || head.status === 204) && lengths.length + codings.length > 0) {
    return 'Content-Length or Transfer-Encoding on 1xx or 204 (RFC 9110 section 8.6, RFC 9112 section 6.1)';
  }
  if (head.status === 405 && valuesOf(head, 'allow').length !== 1) return '405 without Allow (RFC 9110 section 15.5.6)';
  return null;
}

function compareFields(
  expected: readonly Field[],
  actual: readonly (readonly [string, string])[],
  allowsMore: boolean,
  now: number,
): string | null {
  const left = [...actual];
  for (const { name, value } of expected) {
    const found = left.findIndex(
      ([one, text]) => one.toLowerCase() === name.toLowerCase() && value.matches(text.trimEnd(), now),
    );
    if (found < 0) return `no field ${name}: ${value.text}`;
    left.splice(found, 1);
  }
  if (allowsMore || left.length === 0) return null;
  return `a field that is not expected: ${left.map((field) => field.join(': ')).join(', ')}`;
}

interface Chunked {
  readonly data: Buffer;
  readonly trailers: readonly (readonly [string, string])[];
  readonly end: number;
}

/** Chunks and trailers, read with no tolerance at all. */
function readChunked(received: Received, start: number): Chunked | Trouble {
  const { bytes } = received;
  const pieces: Buffer[] = [];
  for (let at = start; ; ) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return missing(received, 'the size of a chunk');
    const line = bytes.toString('latin1', at, lineEnd);
    if (!/^[0-9a-fA-F]+$/.test(line)) return new Trouble(`not the size of a chunk: ${JSON.stringify(line)}`, true);
    const size = Number.parseInt(line, 16);
    if (size === 0) return readTrailers(received, Buffer.concat(pieces), lineEnd + 2);
    const dataEnd = lineEnd + 2 + size;
    if (bytes.length < dataEnd + 2) return missing(received, 'the end of a chunk');
    if (bytes.toString('latin1', dataEnd, dataEnd + 2) !== '\r\n') return new Trouble('no CRLF after a chunk', true);
    pieces.push(bytes.subarray(lineEnd + 2, dataEnd));
    at = dataEnd + 2;
  }
}

function readTrailers(received: Received, data: Buffer, start: number): Chunked | Trouble {
  const { bytes } = received;
  if (bytes.toString('latin1', start, start + 2) === '\r\n') return { data, trailers: [], end: start + 2 };
  const end = bytes.indexOf('\r\n\r\n', start);
  if (end < 0) return missing(received, 'the end of the trailers');
  const trailers = fieldsOf(bytes.toString('latin1', start, end).split('\r\n'));
  return trailers instanceof Trouble ? trailers : { data, trailers, end: end + 4 };
}

/** Where the body ends, by what the head says of it (RFC 9112 section 6.3). */
function endOfBody(received: Received, head: Head): number | Trouble {
  const { bytes } = received;
  if (head.status < 200 || head.status === 204 || head.status === 304) return head.end;
  if (valuesOf(head, 'transfer-encoding').length > 0) {
    const chunked = readChunked(received, head.end);
    return chunked instanceof Trouble ? chunked : chunked.end;
  }
  const [length] = valuesOf(head, 'content-length');
  if (length === undefined)
    return received.isEnded ? bytes.length : new Trouble('waiting for the end of the body', false);
  const end = head.end + Number(length);
  return bytes.length < end ? missing(received, 'the end of the body') : end;
}

function compareExact(received: Received, start: number, wanted: Buffer): number | Trouble {
  const actual = received.bytes.subarray(start, start + wanted.length);
  if (!actual.equals(wanted.subarray(0, actual.length))) {
    return new Trouble(`the body should be ${quote(wanted)}, and is ${quote(actual)}`, true);
  }
  return actual.length < wanted.length ? missing(received, 'the rest of the body') : start + wanted.length;
}

function compareBody(received: Received, head: Head, expected: ExpectedBody): number | Trouble {
  if (expected.kind === 'framed') return endOfBody(received, head);
  if (expected.kind === 'exact') return compareExact(received, head.end, expected.bytes);
  const chunked = readChunked(received, head.end);
  if (chunked instanceof Trouble) return chunked;
  if (!chunked.data.equals(expected.bytes)) {
    return new Trouble(`the body should be ${quote(expected.bytes)}, and is ${quote(chunked.data)}`, true);
  }
  const trouble = compareFields(expected.trailers, chunked.trailers, false, received.now);
  return trouble === null ? chunked.end : new Trouble(`among the trailers: ${trouble}`, true);
}

/** The end of one answer that begins at `start`, null if it was left out and may be. */
function compareOne(expected: Answer, received: Received, start: number): number | Trouble | null {
  if (start === received.bytes.length && expected.isOptional && received.isEnded) return null;
  const head = readHead(received, start);
  if (head instanceof Trouble) return head;
  const broken = brokenLaw(head, received.now);
  if (broken !== null) return new Trouble(broken, true);
  if (!expected.statusLine.matches(head.statusLine, received.now)) {
    if (expected.isOptional) return null;
    return new Trouble(`the status line is ${head.statusLine}`, true);
  }
  const trouble = compareFields(expected.fields, head.fields, expected.allowsMoreFields, received.now);
  return trouble === null ? compareBody(received, head, expected.body) : new Trouble(trouble, true);
}

/** Compares what was received, from `start`, with answers that must arrive one after the other. */
export function compareAnswers(expected: readonly Answer[], received: Received, start: number): Comparison {
  let at = start;
  for (const answer of expected) {
    const end = compareOne(answer, received, at);
    if (end instanceof Trouble) {
      const reason = `${end.reason} (expected in line ${answer.line})`;
      return { kind: end.isFinal ? 'mismatch' : 'unfinished', reason };
    }
    at = end ?? at;
  }
  return { kind: 'match', length: at - start };
}

/**
 * What is wrong with the bytes of a connection that has ended on which there may be one answer at most, whole or not.
 * `isSuccessAllowed` says whether that may be a 2xx.
 */
export function faultOfLastWords(received: Received, start: number, isSuccessAllowed: boolean): string | null {
  if (start === received.bytes.length) return null;
  const head = readHead(received, start);
  // A head that was cut off cannot be taken for an answer.
  if (head instanceof Trouble) return head.reason.startsWith('the connection ended') ? null : head.reason;
  if (!isSuccessAllowed && head.status < 300) return `a success: ${head.statusLine}`;
  const broken = brokenLaw(head, received.now);
  if (broken !== null) return broken;
  const end = endOfBody(received, head);
  if (end instanceof Trouble) return end.reason.startsWith('the connection ended') ? null : end.reason;
  return end === received.bytes.length ? null : `after the answer: ${quote(received.bytes.subarray(end))}`;
}

const MAX_QUOTED = 80;

/** Bytes on one line, shortened. */
export function quote(bytes: Buffer): string {
  const text = visible(bytes.toString('latin1', 0, MAX_QUOTED));
  return `"${text}"${bytes.length > MAX_QUOTED ? ` and ${bytes.length - MAX_QUOTED} bytes more` : ''}`;
}

/** Text with its control bytes and its bytes beyond ASCII as a transcript writes them. */
export function visible(text: string): string {
  const names: Readonly<Record<string, string>> = { '\r': '\\r', '\n': '\\n', '\t': '\\t', '\0': '\\0', '\\': '\\\\' };
  return text.replace(
    /[^\x20-\x7e]|\\/g,
    (byte) => names[byte] ?? `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

/** Bytes as lines of a transcript: each ends in CRLF, or in a backslash if it does not. */
export function asLines(bytes: Buffer): string[] {
  const pieces = bytes.toString('latin1').split('\r\n');
  const last = pieces.pop() ?? '';
  return [...pieces.map(visible), ...(last === '' ? [] : [`${visible(last)}\\`])];
}
