/** Each test file runs once in `npm test`, in a room with others. */

import { test } from 'tap';
import { fileOfMark, markOf, roomsOf } from './rooms.ts';

const filesOf = (folder: string, count: number) =>
  Array.from({ length: count }, (_, i) => `test/${folder}/${String(i).padStart(3, '0')}.test.js`);

test('each file is in one room, and the rooms are equal', async (t) => {
  const files = ['a', 'b', 'c', 'd'].flatMap((folder) => filesOf(folder, 70));
  const rooms = roomsOf(files, {});
  t.same(rooms.flat().sort(), files);
  const sizes = rooms.map(({ length }) => length);
  t.ok(Math.max(...sizes) - Math.min(...sizes) <= 5, String(sizes));
});

test('a few files of a folder stay together, and many are spread', async (t) => {
  const few = filesOf('few', 5);
  const many = filesOf('many', 100);
  const rooms = roomsOf([...few, ...many], {});
  t.equal(rooms.filter((room) => few.some((file) => room.includes(file))).length, 1);
  t.ok(rooms.every((room) => room.some((file) => many.includes(file))));
});

test('what takes long begins first, and has little beside it', async (t) => {
  const files = filesOf('a', 100);
  const [first = []] = roomsOf([...files, 'test/b/slow.test.js'], { 'b/slow': 100 });
  t.same(first, ['test/b/slow.test.js']);
});

test('the tests that give the whole process another loop are alone', async (t) => {
  const rooms = roomsOf([...filesOf('a', 10), ...filesOf('on-io-uring', 2)], {});
  t.ok(rooms.some((room) => JSON.stringify(room) === JSON.stringify(filesOf('on-io-uring', 2))));
});

test('a mark names its file, and another test is not a mark', async (t) => {
  t.equal(fileOfMark(markOf('test/a/one.test.js')), 'test/a/one.test.js');
  t.equal(fileOfMark('a server that stops'), null);
});
