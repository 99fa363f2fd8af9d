/**
 * The fields of a urlencoded form: how many, and what is refused in them.
 *
 * Next: content-types.test.ts
 */

import fc from 'fast-check';
import { test } from 'tap';
import { hasMoreFieldsThan, parseForm } from '../../../http/content/form-fields.ts';

test('at the limit, and one more', async (t) => {
  t.notOk(hasMoreFieldsThan('', 1));
  t.notOk(hasMoreFieldsThan('a=1', 1));
  t.ok(hasMoreFieldsThan('a=1&b=2', 1));
  t.notOk(hasMoreFieldsThan('a=1&b=2&c=3', 3));
  t.ok(hasMoreFieldsThan('a=1&b=2&c=3&d=4', 3));
  t.ok(hasMoreFieldsThan('&&&', 3), 'empty ones take time, too');
  t.equal(parseForm('a&b', 2).size, 2);
  t.throws(() => parseForm('a&b&c', 2), { status: 413, message: 'a form of more than 2 fields' });
});

test('a wrong escape is refused, with its place in bytes', async (t) => {
  const cases: [text: string, message: string][] = [
    ['a=100%', 'the form has a % that begins no escape, at byte 5'],
    ['ä=%zz', 'the form has a % that begins no escape, at byte 3'],
    ['a=%4', 'the form has a % that begins no escape, at byte 2'],
    ['a=%C3%A4&b=%E4', 'the form is not valid UTF-8, at byte 11'],
    ['a=%C0%AF', 'the form is not valid UTF-8, at byte 2'],
    ['a=%C3x%A4', 'the form is not valid UTF-8, at byte 2'],
  ];
  for (const [text, message] of cases) t.throws(() => parseForm(text, 10), { status: 400, message }, text);
});

test('what URLSearchParams writes is read back', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }))), (fields) => {
      const sent = new URLSearchParams(fields);
      return parseForm(`${sent}`, 1_000).toString() === `${sent}`;
    }),
  );
  t.pass();
});
