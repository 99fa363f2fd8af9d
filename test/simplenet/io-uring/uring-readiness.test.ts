/**
 * UringReadiness: how many requests it has in the ring at a time, and when its socket may be closed.
 *
 * Next: uring-listener.test.ts
 */

import { test } from 'tap';
import type { IoUring } from '../../../simplenet/io-uring/io-uring.ts';
import { UringReadiness } from '../../../simplenet/io-uring/uring-readiness.ts';

const FD = 7;

function withRing(): { readiness: UringReadiness; requests: string[] } {
  const requests: string[] = [];
  const ring = { poll: () => requests.push('poll'), cancel: () => requests.push('cancel') } as unknown as IoUring;
  return { readiness: new UringReadiness(ring, FD), requests };
}

test('one request at a time, however often it is asked', async (t) => {
  const { readiness, requests } = withRing();
  readiness.request();
  readiness.request();
  t.same(requests, ['poll']);
  t.equal(readiness.completed(), 1);
  readiness.request();
  t.same(requests, ['poll', 'poll']);
  t.equal(readiness.completed(), 2);
});

test('the end waits for the request under way, which is cancelled once', async (t) => {
  const { readiness, requests } = withRing();
  readiness.request();
  t.notOk(readiness.end());
  t.notOk(readiness.end());
  t.same(requests, ['poll', 'cancel']);
  readiness.completed();
  t.ok(readiness.end(), 'nothing is under way');
});
