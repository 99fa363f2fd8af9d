/** The options of permessage-deflate, and how many connections may keep a context. */

import { test } from 'tap';
import {
  Compression,
  type CompressionOptions,
  checkCompression,
  compressionOf,
} from '../../../http/websocket/compression.ts';
import { parseExtensions } from '../../../http/websocket/handshake.ts';
import type { DeflatedOnce } from '../../../http/websocket/message-deflate.ts';

const BROWSER = parseExtensions('permessage-deflate; client_max_window_bits');

test('at maxContexts further connections keep none, until one closes', async (t) => {
  const compression = new Compression({ maxContexts: 2, windowBits: 15, clientWindowBits: 15 });
  const connect = () => {
    const agreed = compression.negotiate(BROWSER);
    return { answer: agreed?.answer, transform: agreed?.createTransform() };
  };
  const first = connect();
  t.equal(first.answer, 'permessage-deflate');
  t.equal(connect().answer, 'permessage-deflate');
  const third = connect();
  t.equal(third.answer, 'permessage-deflate; server_no_context_takeover; client_no_context_takeover');
  third.transform?.close();
  t.match(connect().answer, /no_context_takeover/, 'it had none to give back');
  first.transform?.close();
  t.equal(connect().answer, 'permessage-deflate');
});

test('an offer that is declined', async (t) => {
  t.equal(new Compression({}).negotiate([]), null);
});

test('more jobs for the pool than maxThreads wait for their turn, and all are done', async (t) => {
  const compression = new Compression({ syncBytes: 0, maxThreads: 1 });
  const text = Buffer.from('hello '.repeat(1_000));
  const lengths = await Promise.all(
    Array.from({ length: 5 }, async () => {
      const transform = compression.negotiate(BROWSER)?.createTransform();
      const payload = await transform?.encode(Buffer.from(text), true);
      return payload?.length;
    }),
  );
  t.equal(new Set(lengths).size, 1);
  t.ok((lengths[0] as number) < 100);
});

test('a message to many: from minBytes to 16 times syncBytes', async (t) => {
  const compression = new Compression({ minBytes: 100, syncBytes: 100 });
  const share = (length: number) => compression.encodeShared(Buffer.alloc(length)) as DeflatedOnce | null;
  t.equal(share(99), null);
  t.ok(share(100));
  t.ok(share(1_600));
  t.equal(share(1_601), null);
});

test('wrong options', async (t) => {
  const make = (options: unknown) => () => checkCompression(options as CompressionOptions);
  const ranges: Readonly<Record<string, readonly [number, number]>> = {
    minBytes: [0, Number.POSITIVE_INFINITY],
    level: [1, 9],
    windowBits: [9, 15],
    clientWindowBits: [8, 15],
    maxContexts: [0, Number.POSITIVE_INFINITY],
    syncBytes: [0, Number.POSITIVE_INFINITY],
    maxThreads: [1, Number.POSITIVE_INFINITY],
  };
  for (const [name, [least, most]] of Object.entries(ranges)) {
    t.doesNotThrow(make({ [name]: least }));
    t.doesNotThrow(make({ [name]: most }));
    t.doesNotThrow(make({ [name]: undefined }));
    for (const wrong of [least - 1, most + (most === Number.POSITIVE_INFINITY ? Number.NaN : 1), 9.5, '10', null]) {
      t.throws(make({ [name]: wrong }), RangeError, `${name}: ${wrong}`);
    }
  }
  t.throws(make({ minbytes: 1 }), /minBytes/);
  for (const wrong of ['yes', null, 1]) t.throws(make(wrong), /must be true, false or its options/);
  t.equal(compressionOf(false), null);
  t.ok(compressionOf(true));
  t.ok(compressionOf({}));
});
