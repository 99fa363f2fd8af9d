import { test } from 'tap';
import { parsePriority } from '../../../http/content/request-priority.ts';

test('what a client may say', async (t) => {
  t.same(parsePriority('u=0'), { urgency: 0, incremental: false });
  t.same(parsePriority('u=7, i'), { urgency: 7, incremental: true });
  t.same(parsePriority('i'), { urgency: 3, incremental: true });
  t.same(parsePriority('i=?0, u=5;x=y'), { urgency: 5, incremental: false });
  t.same(parsePriority('u=1, new=(a b)'), { urgency: 1, incremental: false }, 'members of unknown names are ignored');
});

test('what is wrong counts as absent (RFC 9218 section 4)', async (t) => {
  const defaults = { urgency: 3, incremental: false };
  for (const field of [null, '', 'u=8', 'u=-1', 'u=1.0', 'u="1"', 'u', 'i=1', 'i=yes', 'u=1,', 'u=1 i', 'high']) {
    t.same(parsePriority(field), defaults, String(field));
  }
  t.same(parsePriority('u=9, i'), { urgency: 3, incremental: true }, 'the other member counts');
});
