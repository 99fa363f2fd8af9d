/**
 * Media types.
 *
 * Next: content-disposition.test.ts
 */

import fc from 'fast-check';
import { test } from 'tap';
import { parseMediaType } from '../../../http/content/content-types.ts';

function read(text: string): [string, Record<string, string>] | null {
  const type = parseMediaType(text);
  return type === null ? null : [type.essence, Object.fromEntries(type.parameters)];
}

test('types and parameters', async (t) => {
  t.same(read('text/html'), ['text/html', {}]);
  t.same(read(' Text/HTML ; Charset=UTF-8'), ['text/html', { charset: 'UTF-8' }]);
  t.same(read('a/b;c=d;e="f;g=\\"h\\\\"'), ['a/b', { c: 'd', e: 'f;g="h\\' }]);
  t.same(read('a/b; ; c=d ;'), ['a/b', { c: 'd' }], 'empty parameters');
  t.same(read('a/b;c=d \t'), ['a/b', { c: 'd' }], 'blanks at the end');
  t.same(read('a/b;c=""'), ['a/b', { c: '' }]);
  t.equal(parseMediaType('a/b;__proto__=1')?.parameters.get('__proto__'), '1');
});

test('what is not a media type', async (t) => {
  const wrong = [
    '',
    'text',
    'text/',
    '/html',
    'a/b/c',
    'a b/c',
    'a/b;c',
    'a/b;c=',
    'a/b;c="',
    'a/b;c="d"e',
    'a/b;c=d e',
  ];
  wrong.push('a/b;c=d;C=e', 'a/b;=d', 'a/b;c =d', 'a/b, c/d', 'a/b;c="\\', 'a/b;c=d=e', 'ä/b', 'a/b;c=ä');
  for (const text of wrong) t.equal(parseMediaType(text), null, text);
});

test('what is written is read back', async (t) => {
  const token = fc.stringMatching(/^[!#$%&'*+\-.^_`|~0-9a-z]{1,8}$/);
  const parameters = fc.uniqueArray(fc.tuple(token, fc.string({ unit: 'binary-ascii' })), {
    selector: ([name]) => name,
  });
  fc.assert(
    fc.property(token, token, parameters, (type, subtype, wanted) => {
      const quote = (value: string) => `"${value.replace(/["\\]/g, '\\$&')}"`;
      const text = `${type}/${subtype}${wanted.map(([name, value]) => `; ${name}=${quote(value)}`).join('')}`;
      const found = parseMediaType(text);
      return (
        found?.essence === `${type}/${subtype}` && JSON.stringify([...found.parameters]) === JSON.stringify(wanted)
      );
    }),
  );
  t.pass();
});

test('a long value takes linear time', async (t) => {
  t.equal(parseMediaType(`a/b;c="${'\\"'.repeat(100_000)}`), null);
  t.equal(parseMediaType(`a/b${';'.repeat(100_000)}`)?.parameters.size, 0);
  t.equal(parseMediaType(`a/b${' ;'.repeat(50_000)}x`), null);
});
