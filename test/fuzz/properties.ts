/**
 * What must hold for all bytes that can arrive on a connection, each as a function that says what is wrong.
 *
 * They take the reader as an argument, so that a test can plant a reader with a bug and see that it is found.
 */

import type { Handler } from '../../http/handler.ts';
import { defaultLimits, type Limits } from '../../http/limits.ts';
import { judge } from '../oracle/oracle.ts';
import { type CoreOptions, createReader } from '../oracle/ours.ts';
import { type Message, type Reader, type Reading, valuesOf } from '../oracle/reading.ts';
import type { Answer } from '../oracle/theirs.ts';
import { converse } from './memory-client.ts';
import { responsesForBoth } from './responses.ts';

/** Bytes, and where they are cut when they arrive; the last cut is their length. */
export interface Input {
  readonly bytes: Buffer;
  readonly cuts: readonly number[];
}

export interface Property {
  readonly name: string;
  /** What is wrong, or null. What it throws is wrong, too. */
  check(input: Input): string | null | Promise<string | null>;
}

export type CreateReader = (options?: CoreOptions) => Reader;

/** So tight that most requests break one of them: which one must not depend on how the bytes arrive. */
const tightLimits: Limits = {
  ...defaultLimits,
  requestLineBytes: 30,
  headBytes: 90,
  fieldCount: 3,
  bodyBytes: 12,
  chunkExtensionBytes: 6,
  trailerBytes: 16,
};

const OTHER_SALT = 4;

function samePieces(createReader: CreateReader): Property {
  const readers = [defaultLimits, tightLimits].map((limits) => ({
    read: createReader({ limits }),
    readElsewhere: createReader({ limits, salt: OTHER_SALT }),
  }));
  return {
    name: 'the pieces are read as the whole is, whatever lies around them',
    check: ({ bytes, cuts }) => {
      const uncut = [bytes.length];
      for (const { read, readElsewhere } of readers) {
        const whole = JSON.stringify(read(bytes, uncut));
        const others = [readElsewhere(bytes, uncut), read(bytes, cuts), readElsewhere(bytes, cuts)];
        const other = others.map((reading) => JSON.stringify(reading)).find((text) => text !== whole);
        if (other !== undefined) return `${whole}, and also ${other}`;
      }
      return null;
    },
  };
}

function agreesWithLlhttp(createReader: CreateReader): Property {
  const read = createReader();
  return {
    name: 'llhttp reads the same, or the table of differences says why not',
    check: ({ bytes }) => {
      const { faults } = judge(bytes, read(bytes, [bytes.length]));
      return faults[0] ?? null;
    },
  };
}

/** How a handler treats its request; they take turns, so that a pipeline meets several. */
const styles = ['reads and answers', 'reads and streams', 'answers at once', 'waits and answers'] as const;
type Style = (typeof styles)[number];

const isReading = (style: Style) => style.startsWith('reads');

/** What the handler has seen, as the body of its answer. Host is left out: an absolute target replaces it. */
function echoOf(message: Pick<Message, 'method' | 'target' | 'fields' | 'body' | 'trailers'>): string {
  const { method, target, body, trailers } = message;
  const fields = message.fields.filter(([name]) => name.toLowerCase() !== 'host');
  return JSON.stringify({ method, target, fields, body, trailers });
}

function echoing(styleOf: (index: number) => Style): Handler {
  let index = 0;
  return async (request, response) => {
    const style = styleOf(index++);
    if (style === 'waits and answers') await new Promise((resolve) => setImmediate(resolve));
    const body = isReading(style) ? (await request.bytes()).toString('latin1') : '';
    const { method, target } = request;
    const trailers = isReading(style) ? [...request.trailers] : [];
    const echo = echoOf({ method, target, fields: [...request.headers], body, trailers });
    if (style !== 'reads and streams') {
      response.text(echo);
      return;
    }
    response.trailer('X-Length', echo.length);
    void response.write(echo.slice(0, 5));
    void response.write('');
    response.end(Buffer.from(echo.slice(5)));
  };
}

/** What is wrong with the answer to this request. */
function faultOf(answer: Answer, message: Message, style: Style): string | null {
  const echo = echoOf(isReading(style) ? message : { ...message, body: '', trailers: [] });
  if (answer.status !== 200) return `the status ${answer.status} for a request that is accepted`;
  if (message.method === 'HEAD') return answer.body === '' ? null : 'an answer to HEAD with a body';
  // The server sends UTF-8, and bytes are compared as latin1.
  if (Buffer.from(answer.body, 'latin1').toString() !== echo) return `the handler saw ${answer.body}, not ${echo}`;
  return null;
}

/** Whether the connection may end behind an answer though the client would like to go on. */
function mayClose(message: Message, style: Style): boolean {
  if (style === 'reads and streams' && message.minorVersion === 0) return true; // the end of the body is that of the connection
  return !isReading(style) && valuesOf(message.fields, 'expect').length > 0; // RFC 9110 section 10.1.1
}

