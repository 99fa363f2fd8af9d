/**
 * llhttp, the parser of node:http, as a Reader and as a reader of answers.
 *
 * It is the judge that is not us: written by others, for the same job, and read by millions of servers' attackers. It runs as
 * WebAssembly, in its strict mode. The wrapper hands out fields without saying which of two pieces belong together, so
 * llhttp always gets its bytes whole; that it does not matter how they are cut is ours to prove, not its.
 *
 * Each message is read by a parser in its first state: it pauses at the end of one, and the next begins behind.
 */

import { createParser, METHODS } from 'llhttp-wasm';
import type { Field, Message, Reading, Rest } from './reading.ts';

/** From llhttp.h; the wrapper has no names for them. */
const HPE_OK = 0;
const HPE_PAUSED = 21;
const HPE_PAUSED_UPGRADE = 22;
const SKIP_BODY = 1;

const names = new Map(Object.entries(METHODS).map(([name, number]) => [number, name]));

type Parser = ReturnType<typeof createParser>;

/** The declared type is wrong: the wrapper looks the number up by this name. */
const parserOf = (type: 'REQUEST' | 'RESPONSE'): Parser => createParser(type as unknown as number);

const utf8 = new TextDecoder();

/** The wrapper reads all text as UTF-8. So what is compared with its text must be read in the same way. */
export function asUtf8(latin1: string): string {
  return /[^\x00-\x7f]/.test(latin1) ? utf8.decode(Buffer.from(latin1, 'latin1')) : latin1;
}

/** llhttp leaves the blanks behind a value to its caller; node:http cuts them off as well. */
function fieldsIn(names: readonly string[], values: readonly string[]): Field[] {
  return names.map((name, i) => [name, (values[i] ?? '').replace(/(?<![ \t])[ \t]+$/, '')]);
}

interface Draft {
  readonly minorVersion: number;
  readonly majorVersion: number;
  readonly method: string;
  readonly target: string;
  readonly status: number;
  readonly reason: string;
  readonly keepAlive: boolean;
  readonly fields: Field[];
}

interface ReadMessage extends Draft {
  readonly trailers: Field[];
  readonly body: string;
  /** How many bytes it took. */
  readonly length: number;
}

type Verdict = ReadMessage | Exclude<Rest, { kind: 'ignored' }>;

/** Reads one message after the other. */
class Llhttp {
  readonly #parser: Parser;
  #hasBegun = false;
  #draft: Draft | null = null;
  #body: Buffer[] = [];
  #isComplete = false;
  #isBodyless = false;

  constructor(type: 'REQUEST' | 'RESPONSE') {
    const parser = parserOf(type);
    this.#parser = parser;
    parser.onMessageBegin = () => {
      this.#hasBegun = true;
      return HPE_OK;
    };
    parser.onHeadersComplete = (head) => {
      this.#draft = {
        majorVersion: head.versionMajor,
        minorVersion: head.versionMinor,
        method: names.get(head.method ?? -1) ?? '',
        target: head.url ?? '',
        status: head.statusCode ?? 0,
        reason: head.statusMessage ?? '',
        keepAlive: head.shouldKeepAlive,
        fields: fieldsIn(parser.headerFields, parser.headerValues),
      };
      return this.#isBodyless ? SKIP_BODY : HPE_OK;
    };
    parser.onBody = (piece) => {
      this.#body.push(Buffer.from(piece));
      return HPE_OK;
    };
    parser.onMessageComplete = () => {
      this.#isComplete = true;
      return HPE_PAUSED;
    };
  }

  /** `isBodyless`: an answer to HEAD. `isEnded`: nothing follows, which ends an answer that says no length. */
  read(bytes: Buffer, { isBodyless = false, isEnded = false } = {}): Verdict {
    const parser = this.#parser;
    parser.reset();
    this.#hasBegun = false;
    this.#isComplete = false;
    this.#draft = null;
    this.#body = [];
    this.#isBodyless = isBodyless;
    const code = parser.execute(bytes);
    // The end of a connection completes a message from within `finish`, which pauses as well.
    if (isEnded && code === HPE_OK) parser.finish();
    const within = this.#draft === null ? 'head' : 'body';
    if (this.#isComplete) return this.#message(code === HPE_OK ? bytes.length : parser.getErrorPosition());
    if (code === HPE_OK) return this.#hasBegun ? { kind: 'unfinished', within } : { kind: 'nothing' };
    if (code === HPE_PAUSED || code === HPE_PAUSED_UPGRADE) throw new Error(`llhttp pauses for ${code}`);
    return { kind: 'refused', within, why: `${parser.getErrorName(code)}: ${parser.getErrorReason(code)}` };
  }

  #message(length: number): ReadMessage {
    const draft = this.#draft as unknown as Draft;
    const { headerFields, headerValues } = this.#parser;
    const headCount = draft.fields.length;
    return {
      ...draft,
      trailers: fieldsIn(headerFields.slice(headCount), headerValues.slice(headCount)),
      body: Buffer.concat(this.#body).toString('latin1'),
      length,
    };
  }
}

/** What llhttp alone says of a request. */
export interface TheirMessage extends Message {
  readonly majorVersion: number;
}

const requests = new Llhttp('REQUEST');
const answers = new Llhttp('RESPONSE');

export function readWithLlhttp(bytes: Buffer): Reading {
  const messages: TheirMessage[] = [];
  let at = 0;
  while (at < bytes.length) {
    const verdict = requests.read(bytes.subarray(at));
    if ('kind' in verdict) return { messages, rest: verdict };
    at += verdict.length;
    const { method, target, majorVersion, minorVersion, fields, body, trailers, keepAlive } = verdict;
    messages.push({ method, target, majorVersion, minorVersion, fields, body, trailers, keepAlive, end: at });
    if (!keepAlive) return { messages, rest: { kind: 'ignored' } };
  }
  return { messages, rest: { kind: 'nothing' } };
}

/** An answer as its reader sees it. */
export interface Answer {
  readonly status: number;
  readonly reason: string;
  readonly fields: readonly Field[];
  readonly body: string;
  readonly trailers: readonly Field[];
  readonly keepAlive: boolean;
}

/**
 * The answers on a connection that has ended. `methods` are those of the requests, in order; a 1xx comes before the answer
 * to the same request. Throws where it is no answer.
 */
export function readAnswersWithLlhttp(bytes: Buffer, methods: readonly string[]): Answer[] {
  const found: Answer[] = [];
  let at = 0;
  for (let i = 0; at < bytes.length; ) {
    const verdict = answers.read(bytes.subarray(at), { isBodyless: methods[i] === 'HEAD', isEnded: true });
    if ('kind' in verdict) throw new Error(`llhttp reads no answer at ${at}: ${JSON.stringify(verdict)}`);
    const { status, reason, fields, body, trailers, keepAlive, length } = verdict;
    found.push({ status, reason, fields, body, trailers, keepAlive });
    at += length;
    if (status >= 200) i++;
  }
  return found;
}
