import { test } from 'tap';
import { CapsuleDecoder, encodeCapsule } from '../../../http/handlers/capsules.ts';
import { defaultLimits } from '../../../http/limits.ts';

const { capsuleBytes } = defaultLimits;

test('the numbers of RFC 9000, appendix A.1', async (t) => {
  const heads: readonly [number, string][] = [
    [37, '25'],
    [15_293, '7bbd'],
    [494_878_333, '9d7f3e7d'],
    [Number.MAX_SAFE_INTEGER, 'c01fffffffffffff'],
    [63, '3f'],
    [64, '4040'],
    [16_383, '7fff'],
    [16_384, '80004000'],
    [2 ** 30 - 1, 'bfffffff'],
    [2 ** 30, 'c000000040000000'],
  ];
  for (const [type, hex] of heads) {
    const bytes = encodeCapsule(type, Buffer.from('hi'));
    t.equal(Buffer.from(bytes).toString('hex'), `${hex}026869`);
    t.same(new CapsuleDecoder(capsuleBytes).push(bytes), [{ type, data: new Uint8Array(Buffer.from('hi')) }]);
  }
  for (const type of [-1, 1.5, 2 ** 53]) t.throws(() => encodeCapsule(type, new Uint8Array(0)), TypeError);
});

test('the same capsules at every split', async (t) => {
  const capsules = [
    { type: 0, data: new Uint8Array(0) },
    { type: 70_000, data: new Uint8Array(300).fill(7) },
    { type: 1, data: new Uint8Array([1, 2, 3]) },
  ];
  const bytes = Buffer.concat(capsules.map(({ type, data }) => encodeCapsule(type, data)));
  for (let at = 0; at <= bytes.length; at++) {
    const decoder = new CapsuleDecoder(capsuleBytes);
    const found = [...decoder.push(bytes.subarray(0, at)), ...decoder.push(bytes.subarray(at))];
    t.same(found, capsules, `split at ${at}`);
    t.notOk(decoder.isMidway);
  }
});

test('a capsule of the greatest length, and one byte more', async (t) => {
  const decoder = new CapsuleDecoder(capsuleBytes);
  const headBytes = 5;
  decoder.push(encodeCapsule(1, new Uint8Array(capsuleBytes - headBytes)));
  const head = encodeCapsule(1, new Uint8Array(capsuleBytes - headBytes + 1)).subarray(0, headBytes);
  t.throws(() => decoder.push(head), { code: 'ERR_HTTP_PROTOCOL_ERROR' });
  const midway = new CapsuleDecoder(capsuleBytes);
  midway.push(new Uint8Array([1]));
  t.ok(midway.isMidway);
});