/** The statuses of a last answer, beyond those to whole requests; undefined where none is due. */
function lastStatuses({ rest }: Reading, style: Style): number[] | undefined {
  if (rest.kind === 'nothing' || rest.kind === 'ignored') return undefined;
  const refusal = rest.kind === 'refused' ? Number(rest.why) : 400; // FIN within a request
  if (rest.within === 'head' || isReading(style)) return [refusal];
  return style === 'answers at once' ? [200] : [200, refusal];
}

function faultOfAnswers(
  answers: readonly Answer[],
  reading: Reading,
  styleOf: (index: number) => Style,
): string | null {
  const finals = answers.filter(({ status }) => status >= 200);
  for (const [i, message] of reading.messages.entries()) {
    const answer = finals[i];
    if (answer === undefined) return `no answer to request ${i}`;
    const fault = faultOf(answer, message, styleOf(i));
    if (fault !== null) return fault;
    if (answer.keepAlive && !message.keepAlive) return `no Connection: close for request ${i}`;
    if (answer.keepAlive) continue;
    if (message.keepAlive && !mayClose(message, styleOf(i))) return `Connection: close for request ${i}`;
    return finals.length === i + 1 ? null : 'an answer behind the last one';
  }
  const count = reading.messages.length;
  const statuses = lastStatuses(reading, styleOf(count));
  const last = finals[count];
  if (statuses === undefined) return last === undefined ? null : `an answer, ${last.status}, to nothing`;
  if (last === undefined) return 'no answer to what is refused';
  if (!statuses.includes(last.status)) return `the status ${last.status}, not ${statuses.join(' or ')}`;
  if (last.status !== 200 && last.keepAlive) return 'a refusal without Connection: close';
  return finals.length === count + 1 ? null : 'an answer behind the last one';
}

/** A 1xx is sent once, to who waits for it and understands it: RFC 9110 sections 10.1.1 and 15.2. */
function faultOfInterims(answers: readonly Answer[], { messages }: Reading): string | null {
  let request = 0;
  for (const [i, { status }] of answers.entries()) {
    if (status >= 200) {
      request++;
      continue;
    }
    const message = messages[request];
    if (i > 0 && (answers[i - 1] as Answer).status < 200) return 'two interim answers to one request';
    if (message === undefined) continue; // it was refused: what it said of Expect is not known here
    const waits = message.minorVersion > 0 && valuesOf(message.fields, 'expect').length > 0;
    if (!waits) return `the status ${status} for a client that does not wait for it`;
  }
  return null;
}

/** Pieces of more than a few bytes, or each would cost two turns. */
const MAX_PATIENT_PIECES = 8;

function oneAnswerEach(createReader: CreateReader): Property {
  const read = createReader();
  return {
    name: 'each request is answered once, in order, and nothing behind a refusal',
    check: async ({ bytes, cuts }) => {
      const salt = bytes.length + cuts.length;
      const styleOf = (index: number) => styles[(index + salt) % styles.length] as Style;
      const pieces = cuts.map((cut, i) => bytes.subarray(cuts[i - 1] ?? 0, cut));
      const isHasty = salt % 2 === 0 || pieces.length > MAX_PATIENT_PIECES;
      const manners = { isSlow: salt % 3 === 0, isHasty, isCramped: salt % 5 === 0 };
      const { sent, isEnded, closedAfter, wasAborted, reported } = await converse(pieces, echoing(styleOf), manners);
      if (reported.length > 0) return `an error: ${String(reported[0])}`;
      if (wasAborted) return 'the connection was aborted';
      if (!isEnded) return 'the connection is not ended when the client has ended';
      const reading = read(bytes, [bytes.length]);
      // The last request may be known by no more than its beginning; but then it is answered with a body all the same.
      const methods = [...reading.messages.map(({ method }) => method), refusedMethod(bytes, reading)];
      const answers = responsesForBoth(sent, methods);
      if (closedAfter !== null && closedAfter < endOfAnswered(answers, reading, bytes.length)) {
        return 'closed both ways while the client sends what was asked for: a reset may destroy the answer';
      }
      return faultOfInterims(answers, reading) ?? faultOfAnswers(answers, reading, styleOf);
    },
  };
}

/** Where the request ends to which the last answer belongs. */
function endOfAnswered(answers: readonly Answer[], { messages }: Reading, length: number): number {
  const finals = answers.filter(({ status }) => status >= 200).length;
  return finals > messages.length ? length : (messages[finals - 1]?.end ?? 0);
}

/** The method of a request whose body is refused or unfinished: if it is HEAD, its answer has no body. */
function refusedMethod(bytes: Buffer, { messages, rest }: Reading): string {
  if (!('within' in rest) || rest.within === 'head') return '';
  return /[^\r\n ]+/.exec(bytes.toString('latin1', messages.at(-1)?.end ?? 0))?.[0] ?? '';
}

/** The fast ones, which every input goes through. */
export const readingProperties = (create: CreateReader = createReader): Property[] => [
  samePieces(create),
  agreesWithLlhttp(create),
];

/** The slow one: a whole connection. */
export const answeringProperty = (create: CreateReader = createReader): Property => oneAnswerEach(create);
