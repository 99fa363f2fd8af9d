/** HttpError: a status and words for the client. */

import t from 'tap';
import { HttpError } from '../../http/http-error.ts';

t.test('it carries a status, its words and its cause', async (t) => {
  const cause = new Error('why');
  const error = new HttpError(404, 'No such cake', { cause });
  t.ok(error instanceof Error);
  t.match(error, { name: 'HttpError', status: 404, message: 'No such cake', cause });
  t.match(String(error), 'HttpError: No such cake');
});

t.test('its status is that of an error', async (t) => {
  for (const status of [400, 404, 499, 500, 599]) t.equal(new HttpError(status, '').status, status);
  for (const status of [0, 200, 399, 600, 404.5, Number.NaN, '404' as unknown as number]) {
    t.throws(() => new HttpError(status, ''), RangeError, String(status));
  }
});
