/**
 * The scan of a JSON text for its depth: what JSON.parse would find, for every text that it accepts.
 *
 * Next: form-fields.test.ts
 */

import fc from 'fast-check';
import { test } from 'tap';
import { nestsDeeperThan } from '../../../http/content/json-nesting.ts';

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

test('as deep as JSON.parse finds', async (t) => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 6, noUnicodeString: false }), (text) => {
      const depth = depthOf(JSON.parse(text));
      return !nestsDeeperThan(text, depth) && (depth === 0 || nestsDeeperThan(text, depth - 1));
    }),
  );
  t.pass();
});

test('brackets in strings do not count, whatever is escaped before them', async (t) => {
  t.notOk(nestsDeeperThan('["[[[["]', 1));
  t.notOk(nestsDeeperThan(String.raw`["\"[[[", "\\"]`, 1));
  t.ok(nestsDeeperThan(String.raw`["\\", [1]]`, 1));
  t.notOk(nestsDeeperThan('"[[[[', 1), 'a string without an end');
  t.notOk(nestsDeeperThan('"\\', 1));
});

test('depth is what is open, not how often it is opened', async (t) => {
  t.notOk(nestsDeeperThan(`[${'{},'.repeat(1_000)}[]]`, 2));
  t.ok(nestsDeeperThan(`[${'{},'.repeat(1_000)}[[]]]`, 2));
});
