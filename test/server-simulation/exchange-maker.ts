/**
 * ExchangeMaker: draws requests, with what must become of them.
 *
 * Most are small and harmless, as in life; each of the others is common enough to come up in every few hundred.
 *
 * Next: simulated-site.ts
 */

import type { Framing } from '../../benchmarks/response-reader.ts';
import { invalidRequests } from '../http/request/corpus.ts';
import type { Random } from '../simulation/random.ts';
import type { Deed, Exchange, ExpectedAnswer, WholeForm } from './exchange.ts';

const POOL_BYTES = 65_536;
/** What contents are cut out of: bytes of all values, and printable ones. */
const anyBytes = Buffer.from(Array.from({ length: POOL_BYTES }, (_, i) => (i * 7 + (i >> 8)) & 0xff));
const printable = Buffer.from(Array.from({ length: POOL_BYTES }, (_, i) => 0x20 + ((i * 11 + (i >> 7)) % 95)));

const NO_BYTES = Buffer.alloc(0);

/** More of them in the list is more of them in the day. */
const simpleDeeds: readonly Deed[] = [
  ...Array.from({ length: 40 }, () => 'whole' as const),
  ...(['later', 'later', 'callback', 'callback', 'stream', 'stream', 'stream', 'stream', 'throw', 'reject'] as const),
  ...(['refuse', 'flood', 'never', 'break', 'forget', 'none', 'none'] as const),
];
const bodyDeeds: readonly Deed[] = ['echo', 'echo', 'echo', 'sip', 'relay', 'ignore', 'taste', 'reject'];

const forms: readonly WholeForm[] = [
  'text',
  'text',
  'unicode',
  'html',
  'json',
  'bytes',
  'bytes',
  'end',
  'empty',
  'redirect',
];

const TEXT = 'Content-Type: text/plain; charset=utf-8';
const OCTETS = 'Content-Type: application/octet-stream';

const typeOfForm: Readonly<Record<WholeForm, string>> = {
  text: TEXT,
  unicode: TEXT,
  html: 'Content-Type: text/html; charset=utf-8',
  json: 'Content-Type: application/json',
  bytes: OCTETS,
  end: OCTETS,
  empty: '',
  redirect: '',
};

const harmful = invalidRequests.filter(({ text }) => text.length < 400);

/** Answers that have a length and a text, as the server makes them for errors. */
export function plainAnswer(status: number, text: string, fields: readonly string[] = []): ExpectedAnswer {
  const body = Buffer.from(text);
  return { status, fields: [...fields, TEXT, `Content-Length: ${body.length}`], framing: 'length', body };
}

export class ExchangeMaker {
  readonly #random: Random;
  #made = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** A request that is no request; whatever follows it is none either. */
  makeInvalid(index: number): Exchange {
    const id = ++this.#made;
    const invalid = this.#random.pick(harmful);
    const target = `/plain/${id}`;
    const isBodyWrong = invalid.layer === 'body';
    const text = isBodyWrong ? invalid.text.replace('/up', target) : invalid.text;
    const wire = Buffer.from(text, 'latin1');
    const headBytes = isBodyWrong ? text.indexOf('\r\n\r\n') + 4 : wire.length;
    return { ...blank, id, index, deed: 'echo', method: 'POST', target, wire, headBytes, invalid, isChunked: true };
  }

