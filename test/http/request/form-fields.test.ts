/**
 * The number of fields of a form.
 *
 * Next: body-memory.test.ts
 */

import { test } from 'tap';
import { hasMoreFieldsThan } from '../../../http/request/form-fields.ts';

test('at the limit, and one more', async (t) => {
  t.notOk(hasMoreFieldsThan('', 1));
  t.notOk(hasMoreFieldsThan('a=1', 1));
  t.ok(hasMoreFieldsThan('a=1&b=2', 1));
  t.notOk(hasMoreFieldsThan('a=1&b=2&c=3', 3));
  t.ok(hasMoreFieldsThan('a=1&b=2&c=3&d=4', 3));
  t.ok(hasMoreFieldsThan('&&&', 3), 'empty ones take time, too');
});
