/** Options of files: names, values, and what is as if absent. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import { inject, sendFile, staticFiles } from '../../../http/index.ts';

const wrong = (options: object) => () => staticFiles('/', options as never);

test('a name or a value that makes no sense throws at once', async (t) => {
  t.throws(wrong({ lising: true }), { message: "there is no option 'lising': did you mean 'listing'?" });
  t.throws(wrong({ toString: true }), /there is no option 'toString'/);
  for (const [options, message] of [
    [{ maxRanges: '16' }, "maxRanges of staticFiles must be a number of at least 0, not '16'"],
    [{ maxRanges: -1 }, 'maxRanges of staticFiles must be a number of at least 0, not -1'],
    [{ revalidateMs: Number.NaN }, 'revalidateMs of staticFiles must be a number of at least 0, not NaN'],
    [{ maxOpenFiles: null }, 'maxOpenFiles of staticFiles must be a number of at least 0, not null'],
    [{ listing: 'no' }, "listing of staticFiles must be true or false, not 'no'"],
    [{ immutable: 'x' }, "immutable of staticFiles must be a RegExp or null, not 'x'"],
    [{ cacheControl: 'a\nb' }, /^cacheControl of staticFiles must be the value of a field, not /],
  ] as const) {
    t.throws(wrong(options), { message } as Error);
  }
  for (const spa of ['/index.html', '../index.html', 'a/../../b', '..', '.', '', './a', true]) {
    t.throws(wrong({ spa }), /^spa of staticFiles must be a path below the directory/, String(spa));
  }
  for (const spa of ['index.html', 'app/index.html', '.well-known/a', '..a', null]) t.doesNotThrow(wrong({ spa }));
  const send = (options: object) => () => sendFile({ method: 'GET' } as never, {} as never, '/', options as never);
  t.throws(send({ download: 1 }), { message: 'download of sendFile must be true, false or a name, not 1' });
  t.throws(send({ index: 'x' }), /there is no option 'index'/);
});

test('an option that is undefined is as if absent, and a pattern with g remembers nothing', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'index.html'), 'home');
  const files = staticFiles(folder, { index: undefined, maxRanges: undefined, immutable: /index/g } as never);
  t.teardown(() => files.close());
  for (let i = 0; i < 2; i++) {
    const answer = await inject(files, { url: '/' });
    t.same([answer.text(), answer.headers.get('cache-control')], ['home', 'public, max-age=31536000, immutable']);
  }
  writeFileSync(join(folder, 'large'), 'x'.repeat(100));
  const ranges = Array.from({ length: 17 }, (_, i) => `${i * 2}-${i * 2}`);
  for (const [count, status] of [
    [16, 206],
    [17, 416],
  ] as const) {
    const headers = { Range: `bytes=${ranges.slice(0, count).join()}` };
    t.equal((await inject(files, { url: '/large', headers })).status, status);
  }
  const none = staticFiles(folder, { immutable: null });
  t.teardown(() => none.close());
  t.equal((await inject(none, { url: '/' })).headers.get('cache-control'), 'no-cache');
});
