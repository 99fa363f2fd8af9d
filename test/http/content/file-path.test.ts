/** Which paths of a URL name a file. */

import { test } from 'tap';
import { decodedFilePathOf, filePathOf } from '../../../http/content/file-path.ts';

test('paths', async (t) => {
  const paths: Readonly<Record<string, string | null>> = {
    '/': '.',
    '/a': 'a',
    '/a/b.txt': 'a/b.txt',
    '/a/': 'a',
    '/a%20b/%C3%A9': 'a b/é',
    '/a%25b': 'a%b',
    '/...': null,
    '/a/.': null,
    '/.': null,
    '/..': null,
    '/a/../b': null,
    '/%2e%2e/b': null,
    '/%2E./b': null,
    '/a%2f..%2fb': null,
    '/a%2Fb': null,
    '/a%5c..%5cb': 'a\\..\\b',
    '/a%00': null,
    '/a//b': null,
    '//a': null,
    '/a//': null,
    '/%': null,
    '/%ff': null,
    '/%c0%ae%c0%ae/x': null,
    '/%252e%252e/x': '%2e%2e/x',
    '/.git/config': null,
    '/a/.htaccess': null,
    '*': '.',
  };
  for (const [path, file] of Object.entries(paths)) t.equal(filePathOf(path, false), file, path);
  t.equal(filePathOf('/.well-known/x', true), '.well-known/x');
  t.equal(filePathOf('/..', true), null);
  t.equal(filePathOf('/.', true), null);
});

test('decoded paths', async (t) => {
  t.equal(decodedFilePathOf('', false), '.');
  t.equal(decodedFilePathOf('a/b', false), 'a/b');
  t.equal(decodedFilePathOf('a/', false), 'a');
  t.equal(decodedFilePathOf('100%', false), '100%');
  t.equal(decodedFilePathOf('a/../b', false), null);
  t.equal(decodedFilePathOf('/a', false), null);
});
