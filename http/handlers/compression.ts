/**
 * Compression: middleware that compresses responses for clients that accept it (`Accept-Encoding`).
 *
 * Small bodies are compressed at once: that is cheaper than the way to the thread pool and back, and the response keeps its Content-Length. Larger ones and streams pass
 * through a CompressionStage. Both are bounded. If too many streams are under way, further responses are sent as they are, because each holds the window of its coding.
 *
 * It refuses to compress what is compressed already, parts of a file (a range counts bytes of what was sent before), and what says `no-transform`.
 *
 * BREACH: if a response contains a secret and text of the attacker, its compressed length says how much of the secret the attacker has guessed. Do not put
 * this before such pages, or let each of them send another mask of its secret.
 *
 * Next: fetch-url.ts
 */

import { codingOf, IDENTITY, preferredCoding } from '../content/accept-encoding.ts';
import { type Coding, codings, decodings } from '../content/codings.ts';
import { parseEntityTags } from '../content/validators.ts';
import { Gate } from '../gate.ts';
import { tokensOf } from '../grammar.ts';
import type { HttpRequest, Middleware, ResponseWriter } from '../handler.ts';
import { HttpError } from '../http-error.ts';
import { checkOptionNames } from '../nearest-name.ts';
import { DecodedBody } from '../request/decoded-body.ts';
import type { BodyStage } from '../response/body-transform.ts';
import { CompressionStage } from './compression-stage.ts';

/**
 * The options of `compress()`.
 *
 * ```ts
 * import { compress, type CompressOptions, Router } from 'simplenet/http';
 *
 * const options: CompressOptions = { encodings: ['gzip'], minBytes: 4_096 };
 * new Router().use(compress(options));
 * ```
 */
export interface CompressOptions {
  /** The codings to offer, the preferred one first: `br`, `zstd` (where Node has it), `gzip` and `deflate`, in this order unless set. */
  readonly encodings?: readonly string[];
  /** A body that is known to be smaller is sent as it is: 1024 unless set. It fits in a packet anyway. */
  readonly minBytes?: number;
  /** A whole body up to this size is compressed on this thread: 16 KiB unless set, which takes some 0.2 ms. */
  readonly syncBytes?: number;
  /** How many responses may be under way in pieces: 256 unless set. Further ones are sent as they are. */
  readonly maxStreams?: number;
  /**
   * Bodies of requests with a Content-Encoding are decoded; unless set, such a request gets 415. What is decoded counts for the limits of bodies. `request.headers` still
   * have the Content-Encoding and the Content-Length of what was sent.
   */
  readonly decompress?: boolean;
  /** How many threads of Node's pool, which has four, compress at a time: 2 unless set. */
  readonly maxThreads?: number;
}

const DEFAULT_MIN_BYTES = 1_024;
const DEFAULT_SYNC_BYTES = 16_384;
const DEFAULT_MAX_STREAMS = 256;
const DEFAULT_MAX_THREADS = 2;

const optionNames: { readonly [Name in keyof Required<CompressOptions>]: true } = {
  encodings: true,
  minBytes: true,
  syncBytes: true,
  maxStreams: true,
  decompress: true,
  maxThreads: true,
};

/** Media types that gain. Images, films, fonts of the web and archives are compressed already. */
const GAINS =
  /^(?:text\/|application\/(?:javascript|json|manifest\+json|wasm|xml|x-ndjson|[\w.-]+\+(?:json|xml))|image\/(?:svg\+xml|bmp)|font\/(?:otf|ttf))/i;

/** With one of these the bytes must stay as they are. */
const FIXED = ['content-encoding', 'content-range', 'content-digest', 'repr-digest'];

const PARTIAL_CONTENT = 206;
const NOT_MODIFIED = 304;

/**
 * Compresses responses. It costs a handler nothing but the time: text, JSON, streams and events are compressed as they are sent.
 *
 * ```ts
 * import { compress, Router } from 'simplenet/http';
 *
 * new Router().use(compress()).get('/', (_request, response) => response.html('<p>hello</p>'.repeat(1_000)));
 * ```
 */
