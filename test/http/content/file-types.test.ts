/** The Content-Type of a name. */

import { test } from 'tap';
import { typeOfFile } from '../../../http/content/file-types.ts';

test('names and their types', async (t) => {
  const types = {
    'index.html': 'text/html; charset=utf-8',
    'INDEX.HTML': 'text/html; charset=utf-8',
    'app.4f3c9a1b.js': 'text/javascript; charset=utf-8',
    'style.css': 'text/css; charset=utf-8',
    'data.json': 'application/json',
    'logo.svg': 'image/svg+xml',
    'film.mp4': 'video/mp4',
    'font.woff2': 'font/woff2',
    'code.wasm': 'application/wasm',
    'archive.tar.gz': 'application/gzip',
    README: 'application/octet-stream',
    'name.': 'application/octet-stream',
    'name.unheardof': 'application/octet-stream',
    'name.__proto__': 'application/octet-stream',
    'name.constructor': 'application/octet-stream',
    '.html': 'application/octet-stream',
    '': 'application/octet-stream',
  };
  for (const [name, type] of Object.entries(types)) t.equal(typeOfFile(name), type, name);
});
