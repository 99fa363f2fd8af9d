import { test } from 'tap';
import { parseDictionary, type StructuredValue } from '../../../http/content/structured-fields.ts';

function membersOf(text: string): Record<string, StructuredValue> | null {
  const members = parseDictionary(text);
  return members === null ? null : Object.fromEntries(members);
}

test('every type of value', async (t) => {
  const text =
    'i=-15, d=3.125, s="a \\"q\\" \\\\", k=*to/ken:x, b=:aGk=:, t=?1, f=?0, at=@1659578233, u=%"f%c3%bc%25", flag, l=(1 "x" a);q=2, e=( )';
  t.same(membersOf(text), {
    i: { kind: 'integer', value: -15 },
    d: { kind: 'decimal', value: 3.125 },
    s: { kind: 'string', value: 'a "q" \\' },
    k: { kind: 'token', value: '*to/ken:x' },
    b: { kind: 'bytes', value: Buffer.from('hi') },
    t: { kind: 'boolean', value: true },
    f: { kind: 'boolean', value: false },
    at: { kind: 'date', value: 1659578233 },
    u: { kind: 'display', value: 'fü%' },
    flag: { kind: 'boolean', value: true },
    l: {
      kind: 'list',
      value: [
        { kind: 'integer', value: 1 },
        { kind: 'string', value: 'x' },
        { kind: 'token', value: 'a' },
      ],
    },
    e: { kind: 'list', value: [] },
  });
});

test('spaces, parameters, and a key that comes twice', async (t) => {
  t.same(membersOf(''), {});
  t.same(membersOf('  u=1 \t,\t i;x=1; y;z="q"  '), {
    u: { kind: 'integer', value: 1 },
    i: { kind: 'boolean', value: true },
  });
  t.same(membersOf('u=1, u=2'), { u: { kind: 'integer', value: 2 } });
  t.same(membersOf('l=(1;a=2 b;c)'), {
    l: {
      kind: 'list',
      value: [
        { kind: 'integer', value: 1 },
        { kind: 'token', value: 'b' },
      ],
    },
  });
});

test('numbers at their limits', async (t) => {
  t.same(membersOf('a=999999999999999, b=-999999999999.999'), {
    a: { kind: 'integer', value: 999_999_999_999_999 },
    b: { kind: 'decimal', value: -999_999_999_999.999 },
  });
  for (const text of [
    'a=1000000000000000',
    'a=1000000000000.1',
    'a=1.1234',
    'a=1.',
    'a=-',
    'a=--1',
    'a=.5',
    'a=1.2.3',
  ]) {
    t.equal(membersOf(text), null, text);
  }
});

test('one error, and nothing of the field counts', async (t) => {
  const wrong = [
    ...['u=1,', 'u=1,,i', ',u=1', 'u=1 i', 'U=1', 'u=', '=1', 'u=1;', 'u=1;X', 'u =1', 'u= 1', '\tu=1'],
    ...[
      's="a',
      's="\\x"',
      's="\n"',
      's="ü"',
      'b=:a',
      'b=:!:',
      't=?2',
      't=?',
      'at=@1.5',
      'at=@',
      'u=%"%C3"',
      'u=%"%ff"',
      'u=%x',
    ],
    ...['l=(1', 'l=(1"a")', 'l=(1,2)', 'l=(1\t2)', 'l=1)'],
  ];
  for (const text of wrong) t.equal(membersOf(text), null, JSON.stringify(text));
});
