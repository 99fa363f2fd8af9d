/**
 * The language of the golden transcripts: what a client sends and what it must get back, to the byte.
 *
 * A transcript is read by people first. So a line is a line of HTTP, its CRLF understood; every byte that cannot be seen
 * is written as an escape; and what is true of every answer (see answer.ts) is not said again in each. The format:
 *
 *     # a comment                   before the first case also  ! with limits.bodyBytes = 1000
 *     == a title                    begins a case: one connection of its own
 *     > text                        is sent: the text and CRLF; all lines in a row are one write
 *     > text\                       is sent without the CRLF
 *     < text                        must arrive, in the order of the answers; `<` alone ends a head
 *     <..                           any further fields
 *     < {body}                      any body, as long as its head says
 *     <~ text                       must arrive as chunks, however cut; trailer fields and `<` may follow
 *     ! directive                   see `directives` below
 *
 * Escapes: \r \n \t \0 \xHH \\ and, in what is sent, {"text" * times}. In what arrives, {date} is a date of today,
 * {any} any text, {number} digits, {a|b} either, {list with A, B} a list that holds at least these.
 * What is sent after an answer waits for that answer. A case that does not say how it ends leaves the connection open,
 * and the runner proves that by a further request.
 *
 * It refuses to guess: a typing error in a transcript is an exception with its line, never a test that tests nothing.
 *
 * Next: answer.ts
 */

import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Answer, type Field, Pattern } from './answer.ts';

/** How a case ends, from the client's view. */
export type Ending =
  /** One more request is answered. */
  | { readonly kind: 'open' }
  /** The server has sent its FIN, and no byte that was not expected. */
  | { readonly kind: 'close' }
  /** The same, but a reset will do: it tells the client that an answer is not whole. */
  | { readonly kind: 'cut' }
  /** Open or closed, and no byte that was not expected. */
  | { readonly kind: 'either' }
  /** Closed or reset without any success. */
  | { readonly kind: 'no 2xx' }
  /** Closed or reset after no answer, part of one or one: never a byte that could be taken for another. */
  | { readonly kind: 'one answer at most' }
  /** The server has sent its FIN, and stops reading from the client after a time. */
  | { readonly kind: 'reset in the end' };

export type Step =
  | { readonly kind: 'send'; readonly bytes: Buffer }
  | { readonly kind: 'drip'; readonly bytes: Buffer; readonly size: number; readonly everyMs: number }
  | { readonly kind: 'expect'; readonly answers: readonly Answer[] }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'half-close' }
  | { readonly kind: 'reconnect' }
  | { readonly kind: 'stop'; readonly graceMs: number }
  | { readonly kind: 'refused' };

export interface Case {
  readonly title: string;
  readonly file: string;
  readonly line: number;
  readonly steps: readonly Step[];
  readonly ending: Ending;
  /** What must not be among the bytes that arrive. */
  readonly never: readonly Buffer[];
  /** How long it all takes. */
  readonly between: readonly [number, number] | null;
  /** The server refuses the message: `reject` or `answer ... and close`. */
  readonly isRejected: boolean;
}

/** Options of the server, as far as transcripts may set them. */
export interface Settings {
  readonly limits?: Record<string, number>;
  readonly timeouts?: Record<string, number>;
}

export interface TranscriptFile {
  readonly name: string;
  readonly settings: Settings;
  readonly cases: readonly Case[];
}

/**
 * What stands behind every message that must be rejected, in the same write. A server that answers it was made to read a
 * request where the sender meant a body, or the rest of a mess: this is request smuggling.
 */
export const SMUGGLED = Buffer.from('GET /smuggled HTTP/1.1\r\nHost: smuggled\r\n\r\n');

const REASONS: Readonly<Record<string, string>> = {
  '400': 'Bad Request',
  '405': 'Method Not Allowed',
  '408': 'Request Timeout',
  '413': 'Content Too Large',
  '414': 'URI Too Long',
  '417': 'Expectation Failed',
  '431': 'Request Header Fields Too Large',
  '501': 'Not Implemented',
  '505': 'HTTP Version Not Supported',
};

const ESCAPES: Readonly<Record<string, string>> = { r: '\r', n: '\n', t: '\t', '0': '\0', '\\': '\\' };

class TranscriptError extends Error {}

