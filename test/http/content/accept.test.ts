/** Which type a client prefers, by weight, closeness and order. */

import { test } from 'tap';
import { preferredType } from '../../../http/content/accept.ts';

const TYPES = ['text/plain', 'application/json', 'application/problem+json'];
const [TEXT, JSON_TYPE, PROBLEM] = TYPES as [string, string, string];

const cases: readonly (readonly [accept: string | null, preferred: string | null])[] = [
  [null, TEXT],
  ['', TEXT],
  ['*/*', TEXT],
  ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', TEXT],
  ['application/json', JSON_TYPE],
  ['APPLICATION/JSON', JSON_TYPE],
  ['application/*', JSON_TYPE],
  ['application/problem+json, application/json', PROBLEM],
  ['application/json, application/problem+json', JSON_TYPE],
  ['application/json, text/plain, */*', JSON_TYPE],
  ['text/plain, application/json', TEXT],
  ['application/json;q=0.5, text/plain;q=0.4', JSON_TYPE],
  ['application/json;q=0.4, text/plain;q=0.5', TEXT],
  ['text/plain;q=0.1, */*', JSON_TYPE],
  ['text/plain;q=0.100, application/json;q=0.101', JSON_TYPE],
  ['*/*;q=0.5, application/json', JSON_TYPE],
  ['application/json;q=0', null],
  ['application/json;q=0, */*', TEXT],
  ['image/png', null],
  ['application/json ; charset=utf-8 ; Q=1.000', JSON_TYPE],
  ['application/json;version="1,text/plain;q=0\\"";q=0.5, text/plain;q=0.4', JSON_TYPE],
  ['application/json;q=1;q=0', JSON_TYPE],
  // Malformed ranges count as absent.
  ['application/json;q=1.001, text/plain;q=0.1', TEXT],
  ['application/json;q=0.1234, text/plain;q=0.1', TEXT],
  ['application/json;q, text/plain;q=0.1', TEXT],
  ['json, text/plain;q=0.1', TEXT],
  ['*/json, text/plain;q=0.1', TEXT],
  ['application/json/x, text/plain;q=0.1', TEXT],
  [',, ,', TEXT],
  ['text/ plain', TEXT],
];

for (const [accept, preferred] of cases) {
  test(`Accept: ${accept}`, (t) => {
    t.equal(preferredType(accept, TYPES), preferred);
    t.end();
  });
}

test('without types there is no preferred one', (t) => {
  t.equal(preferredType(null, []), null);
  t.equal(preferredType('*/*', []), null);
  t.end();
});
