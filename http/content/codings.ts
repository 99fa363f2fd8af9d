/**
 * Codings: the content codings (RFC 9110 section 8.4.1) that node:zlib has, with settings for content that is made anew for each response.
 *
 * The highest levels of brotli and zstd take a hundred times as long as gzip and are meant for files that are compressed once. The windows are small, because each
 * response under way holds its own: some 300 KB for gzip, below 2 MB for brotli.
 *
 * Next: event-stream.ts
 */

import type { Transform } from 'node:stream';
import * as zlib from 'node:zlib';

export interface Coding {
  /** Compresses a small body at once, on this thread. */
  compress(bytes: Uint8Array): Buffer;
  /** Makes a stream that compresses. With `flushes` all that is written can be decoded when it has been passed on. */
  createCompressor(flushes: boolean): Transform;
  createDecompressor(): Transform;
}

const { constants } = zlib;
const { Z_NO_FLUSH, Z_SYNC_FLUSH, BROTLI_OPERATION_PROCESS, BROTLI_OPERATION_FLUSH } = constants;

const brotli = {
  params: { [constants.BROTLI_PARAM_QUALITY]: 4, [constants.BROTLI_PARAM_LGWIN]: 18 },
};

const level = 6;

const br: Coding = {
  compress: (bytes) => zlib.brotliCompressSync(bytes, brotli),
  createCompressor: (flushes) =>
    zlib.createBrotliCompress({ ...brotli, flush: flushes ? BROTLI_OPERATION_FLUSH : BROTLI_OPERATION_PROCESS }),
  createDecompressor: () => zlib.createBrotliDecompress(),
};

const gzip: Coding = {
  compress: (bytes) => zlib.gzipSync(bytes, { level }),
  createCompressor: (flushes) => zlib.createGzip({ level, flush: flushes ? Z_SYNC_FLUSH : Z_NO_FLUSH }),
  createDecompressor: () => zlib.createGunzip(),
};

/** The format of zlib (RFC 9110 section 8.4.1.2), and not bare deflate. */
const deflate: Coding = {
  compress: (bytes) => zlib.deflateSync(bytes, { level }),
  createCompressor: (flushes) => zlib.createDeflate({ level, flush: flushes ? Z_SYNC_FLUSH : Z_NO_FLUSH }),
  createDecompressor: () => zlib.createInflate(),
};

/** What Node 22.15 and later have. */
interface Zstd {
  zstdCompressSync?(bytes: Uint8Array): Buffer;
  zstdDecompressSync(bytes: Uint8Array): Buffer;
  createZstdCompress(options: { flush: number }): Transform;
  createZstdDecompress(): Transform;
}

const zstd = zlib as unknown as Zstd;
const ZSTD_CONTINUE = 0;
const ZSTD_FLUSH = 1;

/* c8 ignore start -- Node 20 has no zstd; npm run test:nodes runs it on later ones. */
function zstdCoding(): readonly (readonly [string, Coding])[] {
  const { zstdCompressSync } = zstd;
  if (zstdCompressSync === undefined) return [];
  const coding: Coding = {
    compress: (bytes) => zstdCompressSync(bytes),
    createCompressor: (flushes) => zstd.createZstdCompress({ flush: flushes ? ZSTD_FLUSH : ZSTD_CONTINUE }),
    createDecompressor: () => zstd.createZstdDecompress(),
  };
  return [['zstd', coding]];
}

/** Node 22 takes a frame of zstd for whole that is cut off, so half of an upload would pass for all of it. Later versions refuse it. */
function isNoticedIfCut({ compress }: Coding): boolean {
  try {
    zstd.zstdDecompressSync(compress(new Uint8Array(1)).subarray(0, -1));
    return false;
  } catch {
    return true;
  }
}
/* c8 ignore stop */

/** By name, the one that the server prefers first. */
export const codings: ReadonlyMap<string, Coding> = new Map<string, Coding>([
  ['br', br],
  ...zstdCoding(),
  ['gzip', gzip],
  ['deflate', deflate],
]);

/** Those whose bodies of requests can be decoded. */
export const decodings: ReadonlyMap<string, Coding> = new Map(
  [...codings].filter(([name, coding]) => name !== 'zstd' || /* c8 ignore next */ isNoticedIfCut(coding)),
);