  makeUpgrade(index: number): Exchange {
    const random = this.#random;
    const deed = random.chance(0.8) ? 'upgrade' : 'hang up';
    const id = ++this.#made;
    const target = `/plain/${id}`;
    const fields = ['Connection: x, Upgrade', 'Upgrade: echo'];
    const head = `GET ${target} HTTP/1.1\r\nHost: sim\r\n${fields.join('\r\n')}\r\n\r\n`;
    const wire = Buffer.from(head);
    const answer: ExpectedAnswer = {
      status: 101,
      fields: ['Upgrade: echo', `X-Exchange: ${id}`],
      framing: 'none',
      body: NO_BYTES,
    };
    const tunnel = deed === 'upgrade' ? anyBytes.subarray(id % 999, (id % 999) + this.#size(4_000)) : NO_BYTES;
    const sleepMs = random.chance(0.5) ? 0 : 1 + random.below(30);
    return { ...blank, id, index, deed, method: 'GET', target, wire, headBytes: wire.length, sleepMs, answer, tunnel };
  }

  make(index: number, isLast: boolean): Exchange {
    const random = this.#random;
    const id = ++this.#made;
    const hasBody = random.chance(0.2);
    const deed = random.pick(hasBody ? bodyDeeds : simpleDeeds);
    const isHttp10 = random.chance(0.05);
    const method = this.#methodFor(deed, hasBody);
    const body = hasBody ? this.#slice(anyBytes, id, this.#size(30_000)) : null;
    const isChunked = body !== null && !isHttp10 && random.chance(0.5);
    const trailers = isChunked && random.chance(0.2) ? ['X-Sum: 1', `X-More: ${'t'.repeat(random.below(80))}`] : [];
    const expectsContinue = body !== null && body.length > 0 && !isHttp10 && random.chance(0.25);
    const target = this.#targetFor(deed, id);
    const fields = ['Host: sim', `X-Id: ${id}`];
    if (random.chance(0.2)) fields.push(`X-Filler: ${'f'.repeat(random.below(random.chance(0.1) ? 4_000 : 200))}`);
    if (isChunked) fields.push('Transfer-Encoding: chunked');
    else if (body !== null) fields.push(`Content-Length: ${body.length}`);
    if (expectsContinue) fields.push('Expect: 100-continue');
    if (isLast && !isHttp10) fields.push('Connection: close');
    if (!isLast && isHttp10) fields.push('Connection: Keep-Alive');
    const head = `${method} ${target} HTTP/1.${isHttp10 ? 0 : 1}\r\n${random.shuffle(fields).join('\r\n')}\r\n\r\n`;
    const emptyLines = random.chance(0.03) ? '\r\n'.repeat(1 + random.below(4)) : '';
    const headBuffer = Buffer.from(emptyLines + head);
    const content = this.#slice(printable, id, 1 + this.#size(39_000));
    const draft = {
      ...blank,
      ...{ id, index, deed, method, target, isHttp10, body, isChunked, trailers, expectsContinue, isLast },
      wire: body === null ? headBuffer : Buffer.concat([headBuffer, this.#encode(body, isChunked, trailers)]),
      emptyBytes: emptyLines.length,
      headBytes: headBuffer.length,
      handlerCloses: random.chance(0.01) && (deed === 'whole' || deed === 'later' || deed === 'callback'),
      form: random.pick(forms),
      content,
      sleepMs: random.chance(0.03) ? 2_500 + random.below(1_500) : 1 + random.below(30),
      pieces: deed === 'stream' || deed === 'flood' ? this.#pieces(content.length, deed === 'flood') : [],
    };
    return { ...draft, answer: answerTo(draft) };
  }

  #methodFor(deed: Deed, hasBody: boolean): string {
    if (deed === 'none') return this.#random.pick(['GET', 'DELETE', 'OPTIONS']);
    if (hasBody) return this.#random.pick(['POST', 'PUT', 'GET']);
    return deed !== 'break' && this.#random.chance(0.12) ? 'HEAD' : 'GET';
  }

  #targetFor(deed: Deed, id: number): string {
    if (deed === 'none') return `${this.#random.pick(['/nowhere', '/only'])}/${id}`;
    // A middleware that awaits next() would take a handler that answers from a callback for one that has forgotten to.
    const isInside = deed !== 'callback' && this.#random.chance(0.3);
    const path = `/${isInside ? 'onion' : 'plain'}/${id}?q=${id}`;
    return this.#random.chance(0.03) ? `http://sim${path}` : path;
  }

  /** Mostly small. */
  #size(most: number): number {
    const random = this.#random;
    if (random.chance(0.75)) return random.below(200);
    return random.below(random.chance(0.85) ? Math.min(most, 3_000) : most);
  }

