/** Each test file runs once in `npm test`, in a room with others of its folder. */

import { test } from 'tap';
import { fileOfMark, markOf, roomsOf } from './rooms.ts';

test('a room has the files of a folder', async (t) => {
  const files = ['test/a/b/three.test.js', 'test/a/one.test.js', 'test/a/two.test.js', 'test/four.test.js'];
  t.same(
    [...roomsOf(files)],
    [
      ['test/a/b', ['test/a/b/three.test.js']],
      ['test/a', ['test/a/one.test.js', 'test/a/two.test.js']],
      ['test', ['test/four.test.js']],
    ],
  );
});

test('a folder with many files has several rooms, and each file is in one of them', async (t) => {
  const files = Array.from({ length: 19 }, (_, i) => `test/a/${String(i).padStart(2, '0')}.test.js`);
  const rooms = roomsOf(files);
  t.same([...rooms.keys()], ['test/a-1', 'test/a-2', 'test/a-3']);
  t.same(
    [...rooms.values()].map(({ length }) => length),
    [7, 6, 6],
  );
  t.same([...rooms.values()].flat().sort(), files);
});

test('what takes long begins first', async (t) => {
  const rooms = roomsOf(['test/architecture.test.js', 'test/examples/chat.test.js']);
  t.same([...rooms.keys()], ['test/examples', 'test']);
});

test('a mark names its file, and another test is not a mark', async (t) => {
  t.equal(fileOfMark(markOf('test/a/one.test.js')), 'test/a/one.test.js');
  t.equal(fileOfMark('a server that stops'), null);
});