/** Text of a transcript as the bytes it means, one character each. */
function bytesMeantBy(text: string): string {
  if (/[^\x20-\x7e]/.test(text)) throw new TranscriptError('bytes beyond ASCII are written \\xHH');
  return text.replace(/\\(?:x([0-9a-fA-F]{2})|(.?))/g, (whole, hex: string | undefined, letter: string) => {
    const meant = hex === undefined ? ESCAPES[letter] : String.fromCharCode(Number.parseInt(hex, 16));
    if (meant === undefined) throw new TranscriptError(`no such escape: ${whole}`);
    return meant;
  });
}

/** The text of a line, without the backslash that says that no CRLF follows. */
function unterminated(text: string): [string, boolean] {
  const backslashes = /\\*$/.exec(text)?.[0].length ?? 0;
  return backslashes % 2 === 1 ? [text.slice(0, -1), true] : [text, false];
}

function sentText(line: string): string {
  const [text, isOpen] = unterminated(line);
  let bytes = '';
  let from = 0;
  for (const repeat of text.matchAll(/\{"((?:[^"\\]|\\.)*)" \* (\d+)\}/g)) {
    bytes += bytesMeantBy(text.slice(from, repeat.index)) + bytesMeantBy(repeat[1] ?? '').repeat(Number(repeat[2]));
    from = repeat.index + repeat[0].length;
  }
  bytes += bytesMeantBy(text.slice(from));
  return isOpen ? bytes : `${bytes}\r\n`;
}

/** The answer to a message that is refused: its status, and that this is the last one. The body is not compared. */
function refusal(statuses: readonly string[], line: number): Answer {
  const known = statuses.map((status) => {
    const reason = REASONS[status];
    if (reason === undefined) throw new TranscriptError(`no reason phrase known for ${status}`);
    return `${status} ${reason}`;
  });
  return {
    line,
    isOptional: false,
    statusLine: new Pattern(known.length === 1 ? `HTTP/1.1 ${known[0]}` : `HTTP/1.1 {${known.join('|')}}`),
    fields: [
      { name: 'Connection', value: new Pattern('close') },
      { name: 'Date', value: new Pattern('{date}') },
    ],
    allowsMoreFields: true,
    body: { kind: 'framed' },
  };
}

/** The lines of one answer, gathered until the next one begins. */
class AnswerDraft {
  readonly #line: number;
  readonly #isOptional: boolean;
  readonly #statusLine: Pattern;
  readonly #fields: Field[] = [];
  readonly #trailers: Field[] = [];
  #allowsMoreFields = false;
  #isHeadOver = false;
  #isFramed = false;
  #isChunked = false;
  #areTrailersOver = false;
  #body = '';

  constructor(statusLine: string, line: number, isOptional: boolean) {
    this.#line = line;
    this.#isOptional = isOptional;
    this.#statusLine = new Pattern(statusLine);
  }

