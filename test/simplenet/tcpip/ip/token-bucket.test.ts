/** The token bucket: a burst, then a rate. */

import t from 'tap';
import { TokenBucket } from '../../../../simplenet/tcpip/ip/token-bucket.ts';

const taken = (bucket: TokenBucket, now: number, tries: number) =>
  Array.from({ length: tries }, () => bucket.take(now)).filter(Boolean).length;

t.test('a burst of n, and not n + 1', async (t) => {
  t.equal(taken(new TokenBucket(100, 5), 0, 6), 5);
  t.equal(taken(new TokenBucket(100, 5), 1e9, 100), 5, 'also after a long pause');
});

t.test('then the rate', async (t) => {
  const bucket = new TokenBucket(100, 5);
  taken(bucket, 0, 5);
  t.same([bucket.take(9), bucket.take(10), bucket.take(10), bucket.take(19)], [false, true, false, false]);
  t.equal(taken(bucket, 1_019, 1_000), 5);
});

t.test('several at once, or none', async (t) => {
  const bucket = new TokenBucket(1_000, 3);
  t.equal(bucket.take(0, 2), true);
  t.equal(bucket.take(0, 2), false);
  t.equal(bucket.take(0, 1), true, 'a refusal has taken nothing');
});

t.test('a rate of 0, and a clock that stands still or goes back', async (t) => {
  const never = new TokenBucket(0, 1);
  t.same([never.take(5), never.take(1e9)], [true, false]);
  const bucket = new TokenBucket(1_000, 1);
  t.same(
    [100, 50, 50, 51].map((now) => bucket.take(now)),
    [true, false, false, true],
  );
});
