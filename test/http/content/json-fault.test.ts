/**
 * The place where a JSON text is wrong. JSON.parse is the oracle: it knows whether a text is JSON, and often where it is not.
 *
 * Next: form-fields.test.ts
 */

import fc from 'fast-check';
import { test } from 'tap';
import { describeJsonFault, jsonFaultOf } from '../../../http/content/json-fault.ts';

/** Returns the offset that JSON.parse names, null if it names none, or -1 for JSON. */
function faultOfParse(text: string): number | null {
  try {
    JSON.parse(text);
    return -1;
  } catch (error) {
    const { message } = error as Error;
    if (/end of JSON input|Unterminated string/.test(message)) return text.length;
    const position = / at position (\d+)/.exec(message)?.[1];
    return position === undefined ? null : Number(position);
  }
}

test('the place in a text that is wrong', async (t) => {
  const cases: [text: string, fault: number][] = [
    ['', 0],
    ['  ', 2],
    ['{', 1],
    ['{"a"', 4],
    ['{"a":', 5],
    ['{"a":1', 6],
    ['{"a":1,', 7],
    ['{"a":1,}', 7],
    ['{"a":1 "b"', 7],
    ['{a:1}', 1],
    ['{"a" 1}', 5],
    ['[1,]', 3],
    ['[1 2]', 3],
    ['[}', 1],
    ['{]', 1],
    ['[1}', 2],
    ['1 2', 2],
    ['1,', 1],
    [']', 0],
    ["'a'", 0],
    ['"a', 2],
    ['"a\n"', 2],
    ['"\\x"', 1],
    ['"\\u12g4"', 1],
    ['01', 1],
    ['-', 0],
    ['nul', 0],
    ['undefined', 0],
    ['\ufeff1', 0],
  ];
  for (const [text, fault] of cases) t.equal(jsonFaultOf(text), fault, JSON.stringify(text));
  for (const text of ['1', ' [ ] ', '{}', '{"a":[1,-0.5e+3,"\\u00e4\\n",{"b":null}],"c":true}', '"\u2028"']) {
    t.equal(jsonFaultOf(text), -1, `${text.length} characters`);
  }
});

test('lines and columns count from one, and no character of the body is in the message', async (t) => {
  t.equal(describeJsonFault('{\n  "password": secret\n}'), 'unexpected character at line 2, column 15');
  t.equal(describeJsonFault('\n\n[1,\n'), 'it ends too early at line 4, column 1');
  t.equal(describeJsonFault('x'), 'unexpected character at line 1, column 1');
});

test('it agrees with JSON.parse, for JSON that was damaged', async (t) => {
  const damaged = fc.tuple(
    fc.json(),
    fc.nat(),
    fc.constantFrom('', '"', '{', '}', '[', ']', ',', ':', '\\', '1', 'x', ' '),
  );
  fc.assert(
    fc.property(damaged, ([json, place, replacement]) => {
      const at = place % (json.length + 1);
      const text = json.slice(0, at) + replacement + json.slice(at + (place % 3));
      const [ours, theirs] = [jsonFaultOf(text), faultOfParse(text)];
      // V8 names the end of a wrong escape, number or word, and we its beginning.
      return theirs === null ? ours !== -1 : theirs === -1 ? ours === -1 : ours !== -1 && ours <= theirs;
    }),
    { numRuns: 3_000 },
  );
  t.pass();
});

test('a megabyte that nests as deep as it is long takes a moment', async (t) => {
  const text = '['.repeat(1_000_000);
  t.equal(jsonFaultOf(text), text.length);
  t.equal(jsonFaultOf(`"${'\\n'.repeat(500_000)}`), 1_000_001);
});
