/** HeaderList: fields by name, in any case. */

import { test } from 'tap';
import { HeaderList } from '../../../http/request/header-list.ts';

const list = (text: string, from = 0) => new HeaderList(text, from);

test('names are found in any case, values are as they were sent', async (t) => {
  const headers = list('Content-Type: text/Plain\r\nX-A:b\r\n\r\n');
  for (const name of ['content-type', 'Content-Type', 'CONTENT-TYPE']) {
    t.equal(headers.get(name), 'text/Plain');
    t.ok(headers.has(name));
  }
  t.equal(headers.get('content'), null);
  t.equal(headers.get('content-type '), null);
  t.equal(headers.get(''), null);
  t.notOk(headers.has('X'));
});

test('fields of one name are one list, in their order', async (t) => {
  const headers = list('A: 1\r\nB: x\r\na: 2\r\nA: \r\n\r\n');
  t.equal(headers.get('a'), '1, 2, ');
  t.same(headers.getAll('A'), ['1', '2', '']);
  t.same(headers.getAll('c'), []);
  t.equal(headers.size, 4);
});

test('whether a field may ask for a part or for another version', async (t) => {
  for (const name of ['If-Match', 'if-none-match', 'IF-RANGE', 'Range', 'rAnge']) {
    t.ok(list(`Host: x\r\n${name}: y\r\n\r\n`).mayHaveConditions, name);
    t.ok(list(`GET / HTTP/1.1\r\n${name}: y\r\n`, 16).mayHaveConditions, name);
  }
  t.notOk(list('Host: if-match\r\nReferer: /range\r\nI: f\r\n\r\nRange: behind the end\r\n').mayHaveConditions);
  t.notOk(list('\r\n').mayHaveConditions);
  t.notOk(HeaderList.empty.mayHaveConditions);
});

test('an empty value is there, and is not null', async (t) => {
  const headers = list('A:\r\n\r\n');
  t.equal(headers.get('a'), '');
  t.ok(headers.has('a'));
});

test('it can be walked through, more than once, in the order of sending', async (t) => {
  const headers = list('B: 1\r\na: 2\r\nB: 3\r\n\r\n');
  const all = [
    ['B', '1'],
    ['a', '2'],
    ['B', '3'],
  ];
  t.same([...headers], all);
  t.same([...headers], all);
});

test('blanks around a value are spaces and tabs; what looks like one is part of it', async (t) => {
  t.equal(list('A: \t x y\t \r\n\r\n').get('a'), 'x y');
  t.equal(list('A:\xa0x\xa0\r\n\r\n').get('a'), '\xa0x\xa0');
  t.equal(list('A: b:c\r\n\r\n').get('a'), 'b:c', 'the first colon ends the name');
});

test('it begins at its offset, and ends at the empty line or the end of the text', async (t) => {
  t.same([...list('GET / HTTP/1.1\r\nA: 1\r\n\r\nB: 2\r\n', 16)], [['A', '1']]);
  t.same(
    [...list('A: 1\r\nB: 2\r\n')],
    [
      ['A', '1'],
      ['B', '2'],
    ],
  );
  t.same([...list('\r\n')], []);
});

test('none', async (t) => {
  t.equal(HeaderList.empty.size, 0);
  t.equal(HeaderList.empty.get('a'), null);
  t.same([...HeaderList.empty], []);
});

test('names of objects are names like any other', async (t) => {
  const headers = list('__proto__: 1\r\nconstructor: 2\r\n\r\n');
  t.equal(headers.get('__proto__'), '1');
  t.equal(headers.get('constructor'), '2');
  t.equal(list('\r\n').get('toString'), null);
});