  add(text: string): void {
    if (!this.#isHeadOver) {
      if (text === '') this.#isHeadOver = true;
      else this.#fields.push(this.#field(text));
    } else if (text === '{body}') {
      this.#isFramed = true;
    } else if (this.#isChunked) {
      if (this.#areTrailersOver) throw new TranscriptError('the trailers are over');
      if (text === '') this.#areTrailersOver = true;
      else this.#trailers.push(this.#field(text));
    } else {
      this.#body += sentText(text);
    }
    if (this.#isFramed && this.#body !== '') throw new TranscriptError('{body} is the whole body');
  }

  addMore(): void {
    if (this.#isHeadOver) throw new TranscriptError('`<..` belongs into a head');
    this.#allowsMoreFields = true;
  }

  addChunked(text: string): void {
    if (!this.#isHeadOver) throw new TranscriptError('a body before the head is over');
    this.#isChunked = true;
    this.#body += sentText(text);
  }

  finish(): Answer {
    if (!this.#isHeadOver) throw new TranscriptError('this answer lacks the empty line after its head');
    const bytes = Buffer.from(this.#body, 'latin1');
    const body: Answer['body'] = this.#isFramed
      ? { kind: 'framed' }
      : this.#isChunked
        ? { kind: 'chunked', bytes, trailers: this.#trailers }
        : { kind: 'exact', bytes };
    return {
      line: this.#line,
      isOptional: this.#isOptional,
      statusLine: this.#statusLine,
      fields: this.#fields,
      allowsMoreFields: this.#allowsMoreFields,
      body,
    };
  }

  #field(text: string): Field {
    const match = /^([^:\s]+):(?: (.*))?$/.exec(text);
    if (match === null) throw new TranscriptError(`not a field: ${text}`);
    return { name: match[1] ?? '', value: new Pattern(bytesMeantBy(match[2] ?? '')) };
  }
}

class CaseDraft {
  readonly title: string;
  readonly #file: string;
  readonly #line: number;
  readonly #steps: Step[] = [];
  readonly #never: Buffer[] = [];
  #between: [number, number] | null = null;
  #ending: Ending | null = null;
  #isRejected = false;
  #sending = '';
  #answers: Answer[] = [];
  #answer: AnswerDraft | null = null;
  #drip: { size: number; everyMs: number } | null = null;
  #isNextOptional = false;

  constructor(title: string, file: string, line: number) {
    this.title = title;
    this.#file = file;
    this.#line = line;
  }

  send(text: string): void {
    this.#mustGoOn();
    this.#endAnswers();
    this.#sending += sentText(text);
  }

  receive(text: string, line: number): void {
    this.#mustGoOn();
    this.#endSending();
    if (text.startsWith('HTTP/')) {
      this.#endAnswer();
      this.#answer = new AnswerDraft(text, line, this.#isNextOptional);
      this.#isNextOptional = false;
    } else {
      this.#current().add(text);
    }
  }

  receiveMore(): void {
    this.#current().addMore();
  }

  receiveChunked(text: string): void {
    this.#current().addChunked(text);
  }

  direct(text: string, line: number): void {
    for (const [form, act] of directives) {
      const match = form.exec(text);
      if (match === null) continue;
      act(this, match.slice(1), line);
      return;
    }
    throw new TranscriptError(`no such directive: ${text}`);
  }

  step(step: Step): void {
    this.#mustGoOn();
    this.#endSending();
    this.#endAnswers();
    this.#steps.push(step);
  }

  drip(size: number, everyMs: number): void {
    this.#mustGoOn();
    this.#endSending();
    this.#endAnswers();
    this.#drip = { size, everyMs };
  }

  end(ending: Ending): void {
    this.#mustGoOn();
    this.#endSending();
    this.#endAnswers();
    this.#ending = ending;
  }

  refuse(statuses: string, line: number, isFollowed: boolean): void {
    this.#mustGoOn();
    this.#endSending();
    this.#endAnswers();
    if (isFollowed) this.#follow();
    this.#steps.push({ kind: 'expect', answers: [refusal(statuses.split(' or '), line)] });
    this.#ending = { kind: 'close' };
    this.#isRejected = true;
  }

  maybe(): void {
    this.#isNextOptional = true;
  }

  forbid(text: string): void {
    this.#never.push(Buffer.from(bytesMeantBy(text), 'latin1'));
  }

  limit(from: number, to: number): void {
    this.#between = [from, to];
  }

  finish(): Case {
    this.#endSending();
    this.#endAnswers();
    if (this.#isNextOptional) throw new TranscriptError('maybe what?');
    if (this.#drip !== null) throw new TranscriptError('drip what?');
    if (this.#steps.length === 0 && this.#ending === null) throw new TranscriptError('this case does nothing');
    return {
      title: this.title,
      file: this.#file,
      line: this.#line,
      steps: this.#steps,
      ending: this.#ending ?? { kind: 'open' },
      never: this.#never,
      between: this.#between,
      isRejected: this.#isRejected,
    };
  }

  #current(): AnswerDraft {
    if (this.#answer === null) throw new TranscriptError('an answer begins with its status line');
    return this.#answer;
  }

  #mustGoOn(): void {
    if (this.#ending !== null) throw new TranscriptError('the case has ended above');
  }

  #endSending(): void {
    if (this.#sending === '') return;
    const bytes = Buffer.from(this.#sending, 'latin1');
    this.#steps.push(this.#drip === null ? { kind: 'send', bytes } : { kind: 'drip', bytes, ...this.#drip });
    this.#drip = null;
    this.#sending = '';
  }

  #endAnswer(): void {
    if (this.#answer !== null) this.#answers.push(this.#answer.finish());
    this.#answer = null;
  }

  #endAnswers(): void {
    this.#endAnswer();
    if (this.#answers.length > 0) this.#steps.push({ kind: 'expect', answers: this.#answers });
    this.#answers = [];
  }

  /** Puts the smuggled request right behind what was sent last. */
  #follow(): void {
    const last = this.#steps.findLastIndex((step) => step.kind === 'send');
    const step = this.#steps[last];
    if (step?.kind !== 'send') throw new TranscriptError('nothing was sent that could be rejected');
    this.#steps[last] = { kind: 'send', bytes: Buffer.concat([step.bytes, SMUGGLED]) };
  }
}

type Directive = (draft: CaseDraft, words: readonly string[], line: number) => void;

const directives: readonly (readonly [RegExp, Directive])[] = [
  // A refusal: exactly one answer with this status and `Connection: close`, then FIN. A valid request is pipelined
  // behind what was sent, and never answered.
  [/^reject (\d{3}(?: or \d{3})*)$/, (draft, [statuses = ''], line) => draft.refuse(statuses, line, true)],
  // The same, with nothing behind: the server must not wait for more.
  [/^answer (\d{3}(?: or \d{3})*) and close$/, (draft, [statuses = ''], line) => draft.refuse(statuses, line, false)],
  // How it ends.
  [/^open$/, (draft) => draft.end({ kind: 'open' })],
  [/^close$/, (draft) => draft.end({ kind: 'close' })],
  [/^cut$/, (draft) => draft.end({ kind: 'cut' })],
  [/^open or close$/, (draft) => draft.end({ kind: 'either' })],
  [/^no 2xx$/, (draft) => draft.end({ kind: 'no 2xx' })],
  [/^one answer at most$/, (draft) => draft.end({ kind: 'one answer at most' })],
  [/^reset in the end$/, (draft) => draft.end({ kind: 'reset in the end' })],
  // What the client does besides sending.
  [/^half-close$/, (draft) => draft.step({ kind: 'half-close' })],
  [/^wait (\d+) ms$/, (draft, [ms]) => draft.step({ kind: 'wait', ms: Number(ms) })],
  [/^drip (\d+) bytes? every (\d+) ms$/, (draft, [size, ms]) => draft.drip(Number(size), Number(ms))],
  // The client breaks off with a reset and comes back on a new connection.
  [/^reconnect$/, (draft) => draft.step({ kind: 'reconnect' })],
  // The server is told to stop; such a case has a server of its own.
  [/^stop the server with a grace of (\d+) ms$/, (draft, [ms]) => draft.step({ kind: 'stop', graceMs: Number(ms) })],
  [/^a new connection is refused$/, (draft) => draft.step({ kind: 'refused' })],
  // What else must hold. `maybe`: the answer that follows may be left out.
  [/^maybe$/, (draft) => draft.maybe()],
  [/^never "(.+)"$/, (draft, [text = '']) => draft.forbid(text)],
  [/^between (\d+) and (\d+) ms$/, (draft, [from, to]) => draft.limit(Number(from), Number(to))],
];

class FileDraft {
  readonly #name: string;
  readonly #settings = { limits: {} as Record<string, number>, timeouts: {} as Record<string, number> };
  readonly #cases: Case[] = [];
  #draft: CaseDraft | null = null;

  constructor(name: string) {
    this.#name = name;
  }

  add(text: string, line: number): void {
    if (/[ \t\r]$/.test(text)) throw new TranscriptError('white space at the end of a line: write \\x20 or \\t');
    if (text === '' || text.startsWith('#')) return;
    if (text.startsWith('== ')) {
      this.#endCase();
      this.#draft = new CaseDraft(text.slice(3), this.#name, line);
    } else if (this.#draft === null) {
      this.#set(text);
    } else {
      this.#addTo(this.#draft, text, line);
    }
  }

  finish(): TranscriptFile {
    this.#endCase();
    const titles = this.#cases.map((one) => one.title);
    const twice = titles.find((title, i) => titles.indexOf(title) !== i);
    if (twice !== undefined) throw new TranscriptError(`two cases have this title: ${twice}`);
    return { name: this.#name, settings: this.#settings, cases: this.#cases };
  }

  #addTo(draft: CaseDraft, text: string, line: number): void {
    if (/^>( |$)/.test(text)) draft.send(text.slice(2));
    else if (text === '<..') draft.receiveMore();
    else if (text.startsWith('<~ ')) draft.receiveChunked(text.slice(3));
    else if (/^<( |$)/.test(text)) draft.receive(text.slice(2), line);
    else if (text.startsWith('! ')) draft.direct(text.slice(2), line);
    else throw new TranscriptError(`what is this? ${text}`);
  }

  #set(text: string): void {
    const match = /^! with (limits|timeouts)\.(\w+) = (\d+)$/.exec(text);
    if (match === null) throw new TranscriptError('before the first case: `! with limits.name = number`');
    this.#settings[match[1] as 'limits' | 'timeouts'][match[2] ?? ''] = Number(match[3]);
  }

  #endCase(): void {
    if (this.#draft !== null) this.#cases.push(this.#draft.finish());
    this.#draft = null;
  }
}

/** A file of transcripts from its text. Throws, naming the line, if it is not one. */
export function parseTranscripts(name: string, text: string): TranscriptFile {
  const draft = new FileDraft(name);
  let at = 0;
  try {
    for (const line of text.split('\n')) draft.add(line, ++at);
    return draft.finish();
  } catch (error) {
    if (!(error instanceof TranscriptError)) throw error;
    throw new Error(`${name}:${at}: ${error.message}`, { cause: error });
  }
}

/** The answers a case expects, in order. */
export function answersOf(one: Case): Answer[] {
  return one.steps.flatMap((step) => (step.kind === 'expect' ? step.answers : []));
}

/** What a case sends, all of it. */
export function bytesOf(one: Case): Buffer {
  return Buffer.concat(one.steps.map((step) => ('bytes' in step ? step.bytes : Buffer.alloc(0))));
}

/** Statuses that say that the request itself was no good, as opposed to what it asked for. */
const REFUSALS = /^HTTP\/1\.1 .*\b(?:400|408|413|414|431|505)\b/;

const UNSETTLED: readonly Ending['kind'][] = ['no 2xx', 'one answer at most', 'reset in the end'];

/** The client asked whether to send a body, and was answered without a 100: that body never came. */
function isBodyHeldBack(one: Case): boolean {
  const isAsked = /\r\nExpect: 100-continue\r\n/i.test(bytesOf(one).toString('latin1'));
  return isAsked && one.ending.kind === 'close' && !bytesOf(one).includes('hello');
}

/** Whether everything that a case sends is one or more whole requests that every server understands. */
export function isValid(one: Case): boolean {
  if (one.isRejected || UNSETTLED.includes(one.ending.kind)) return false;
  if (one.steps.some((step) => step.kind === 'drip' || step.kind === 'reconnect')) return false;
  if (isBodyHeldBack(one)) return false;
  return bytesOf(one).length > 0 && !answersOf(one).some((answer) => REFUSALS.test(answer.statusLine.text));
}

const CRLF = Buffer.from('\r\n');
const HEAD_END = Buffer.from('\r\n\r\n');

/**
 * Where a valid request ends that begins at `start`. This is no parser to learn from: it believes everything, as it may
 * with requests that we wrote ourselves.
 */
function endOfRequest(bytes: Buffer, start: number): number {
  let head = start;
  while (bytes.subarray(head, head + 2).equals(CRLF)) head += 2;
  const headEnd = bytes.indexOf(HEAD_END, head);
  if (headEnd < 0) throw new Error('a valid request without the end of its head');
  const fields = bytes.toString('latin1', head, headEnd + 2);
  let at = headEnd + 4;
  if (!/\r\ntransfer-encoding:[ \t]*chunked[ \t]*\r\n/i.test(fields)) {
    return at + Number(/\r\ncontent-length:[ \t]*(\d+)/i.exec(fields)?.[1] ?? 0);
  }
  for (;;) {
    const lineEnd = bytes.indexOf(CRLF, at);
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    if (size === 0) return bytes.indexOf(HEAD_END, lineEnd) + 4;
    at = lineEnd + 2 + size + 2;
  }
}

/** The requests of one valid case, each by itself. Empty lines that stand before one belong to it. */
export function requestsOf(one: Case): Buffer[] {
  const bytes = bytesOf(one);
  const requests: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = endOfRequest(bytes, at);
    if (end > bytes.length) throw new Error(`${one.file}:${one.line}: the last request is not whole`);
    requests.push(bytes.subarray(at, end));
    at = end;
  }
  return requests;
}

/** The transcripts lie where they were written; only the tests are compiled to build/test/transcripts. */
export const FOLDER = join(import.meta.dirname, '../../../test/transcripts');

export function readCorpus(): TranscriptFile[] {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith('.txt'));
  return names.sort().map((name) => parseTranscripts(basename(name), readFileSync(join(FOLDER, name), 'utf8')));
}

/** Every valid request of the corpus. Some are long: a test that cuts them at each pair of offsets may skip those. */
export function validRequests(): { title: string; bytes: Buffer }[] {
  const valid = readCorpus().flatMap((file) => file.cases.filter(isValid));
  return valid.flatMap((one) =>
    requestsOf(one).map((bytes, i, all) => ({
      title: `${one.file}: ${one.title}${all.length > 1 ? `, request ${i + 1}` : ''}`,
      bytes,
    })),
  );
}