export function compress(options: CompressOptions = {}): Middleware {
  checkOptionNames('compress', options, optionNames);
  const { minBytes = DEFAULT_MIN_BYTES, syncBytes = DEFAULT_SYNC_BYTES } = options;
  const { maxStreams = DEFAULT_MAX_STREAMS, maxThreads = DEFAULT_MAX_THREADS } = options;
  for (const [name, value] of Object.entries({ minBytes, syncBytes, maxStreams, maxThreads })) {
    const least = name === 'maxThreads' ? 1 : 0;
    if (!(value >= least)) throw new RangeError(`${name} must be at least ${least}, not ${String(value)}`);
  }
  const offered = options.encodings?.map(codingOf) ?? [...codings.keys()];
  for (const name of offered) {
    if (!codings.has(name)) throw new RangeError(`unknown encoding '${name}': ${[...codings.keys()].join(', ')}`);
  }
  const gate = new Gate(maxThreads);
  let streams = 0;

  const stageFor = (
    request: HttpRequest,
    response: ResponseWriter,
    body: Uint8Array | null,
  ): BodyStage | Uint8Array | null => {
    if (!isCompressible(response)) return null;
    const byteLength = body?.byteLength ?? Number(response.getHeader('content-length') ?? Number.POSITIVE_INFINITY);
    if (byteLength < minBytes) return null;
    response.append('Vary', 'Accept-Encoding'); // also if this client gets it as it is
    const preferred = preferredCoding(request.headers.get('accept-encoding'), offered);
    const name = preferred === IDENTITY ? null : preferred; // null as well if the client accepts none: each client can read the body as it is
    if (name === null) return null;
    const coding = codings.get(name) as Coding;
    let result: BodyStage | Uint8Array;
    if (body !== null && byteLength <= syncBytes) {
      result = coding.compress(body);
      if (result.byteLength >= byteLength) return null;
    } else {
      if (streams >= maxStreams) return null;
      streams++;
      result = new CompressionStage(coding.createCompressor(body === null), gate).once('close', () => streams--);
    }
    describe(response, name);
    return result;
  };

  const takeCoded = (request: HttpRequest, response: ResponseWriter, name: string): void => {
    const coding = options.decompress === true ? decodings.get(name) : undefined;
    if (coding === undefined) {
      // RFC 9110 section 15.5.16: it says what would be read.
      response.header('Accept-Encoding', options.decompress === true ? [...decodings.keys()].join(', ') : 'identity');
      throw new HttpError(415, `a request with the Content-Encoding ${name} is not read here`);
    }
    if (request.body.isComplete && request.body.receivedBytes === 0) return; // it has no body
    if (streams >= maxStreams) throw new HttpError(503, 'too many bodies are being decoded');
    streams++;
    const decoded = new DecodedBody(request, request.body, name, () => coding.createDecompressor());
    request.replaceBody(decoded.body);
    void request.done.then(() => {
      streams--;
      decoded.end();
    });
  };

  return (request, response, next) => {
    const coded = request.headers.get('content-encoding');
    if (coded !== null && codingOf(coded) !== IDENTITY) takeCoded(request, response, codingOf(coded));
    response.beforeHead(() => {
      if (response.statusCode === NOT_MODIFIED) describeNotModified(request, response);
      else if (response.statusCode === PARTIAL_CONTENT && gains(response)) response.append('Vary', 'Accept-Encoding');
    });
    response.transformBody((body) => stageFor(request, response, body));
    return next();
  };
}

function isCompressible(response: ResponseWriter): boolean {
  if (response.statusCode === PARTIAL_CONTENT || FIXED.some((name) => response.getHeader(name) !== null)) return false;
  if (tokensOf(response.getHeader('cache-control') ?? '').includes('no-transform')) return false; // RFC 9111 section 5.2.2.6
  return gains(response);
}

function gains(response: ResponseWriter): boolean {
  return GAINS.test(response.getHeader('content-type') ?? '');
}

/**
 * RFC 9110 section 15.4.5: 304 has the Vary and the ETag of the 200, and no body that would be asked about. A client that names the weak tag has a copy that was compressed. With
 * the strong one of the file it would join that copy with ranges of the file.
 */
function describeNotModified(request: HttpRequest, response: ResponseWriter): void {
  response.append('Vary', 'Accept-Encoding');
  const etag = response.getHeader('etag');
  if (etag === null || !etag.startsWith('"')) return;
  const known = parseEntityTags(request.headers.get('if-none-match') ?? '') ?? [];
  if (known.includes(`W/${etag}`) && !known.includes(etag)) response.header('ETag', `W/${etag}`);
}

/** Sets the fields that a compressed response must have. */
function describe(response: ResponseWriter, coding: string): void {
  response.header('Content-Encoding', coding).removeHeader('Accept-Ranges');
  const etag = response.getHeader('etag');
  // RFC 9110 section 8.8.3.3: these are other bytes than those that the strong one names.
  if (etag?.startsWith('"')) response.header('ETag', `W/${etag}`);
}
