/**
 * micro: times single parts of the server, in this process and without a network.
 *
 * Each figure is the median of several samples after a warm-up. The figures compare a part with its earlier versions and with
 * llhttp, the parser of node:http, here compiled to WebAssembly. They do not add up to the cost of a request.
 *
 * llhttp-wasm returns strings of all fields, our parser returns offsets. So ours is measured twice: alone, as the server uses
 * it, and with each name and value cut into strings, as llhttp does it.
 *
 * Next: arguments.ts
 */

import { createParser } from 'llhttp-wasm';
import { HeaderList, Router } from '../http/index.ts';
import { defaultLimits } from '../http/limits.ts';
import { HeadParser } from '../http/request/head-parser.ts';
import { RequestHead } from '../http/request/request-head.ts';
import { HeadCache } from '../http/response/head-cache.ts';
import { OutputBuffer } from '../http/response/output-buffer.ts';
import { type ResponseOutput, type ResponseOwner, ResponseWriter } from '../http/response/response-writer.ts';
import { WebSocketCounts } from '../http/web-socket-counts.ts';
import type { Stream } from '../simplenet/loop/event-loop.ts';
import { alignColumns, formatNumber } from './report.ts';
import { HELLO, recordOf } from './site.ts';
import { spreadOf } from './statistics.ts';
import { workloads } from './workloads.ts';

const SAMPLES = 5;
const SAMPLE_MS = 150;
const WARM_UP_MS = 300;

export interface MicroRow {
  readonly what: string;
  readonly nanoseconds: number;
  /** Bytes that one call reads, for a part that reads bytes. */
  readonly bytes: number | null;
}

export interface MicroGroup {
  readonly title: string;
  readonly rows: readonly MicroRow[];
}

function nanosecondsOf(work: () => void): number {
  const sample = (milliseconds: number): number => {
    let calls = 0;
    const start = performance.now();
    let now = start;
    for (; now - start < milliseconds; now = performance.now()) {
      for (let i = 0; i < 100; i++) work();
      calls += 100;
    }
    return ((now - start) * 1e6) / calls;
  };
  sample(WARM_UP_MS);
  return spreadOf(Array.from({ length: SAMPLES }, () => sample(SAMPLE_MS))).median;
}

const smallHead = Buffer.from(
  'GET /hello HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\n\r\n',
);
const browserHead = (workloads.find(({ name }) => name === 'browser') ?? (workloads[0] as (typeof workloads)[0]))
  .request;

/** Keeps results of parsers, so that the optimiser does not remove their work as unused. */
export const sink: { value: unknown } = { value: null };

function parseWith(parser: HeadParser, head: Buffer): void {
  parser.reset();
  if (parser.parse(head, 0, head.length) !== head.length) throw new Error('the parser refuses a head of the corpus');
}

/**
 * llhttp as a server uses it. The declared type is wrong: the wrapper looks up the number by this name, and treats a number as
 * HTTP_BOTH, which also reads responses.
 */
export function llhttpForRequests(): ReturnType<typeof createParser> {
  return createParser('REQUEST' as unknown as number);
}

function parserRows(name: string, head: Buffer): MicroRow[] {
  const parser = new HeadParser(defaultLimits);
  const bytes = head.length;
  const llhttp = llhttpForRequests();
  let heads = 0;
  llhttp.onHeadersComplete = (message) => {
    heads++;
    sink.value = message;
    return 0;
  };
  if (llhttp.execute(head) !== 0 || heads !== 1) throw new Error('llhttp refuses a head of the corpus');
  const rows = [
    { what: `${name}: ours, offsets`, nanoseconds: nanosecondsOf(() => parseWith(parser, head)), bytes },
    {
      what: `${name}: ours, offsets and rules (RequestHead)`,
      nanoseconds: nanosecondsOf(() => {
        parseWith(parser, head);
        sink.value = new RequestHead(head.toString('latin1'), parser, defaultLimits.bodyBytes);
      }),
      bytes,
    },
    {
      what: `${name}: ours, all names and values as strings`,
      nanoseconds: nanosecondsOf(() => {
        parseWith(parser, head);
        sink.value = new HeaderList(head.toString('latin1'), parser.fieldsAt).size;
      }),
      bytes,
    },
    { what: `${name}: llhttp-wasm`, nanoseconds: nanosecondsOf(() => llhttp.execute(head)), bytes },
  ];
  llhttp.destroy();
  return rows;
}

/** Returns a head of about that size: up to 64 fields of a hundred bytes, or 64 longer fields. */
function headOfSize(bytes: number): Buffer {
  const line = 'GET /hello HTTP/1.1\r\nHost: localhost\r\n';
  const fields = Math.min(64, Math.max(1, Math.round(bytes / 100)));
  const valueBytes = Math.max(1, Math.floor((bytes - line.length - 2) / fields) - 'x-field-00: \r\n'.length);
  const names = Array.from({ length: fields }, (_, i) => `x-field-${String(i).padStart(2, '0')}`);
  return Buffer.from(`${line}${names.map((name) => `${name}: ${'v'.repeat(valueBytes)}\r\n`).join('')}\r\n`);
}

function growthRows(): MicroRow[] {
  const parser = new HeadParser(defaultLimits);
  return [512, 2_048, 8_192, 32_000].map((size) => {
    const head = headOfSize(size);
    const nanoseconds = nanosecondsOf(() => parseWith(parser, head));
    return { what: `a head of ${head.length.toLocaleString('en')} bytes`, nanoseconds, bytes: head.length };
  });
}

