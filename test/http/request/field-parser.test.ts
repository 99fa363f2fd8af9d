/** FieldParser alone, as trailers use it. As part of a head it is tested in head-parser.test.ts. */

import { test } from 'tap';
import { COMPLETE, FieldParser, INCOMPLETE, OFFSETS_PER_FIELD } from '../../../http/request/field-parser.ts';

const MANY = 1_000;

function fieldsOf(parser: FieldParser, bytes: Buffer, start: number): string[][] {
  return Array.from({ length: parser.count }, (_, i) => {
    const at = (n: number) => start + (parser.offsets[i * OFFSETS_PER_FIELD + n] as number);
    return [bytes.toString('latin1', at(0), at(1)), bytes.toString('latin1', at(2), at(3))];
  });
}

function parse(text: string, mostFields = 10, mostBytes = MANY): number | string[][] {
  const bytes = Buffer.from(`\r\n${text}\r\n\r\n`, 'latin1');
  const parser = new FieldParser(mostFields, mostBytes);
  parser.reset(0);
  const result = parser.parse(bytes, 2, 2 + text.length);
  return result === COMPLETE ? fieldsOf(parser, bytes, 2) : result;
}

test('fields up to an empty line', async (t) => {
  t.same(parse('\r\n'), [], 'none at all');
  t.same(parse('A: 1\r\nb:\t2 \r\nC:\r\n\r\n'), [
    ['A', '1'],
    ['b', '2'],
    ['C', ''],
  ]);
});

test('it stops behind the empty line, wherever it began', async (t) => {
  const bytes = Buffer.from('xxGET / HTTP/1.1\r\nA: 1\r\n\r\nB: 2\r\n\r\n');
  const parser = new FieldParser(10, MANY);
  parser.reset(16);
  t.equal(parser.parse(bytes, 2, bytes.length), COMPLETE);
  t.equal(parser.at, 24, 'counted from start');
  t.same(fieldsOf(parser, bytes, 2), [['A', '1']]);
  parser.reset(24);
  t.equal(parser.count, 0);
  t.equal(parser.parse(bytes, 2, bytes.length), COMPLETE);
  t.same(fieldsOf(parser, bytes, 2), [['B', '2']], 'reset forgets what was there');
});

test('without an empty line it waits, and goes on where it was', async (t) => {
  const text = 'A: 1\r\nB: 2\r\n\r\n';
  const bytes = Buffer.from(text);
  const parser = new FieldParser(10, MANY);
  parser.reset(0);
  for (let end = 0; end < bytes.length; end++) t.equal(parser.parse(bytes, 0, end), INCOMPLETE, `${end} bytes`);
  t.equal(parser.parse(bytes, 0, bytes.length), COMPLETE);
  t.same(fieldsOf(parser, bytes, 0), [
    ['A', '1'],
    ['B', '2'],
  ]);
});

test('limits: as many as allowed, and one more', async (t) => {
  const three = 'A: 1\r\nB: 2\r\nC: 3\r\n\r\n';
  t.type(parse(three, 3), Array);
  t.equal(parse(three, 2), -431);
  t.type(parse(three, 3, three.length), Array);
  t.equal(parse(three, 3, three.length - 1), -431);
  t.equal(parse('A: 1', 3, 4), INCOMPLETE);
  t.equal(parse('A: 12', 3, 4), -431);
});

test('lines that are not fields', async (t) => {
  for (const text of [
    ' A: 1',
    'A : 1',
    ': 1',
    'A\r\n',
    'A: 1\n',
    'A: 1\r\n B',
    'A: \0',
    'A: 1\r\r',
    '\n',
    '\r\r',
    '\xe4: 1',
  ]) {
    t.equal(parse(text), -400, JSON.stringify(text));
  }
});