  #slice(pool: Buffer, id: number, length: number): Buffer {
    const start = (id * 31) % (POOL_BYTES - 40_000);
    return pool.subarray(start, start + length);
  }

  #pieces(length: number, isFlood: boolean): number[] {
    if (isFlood) {
      const count = 3 + this.#random.below(this.#random.chance(0.4) ? 80 : 10);
      return Array.from({ length: count }, () => 2_000 + this.#random.below(6_000));
    }
    const pieces: number[] = [];
    let left = length;
    const most = Math.max(1, Math.ceil(length / (1 + this.#random.below(6))));
    while (left > 0 && pieces.length < 8) {
      pieces.push(Math.min(left, 1 + this.#random.below(most)));
      left -= pieces.at(-1) as number;
    }
    return pieces;
  }

  #encode(body: Buffer, isChunked: boolean, trailers: readonly string[]): Buffer {
    if (!isChunked) return body;
    const random = this.#random;
    const parts: Buffer[] = [];
    const most = 1 + random.below(Math.max(1, body.length));
    for (let at = 0; at < body.length; ) {
      const data = body.subarray(at, at + 1 + random.below(most));
      const extension = random.chance(0.1) ? ';x="a;\\"b"' : '';
      parts.push(Buffer.from(`${data.length.toString(16)}${extension}\r\n`), data, Buffer.from('\r\n'));
      at += data.length;
    }
    parts.push(Buffer.from(`0\r\n${trailers.map((line) => `${line}\r\n`).join('')}\r\n`));
    return Buffer.concat(parts);
  }
}

const blank: Exchange = {
  id: 0,
  index: 0,
  deed: 'whole',
  method: '',
  target: '',
  isHttp10: false,
  wire: NO_BYTES,
  emptyBytes: 0,
  headBytes: 0,
  body: null,
  isChunked: false,
  trailers: [],
  expectsContinue: false,
  isLast: false,
  handlerCloses: false,
  invalid: null,
  form: 'text',
  content: NO_BYTES,
  pieces: [],
  sleepMs: 0,
  answer: null,
  tunnel: NO_BYTES,
  firstSentAt: -1,
  lineSentAt: -1,
  headSentAt: -1,
  sentAt: -1,
  begunAt: -1,
  settledAt: -1,
  answeredAt: -1,
  receivedAt: -1,
  wasStopping: null,
  gotContinue: false,
  readBytes: 0,
  reports: 0,
  signal: null,
};

/** The text that a handler makes of its content for that form. */
export function textOf(form: WholeForm, content: Buffer): string {
  const text = content.toString('latin1');
  return form === 'unicode' ? `${text}\u00e4\u20ac\u{1f600}` : text;
}

/** What the status of the refusal of an exchange is. */
export const refusalOf = (id: number) => 400 + (id % 50);

function answerTo(exchange: Exchange): ExpectedAnswer | null {
  const { deed, id, body } = exchange;
  const own = `X-Exchange: ${id}`;
  switch (deed) {
    case 'none':
      return answerOfRouter(exchange);
    case 'throw':
    case 'reject':
    case 'forget':
      return plainAnswer(500, 'Internal Server Error\n');
    case 'refuse':
      return plainAnswer(refusalOf(id), `planned ${id}\n`);
    case 'never':
    case 'break':
      return null;
    case 'echo':
    case 'sip':
      return withLength(200, [own, OCTETS], body ?? NO_BYTES);
    case 'relay':
      return streamed(exchange, [own], body ?? NO_BYTES, undefined);
    case 'stream':
    case 'flood':
      return streamOf(exchange, own);
    default:
      return wholeOf(exchange, own);
  }
}

function withLength(status: number, fields: readonly string[], body: Buffer): ExpectedAnswer {
  return { status, fields: [...fields, `Content-Length: ${body.length}`], framing: 'length', body };
}

function answerOfRouter({ method, target }: Exchange): ExpectedAnswer {
  if (target.startsWith('/nowhere')) return plainAnswer(404, 'Not Found\n');
  const allow = 'Allow: OPTIONS, PUT';
  if (method === 'OPTIONS') return { status: 204, fields: [allow], framing: 'none', body: NO_BYTES };
  return plainAnswer(405, 'Method Not Allowed\n', [allow]);
}

function wholeOf({ form, content }: Exchange, own: string): ExpectedAnswer {
  if (form === 'empty') return { status: 204, fields: [own], framing: 'none', body: NO_BYTES };
  if (form === 'redirect') return withLength(302, [own, `Location: /plain/${content.length}`], NO_BYTES);
  const type = typeOfForm[form];
  if (form === 'bytes' || form === 'end') return withLength(200, [own, type], content);
  const text = textOf(form, content);
  return withLength(200, [own, type], Buffer.from(form === 'json' ? JSON.stringify({ text }) : text));
}

function streamOf(exchange: Exchange, own: string): ExpectedAnswer {
  const { pieces, id } = exchange;
  const total = pieces.reduce((sum, piece) => sum + piece, 0);
  const body = contentOfStream(exchange, total);
  if (promisesLength(exchange)) return withLength(200, [own], body);
  const trailers = hasTrailers(exchange) ? [`X-Trailer: ${id}`] : [];
  return streamed(exchange, [own], body, pieces, trailers);
}

export function contentOfStream({ content, deed, id }: Exchange, total: number): Buffer {
  if (deed !== 'flood') return content.subarray(0, total);
  return Buffer.alloc(total, id & 0xff);
}

export const promisesLength = ({ deed, id }: Exchange) => deed === 'stream' && id % 5 === 0;
export const hasTrailers = ({ deed, id }: Exchange) => deed === 'stream' && id % 5 === 1;

function streamed(
  exchange: Exchange,
  fields: readonly string[],
  body: Buffer,
  chunks: readonly number[] | undefined,
  trailers: readonly string[] = [],
): ExpectedAnswer {
  const framing: Framing = exchange.isHttp10 ? 'close' : 'chunked';
  const all = exchange.isHttp10 ? fields : [...fields, 'Transfer-Encoding: chunked'];
  const cut = chunks === undefined || exchange.isHttp10 ? {} : { chunks };
  return { status: 200, fields: all, framing, body, ...cut, ...(exchange.isHttp10 ? {} : { trailers }) };
}
