/** Names of downloads: none of them can end its string or its line. */

import { test } from 'tap';
import { attachment } from '../../../http/content/attachment.ts';
import { isFieldValue } from '../../../http/grammar.ts';
import { Random } from '../../simulation/random.ts';

test('plain names, and others', async (t) => {
  const names = {
    'report.pdf': 'attachment; filename="report.pdf"',
    'my report (1).pdf': 'attachment; filename="my report (1).pdf"',
    '/etc/passwd': 'attachment; filename="passwd"',
    '..\\..\\x.exe': 'attachment; filename="x.exe"',
    '€5.txt': `attachment; filename="_5.txt"; filename*=UTF-8''%E2%82%AC5.txt`,
    'a"; x="y': `attachment; filename="a_; x=_y"; filename*=UTF-8''a%22%3B%20x%3D%22y`,
    '50%.txt': `attachment; filename="50_.txt"; filename*=UTF-8''50%25.txt`,
    'a\r\nSet-Cookie: x': `attachment; filename="a__Set-Cookie: x"; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20x`,
    "é'()*": `attachment; filename="_'()*"; filename*=UTF-8''%C3%A9%27%28%29%2A`,
    'half \ud800': `attachment; filename="half _"; filename*=UTF-8''half%20%EF%BF%BD`,
  };
  for (const [name, value] of Object.entries(names)) t.equal(attachment(name), value, JSON.stringify(name));
});

test('any name gives one field value with one string', async (t) => {
  const random = new Random(5);
  const wrong: string[] = [];
  for (let i = 0; i < 20_000; i++) {
    const units = Array.from({ length: random.below(12) }, () =>
      random.below(random.pick([0x30, 0x80, 0x100, 0x10000])),
    );
    const name = String.fromCharCode(...units);
    const value = attachment(name);
    if (!isFieldValue(value) || !/^attachment; filename="[^"\\]*"(; filename\*=UTF-8''[\w.!~%&+^`|$#-]*)?$/.test(value))
      wrong.push(name);
  }
  t.same(wrong, []);
});