function routerRows(): MicroRow[] {
  return [10, 100, 1_000, 10_000].map((count) => {
    const router = new Router();
    for (let i = 0; i < count / 2; i++) {
      router.get(`/api/resource${i}`, () => {});
      router.get(`/api/resource${i}/:id/items/:item`, () => {});
    }
    const path = `/api/resource${Math.floor(count / 4)}/4711/items/42`;
    if (router.find('GET', path) === null) throw new Error(`there is no route for ${path}`);
    const nanoseconds = nanosecondsOf(() => {
      sink.value = router.find('GET', path);
    });
    return { what: `${count.toLocaleString('en')} routes, two params`, nanoseconds, bytes: null };
  });
}

/** The stream of a client that takes all bytes at once. */
const nobody = { write: () => true, writeOwned: () => true } as unknown as Stream;

/** A response output that only puts responses together. */
class BufferSink implements ResponseOutput, ResponseOwner {
  readonly isClosed = false;
  readonly isOverfull = false;
  readonly answerBufferBytes = 65_536;
  readonly queuedBytes = 0;
  readonly mustEndStreams = false;
  readonly isRequestRead = true;
  readonly webSocketCounts = new WebSocketCounts();
  readonly #output = new OutputBuffer(65_536);
  readonly #headCache = new HeadCache(() => this.dateLine());
  readonly #drained = Promise.resolve();

  readonly keepAliveLine = '';

  canKeepAlive(): boolean {
    return true;
  }

  dateLine(): string {
    return 'Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n';
  }

  cachedHead(status: number, contentType: string, contentLength: number, keepAliveLine: string): void {
    this.#output.headWithLength(nobody, this.#headCache.get(status, contentType, keepAliveLine), contentLength);
  }

  cachedHeadOf(): void {}

  head(text: string): void {
    this.latin1(text);
  }

  latin1(text: string): void {
    this.#output.latin1(nobody, text);
  }

  utf8(text: string): void {
    this.#output.utf8(nobody, text);
  }

  bytes(bytes: Uint8Array): void {
    this.#output.bytes(nobody, bytes);
  }

  readonly sendsFiles = false;
  file(): void {}
  chunk(bytes: Uint8Array): void {
    this.#output.chunk(nobody, bytes);
  }

  sendNow(bytes: Uint8Array): boolean {
    this.bytes(bytes);
    return true;
  }

  requestField(): string | null {
    return null;
  }

  forgetRequest(): void {}

  lastChunk(trailerLines: string): void {
    this.latin1(`0\r\n${trailerLines}\r\n`);
  }

  sendInformational(): void {}

  readonly isContinueDue = false;

  sendContinue(): void {}

  beginStream(): void {}

  pieceWritten(): void {}

  waitForDrain(): Promise<void> {
    return this.#drained;
  }

  responseCompleted(): void {
    this.#output.flush();
  }

  hasAskedFor(): boolean {
    return false;
  }

  upgrade(): void {}

  abortResponse(): void {}

  handlerFailed(): void {}
}

function responseRows(): MicroRow[] {
  const to = new BufferSink();
  const record = recordOf('orders', { id: '4711', item: '42' });
  const bytes = null;
  return [
    { what: 'text', nanoseconds: nanosecondsOf(() => new ResponseWriter(to, to, false, 1).text(HELLO)), bytes },
    {
      what: 'text with three fields',
      nanoseconds: nanosecondsOf(() => {
        new ResponseWriter(to, to, false, 1)
          .header('Cache-Control', 'no-store')
          .header('X-Request-Id', '0123456789abcdef')
          .header('Set-Cookie', 'session=1; HttpOnly')
          .text(HELLO);
      }),
      bytes,
    },
    {
      what: 'json of 180 bytes',
      nanoseconds: nanosecondsOf(() => new ResponseWriter(to, to, false, 1).json(record)),
      bytes,
    },
  ];
}

export function measureMicro(progress: (line: string) => void): MicroGroup[] {
  const measure = (title: string, rows: () => MicroRow[]): MicroGroup => {
    progress(title);
    return { title, rows: rows() };
  };
  const corpus = [
    ['curl', smallHead],
    ['browser', browserHead],
  ] as const;
  return [
    measure('Head parser', () => corpus.flatMap(([name, head]) => parserRows(`${name}, ${head.length} B`, head))),
    measure('Growth of parsing with the size of the head', growthRows),
    measure('Router lookup', routerRows),
    measure('Writing an answer', responseRows),
  ];
}

/** Returns a table for a terminal. Indented, it is also valid in Markdown. */
export function microTable({ title, rows }: MicroGroup): string {
  const hasBytes = rows.some(({ bytes }) => bytes !== null);
  const cells = rows.map(({ what, nanoseconds, bytes }) => [
    what,
    formatNumber(nanoseconds),
    Math.round(1e9 / nanoseconds).toLocaleString('en'),
    ...(hasBytes && bytes !== null
      ? [Math.round((bytes / nanoseconds) * 1e3).toLocaleString('en'), formatNumber(nanoseconds / bytes)]
      : []),
  ]);
  const head = ['', 'ns', 'a second', ...(hasBytes ? ['MB/s', 'ns/byte'] : [])];
  const alignments = head.map((_, i) => (i === 0 ? 'left' : 'right'));
  return [title, ...alignColumns([head, ...cells], alignments).map((line) => `  ${line}`)].join('\n');
}
