/** What a listing says of sizes, and how much it shows. */

import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import { listingPage, MAX_LISTED, readListing, sizeText } from '../../../http/handlers/directory-listing.ts';

test('sizes', async (t) => {
  const texts: readonly (readonly [number, string])[] = [
    [0, '0 B'],
    [999, '999 B'],
    [1_000, '1.0 KB'],
    [9_940, '9.9 KB'],
    [10_000, '10 KB'],
    [1_500_000, '1.5 MB'],
    [2e9, '2.0 GB'],
    [5e15, '5000 TB'],
  ];
  for (const [size, text] of texts) t.equal(sizeText(size), text);
});

test('as many names as the limit allows, and one more', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  for (let i = 1; i < MAX_LISTED; i++) writeFileSync(join(folder, `${i}`), '');
  symlinkSync('1', join(folder, 'link'));
  writeFileSync(join(folder, '.hidden'), '');
  const plain = await readListing(folder, false, false);
  t.same([plain.names.length, plain.isCut], [MAX_LISTED - 1, false]);
  t.same(
    plain.names.slice(0, 3).map(({ name }) => name),
    ['1', '2', '3'],
    'numbers are in their order',
  );
  const withLinks = await readListing(folder, false, true);
  t.same([withLinks.names.length, withLinks.isCut], [MAX_LISTED, false]);
  const all = await readListing(folder, true, true);
  t.same([all.names.length, all.isCut], [MAX_LISTED, true]);
  t.match(listingPage('/', 0, all), /Only 1000 names are shown: the folder has more/);
});

test('folders above those that are served are not links', async (t) => {
  const page = listingPage('/assets/a/b/', 1, { names: [], isCut: false });
  t.match(page, '<h1>/ assets<i>/</i><a href="./../">a</a><i>/</i>b</h1>');
});

test('how much it is, in a sentence', async (t) => {
  const file = { name: 'f', isFolder: false, size: 600, modifiedMs: 0 };
  const folder = { name: 'd', isFolder: true, size: 4_096, modifiedMs: 0 };
  for (const [names, text] of [
    [[], 'This folder is empty.'],
    [[file], '1 file, 600 B'],
    [[folder, file, file], '1 folder, 2 files, 1.2 KB'],
    [[folder, folder], '2 folders'],
  ] as const) {
    t.match(listingPage('/', 0, { names, isCut: false }), `<p>${text}</p>`);
  }
});
