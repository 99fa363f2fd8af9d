/** Paths are decoded once, strictly, and an encoded slash is no slash. */

import t from 'tap';
import { HttpError } from '../../../http/http-error.ts';
import { decodedName, decodePath } from '../../../http/router/path.ts';

/** A path -> the names in it. */
const decoded: readonly (readonly [path: string, names: readonly string[]])[] = [
  ['/', ['']],
  ['/a', ['a']],
  ['/a/', ['a', '']],
  ['//a', ['', 'a']],
  ['/a/b/c', ['a', 'b', 'c']],
  ['/%61', ['a']],
  ['/caf%C3%A9', ['café']],
  ['/%63af%c3%a9', ['café']],
  ['/%F0%9F%8D%B0', ['🍰']],
  ['/%41/%42', ['A', 'B']],
  ['/a%2Fb', ['a/b']],
  ['/a%2fb/c', ['a/b', 'c']],
  ['/%2F%2f', ['//']],
  ['/%252F', ['%2F']],
  ['/%25252F', ['%252F']],
  ['/%2525', ['%25']],
  ['/%25', ['%']],
  ['/%2500', ['%00']],
  ['/%20+', [' +']],
  ['/%2E%2E/..', ['..', '..']],
  ['/%5C', ['\\']],
  ['/%3F%23', ['?#']],
  ['/%0D%0A', ['\r\n']],
  ['/%EF%BB%BF', ['\ufeff']],
  ["/!$&'()*+,;=:@-._~", ["!$&'()*+,;=:@-._~"]],
];

for (const [path, names] of decoded) {
  t.test(`${path} is ${JSON.stringify(names)}`, async (t) => {
    t.same(decodePath(path).slice(1).split('/').map(decodedName), names);
  });
}

const malformed = [
  ['/%', 'a bare percent sign'],
  ['/a%', 'a percent sign at the end'],
  ['/%4', 'half an escape'],
  ['/%4/1', 'an escape across a slash'],
  ['/%GG', 'no hexadecimal digits'],
  ['/%2', 'half a slash'],
  ['/%%2F', 'a percent sign before an escape'],
  ['/%u0041', 'an escape of another time'],
  ['/%C3', 'half a character'],
  ['/%C3/%A9', 'a character across a slash'],
  ['/%C3%28', 'a byte that does not continue'],
  ['/%A9', 'a byte that continues nothing'],
  ['/%C0%AF', 'an overlong slash'],
  ['/%E0%80%AF', 'a longer overlong slash'],
  ['/%C0%80', 'an overlong NUL'],
  ['/%ED%A0%80', 'half a surrogate pair'],
  ['/%F4%90%80%80', 'above U+10FFFF'],
  ['/%FF', 'no UTF-8 at all'],
  ['/%00', 'NUL'],
  ['/a%00.txt', 'NUL inside'],
  ['/%61\0', 'a raw NUL beside an escape'],
  ['/good/%zz', 'in a later segment'],
] as const;

for (const [path, why] of malformed) {
  t.test(`${JSON.stringify(path)} is refused: ${why}`, async (t) => {
    const error = t.throws(() => decodePath(path)) as unknown;
    t.ok(error instanceof HttpError);
    t.equal((error as HttpError).status, 400);
    t.notMatch((error as HttpError).message, path.slice(1), 'and not reflected');
  });
}

t.test('without an escape nothing is copied or looked at', async (t) => {
  t.equal(decodePath('/plain/path'), '/plain/path');
  t.equal(decodedName('plain'), 'plain');
});
