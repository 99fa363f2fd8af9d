/**
 * The names of a part and its file, in all the ways in which clients write them.
 *
 * Next: multipart.test.ts
 */

import { test } from 'tap';
import { parseDisposition } from '../../../http/content/content-disposition.ts';

const read = (text: string) => parseDisposition(text, 'of a part');

test('names', async (t) => {
  t.same(read('form-data; name="a"'), { name: 'a', filename: null });
  t.same(read('Form-Data ;NAME=a ; FileName=b.txt'), { name: 'a', filename: 'b.txt' });
  t.same(read('form-data; name=""; filename=""'), { name: '', filename: '' });
  t.same(read('form-data; name="ä 😀"'), { name: 'ä 😀', filename: null });
  t.equal(read('form-data; name="__proto__"').name, '__proto__');
});

test('quotes and line ends in names, as browsers and older clients write them', async (t) => {
  t.equal(read('form-data; name="a%22b%0D%0Ac%20"').name, 'a"b\r\nc%20', 'no other escape is one');
  t.equal(read('form-data; name="a\\"b\\\\c"').name, 'a"b\\\\c');
  t.throws(() => read('form-data; name="a\\"; filename="b"'), { status: 400, message: /malformed/ }, 'two readings');
});

test('a file name has no folders', async (t) => {
  const names: [sent: string, name: string][] = [
    ['/etc/passwd', 'passwd'],
    ['../../x', 'x'],
    ['C:\\dir\\new.txt', 'new.txt'],
    ['..', ''],
    ['a/..', ''],
    ['.', ''],
    ['dir/', ''],
    ['a..b', 'a..b'],
    ['...', '...'],
  ];
  for (const [sent, name] of names) t.equal(read(`form-data; name=a; filename="${sent}"`).filename, name, sent);
});

test('filename* wins over filename, and is decoded before folders are cut', async (t) => {
  t.equal(read("form-data; name=a; filename=x; filename*=UTF-8''%e2%82%ac.txt").filename, '€.txt');
  t.equal(read("form-data; name=a; filename*=utf-8'en'%2e%2e%2fx").filename, 'x');
  for (const value of ["UTF-8''%ff", "UTF-8''%", "iso-8859-1''a", "UTF-8'a", 'a']) {
    t.throws(
      () => read(`form-data; name=a; filename=x; filename*=${value}`),
      { name: 'HttpError', status: 400 },
      value,
    );
  }
});

test('what is refused', async (t) => {
  const cases: [text: string, message: string][] = [
    ['attachment; name=a', 'a type other than form-data in Content-Disposition of a part'],
    ['form-data', 'no name in Content-Disposition of a part'],
    ['form-data; filename=a', 'no name in Content-Disposition of a part'],
    ['form-data; name=a; name=b', 'parameters that are malformed, or come twice, in Content-Disposition of a part'],
    [
      'form-data; name=a; filename=b; Filename=c',
      'parameters that are malformed, or come twice, in Content-Disposition of a part',
    ],
    ['form-data; name="a', 'parameters that are malformed, or come twice, in Content-Disposition of a part'],
    ['form-data; name=a; filename="b%0Ac"', 'a control character in the file name in Content-Disposition of a part'],
    [
      "form-data; name=a; filename*=UTF-8''b%00.png",
      'a control character in the file name in Content-Disposition of a part',
    ],
    ['form-data; name=a; filename*=b', 'a malformed filename* in Content-Disposition of a part'],
  ];
  for (const [text, message] of cases) t.throws(() => read(text), { status: 400, message }, text);
});
