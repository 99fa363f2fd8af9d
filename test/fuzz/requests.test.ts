/**
 * Properties of reading, over requests made by grammar: fast-check shrinks what fails to its simplest form and names the seed.
 *
 * SEED=n makes other requests, RUNS=n more of them.
 */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'tap';
import { createReader } from '../oracle/ours.ts';
import { faultOf } from './fuzzer.ts';
import { answeringProperty, type Property, readingProperties } from './properties.ts';
import { type Arrival, arrival, cutsOf } from './request-grammar.ts';

const seed = Number(process.env.SEED ?? 1);
const RUNS = Number(process.env.RUNS ?? 200);

async function holds(property: Property, { text, cuts }: Arrival): Promise<void> {
  const fault = await faultOf([property], { bytes: Buffer.from(text, 'latin1'), cuts });
  if (fault !== null) throw new Error(fault);
}

for (const property of [...readingProperties(), answeringProperty()]) {
  test(`${property.name} (${RUNS} pipelines, seed ${seed})`, async (t) => {
    await fc.assert(
      fc.asyncProperty(arrival, (one) => holds(property, one)),
      { seed, numRuns: RUNS },
    );
    t.pass();
  });
}

const anyBytes = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('latin1'));

/** A chunk as it may be written: its size in either case, with leading zeros, with an extension. */
const chunk = fc
  .record({
    data: anyBytes,
    zeros: fc.constantFrom('', '0', '000'),
    isUpper: fc.boolean(),
    extension: fc.constantFrom('', ';a', ';a=b', ';a="\\""', ' ; a = b'),
  })
  .map(({ data, zeros, isUpper, extension }) => {
    const hex = data.length.toString(16);
    return { data, wire: `${zeros}${isUpper ? hex.toUpperCase() : hex}${extension}\r\n${data}\r\n` };
  });

const trailer = fc.tuple(fc.constantFrom('A', 'b-c', '~'), fc.constantFrom('', '1', 'a b', '\xff'));

const upload = fc
  .record({ chunks: fc.array(chunk, { maxLength: 5 }), trailers: fc.array(trailer, { maxLength: 3 }) })
  .map(({ chunks, trailers }) => {
    const head = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
    const lines = trailers.map(([name, value]) => `${name}: ${value}\r\n`);
    const text = [head, ...chunks.map(({ wire }) => wire), '0\r\n', ...lines, '\r\n'].join('');
    return { text, trailers, body: chunks.map(({ data }) => data).join('') };
  });

test('any bytes, in any chunks, cut anywhere, are the body that was sent', async (t) => {
  const sent = upload.chain((one) => fc.tuple(fc.constant(one), cutsOf(one.text.length)));
  fc.assert(
    fc.property(sent, ([{ text, trailers, body }, cuts]) => {
      const { messages, rest } = createReader()(Buffer.from(text, 'latin1'), cuts);
      assert.equal(rest.kind, 'nothing');
      assert.equal(messages[0]?.body, body);
      assert.deepEqual(messages[0]?.trailers, trailers);
    }),
    { seed, numRuns: RUNS },
  );
  t.pass();
});
