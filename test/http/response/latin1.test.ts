/** Latin-1: short texts, which loops handle, have the same bytes and the same length as longer ones, which Node handles. */

import { test } from 'tap';
import { latin1Of, utf8Length, writeLatin1 } from '../../../http/response/latin1.ts';

/** Lengths at and around the limit of the loops, 16. */
const LENGTHS = [0, 1, 2, 15, 16, 17, 64];
const GUARD = 0xee;

test('each byte is written as itself, at its place, and no other byte changes', async (t) => {
  let wrong = 0;
  for (const length of LENGTHS) {
    for (let code = 0; code < 256; code++) {
      const text = String.fromCharCode(code).repeat(length);
      const bytes = Buffer.alloc(length + 2, GUARD);
      if (writeLatin1(bytes, 1, text) !== length) wrong++;
      if (latin1Of(bytes, 1, length + 1) !== text) wrong++;
      if (bytes[0] !== GUARD || bytes[length + 1] !== GUARD) wrong++;
    }
  }
  t.equal(wrong, 0);
});

test('the length in UTF-8, with any character at any place', async (t) => {
  for (const length of LENGTHS.slice(1)) {
    for (const character of ['a', '\x7f', '\x80', 'ü', '€', '\ud800']) {
      for (const at of [0, length >> 1, length - 1]) {
        const text = 'x'.repeat(at) + character + 'x'.repeat(length - 1 - at);
        if (utf8Length(text) !== Buffer.from(text).length)
          t.fail(`${length} characters with ${JSON.stringify(character)} at ${at}`);
      }
    }
  }
  t.equal(utf8Length(''), 0);
  t.equal(utf8Length('😀'), 4);
});
