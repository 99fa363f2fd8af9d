/** Which name is nearest to a misspelt one. */

import { test } from 'tap';
import { adviceFor, nearestName } from '../../http/nearest-name.ts';

const names = ['host', 'port', 'path', 'fd', 'limits', 'timeouts', 'onError', 'signal'];

test('a letter too few, too many, another one, two swapped, another case: one step or none', async (t) => {
  const cases: [string, string][] = [
    ['hos', 'host'],
    ['hosts', 'host'],
    ['pört', 'port'],
    ['prot', 'port'],
    ['PATH', 'path'],
    ['onerror', 'onError'],
    ['timeout', 'timeouts'],
    ['limitations', 'limits'],
  ];
  for (const [name, nearest] of cases) t.equal(nearestName(name, names), nearest, name);
});

test('of several the nearest, and of equal ones the first', async (t) => {
  t.equal(nearestName('pith', ['port', 'path', 'pit']), 'path');
  t.equal(nearestName('ab', ['abc', 'abd']), 'abc');
});

test('a swap is one step, also at the beginning', async (t) => {
  t.equal(nearestName('ohst', ['xhstxx', 'host']), 'host');
  t.equal(nearestName('opst', ['past', 'post']), 'post');
});

test('what is like no name is near to none, and neither is what shares no letter with a short one', async (t) => {
  for (const name of ['', 'z', 'xy', 'compression', 'x'.repeat(10_000)]) t.equal(nearestName(name, names), null, name);
  t.equal(nearestName('a'.repeat(63), ['a'.repeat(64)]), 'a'.repeat(64));
  t.equal(nearestName('a'.repeat(64), ['a'.repeat(63)]), 'a'.repeat(63));
  t.equal(nearestName('a'.repeat(65), ['a'.repeat(64)]), null, 'too long to compare');
});

test('the advice: the nearest name, or all of them', async (t) => {
  t.equal(adviceFor('prot', names), "did you mean 'port'?");
  t.equal(adviceFor('compression', ['a', 'b']), 'use one of a, b');
});
