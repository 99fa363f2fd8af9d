/**
 * Cookies, beside the package `cookie` as an oracle.
 */

import * as oracle from 'cookie';
import fc from 'fast-check';
import { test } from 'tap';
import { parseCookies } from '../../../http/content/cookies.ts';

const read = (field: string) => Object.fromEntries(parseCookies(field));

test('names and values', async (t) => {
  t.same(read(''), {});
  t.same(read('a=1; b=2'), { a: '1', b: '2' });
  t.same(read('a=1;b=2 ;\tc = 3 '), { a: '1', b: '2', c: '3' });
  t.same(read('a=b=c; d='), { a: 'b=c', d: '' });
  t.same(read('a=1; a=2'), { a: '1' }, 'the first one counts');
  t.same(read('a="b c"; d="'), { a: 'b c', d: '"' });
  t.same(read('a=%C3%A4; b=100%; c=%ff'), { a: 'ä', b: '100%', c: '%ff' });
  t.same(read(';; ;a=1;;'), { a: '1' });
});

test('a pair without a name is left out', async (t) => {
  t.same(read('a; =b; =; __Host-id'), {});
  t.same(read('=__Host-id=x'), {}, 'so that a cookie without a name does not look like another');
});

test('a Map, so that no name is special', async (t) => {
  const cookies = parseCookies('__proto__=1; constructor=2; toString=3');
  t.same([...cookies.keys()], ['__proto__', 'constructor', 'toString']);
  t.equal(parseCookies('').get('constructor'), undefined);
});

test('it agrees with the package cookie', async (t) => {
  const piece = fc.constantFrom(
    'a',
    'b',
    '=',
    ';',
    '; ',
    ' ',
    '\t',
    '%',
    '%41',
    '%C3%A4',
    '%ff',
    'é',
    '__proto__',
    ',',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
      const field = pieces.join('');
      const theirs = Object.entries(oracle.parseCookie(field)).filter(([name]) => name !== '');
      return JSON.stringify([...parseCookies(field)].sort()) === JSON.stringify(theirs.sort());
    }),
    { numRuns: 3_000 },
  );
  t.pass();
});

test('what the package writes is read back', async (t) => {
  const name = fc.stringMatching(/^[a-z_]{1,6}$/);
  fc.assert(
    fc.property(fc.dictionary(name, fc.string({ unit: 'grapheme' })), (cookies) => {
      const found = parseCookies(oracle.stringifyCookie(cookies));
      return Object.entries(cookies).every(([key, value]) => found.get(key) === value);
    }),
  );
  t.pass();
});
