/**
 * Directory listing: a folder as a page: names, sizes and dates, the way back up, a sum, and dark mode. It needs no script.
 *
 * A name may contain any character but a slash and NUL, also `<`, a quote or a line end. So each name is escaped as text, and percent-encoded as a link, with `./` before it: a name
 * such as `javascript:x` would be a URL with a scheme. The page forbids itself everything but its own style (Content-Security-Policy).
 *
 * It shows at most MAX_LISTED names, those that the kernel names first, and says so. Links are shown only if they may be followed, and a name that is not UTF-8 is not
 * shown, because no URL leads to it.
 *
 * Next: file-options.ts
 */

import { lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';

export const MAX_LISTED = 1_000;

export interface ListedName {
  readonly name: string;
  readonly isFolder: boolean;
  readonly size: number;
  readonly modifiedMs: number;
}

export interface Listing {
  readonly names: readonly ListedName[];
  /** There are more names. */
  readonly isCut: boolean;
}

/** Reads the folder at `place`, folders first, each in the order of their names. */
export async function readListing(place: string, showsDotFiles: boolean, showsLinks: boolean): Promise<Listing> {
  const names: ListedName[] = [];
  let isCut = false;
  for await (const { name } of await opendir(place)) {
    if (name.startsWith('.') && !showsDotFiles) continue;
    const stat = await lstat(join(place, name)).catch(() => null); // it may have gone meanwhile, or not be UTF-8
    const isShown = stat !== null && (stat.isFile() || stat.isDirectory() || (showsLinks && stat.isSymbolicLink()));
    if (!isShown) continue;
    if (names.length === MAX_LISTED) {
      isCut = true;
      break;
    }
    names.push({ name, isFolder: stat.isDirectory(), size: stat.size, modifiedMs: stat.mtimeMs });
  }
  const order = new Intl.Collator('en', { numeric: true });
  names.sort((a, b) => Number(b.isFolder) - Number(a.isFolder) || order.compare(a.name, b.name));
  return { names, isCut };
}

/** The signs of folder and file are shapes of the style: an image would need another file, and a font may lack the character. */
const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin: 1rem .5rem; font-size: 1.25rem; font-weight: 600; overflow-wrap: anywhere; }
h1 i { padding: 0 .3em; font-style: normal; font-weight: 400; opacity: .5; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 500; opacity: .65; }
td, th { padding: .4rem .5rem; border-bottom: 1px solid color-mix(in srgb, currentColor 15%, transparent); }
td:first-child { position: relative; padding-left: 2rem; overflow-wrap: anywhere; white-space: pre-wrap; }
td + td, th + th { width: 1%; padding-left: 1.5rem; text-align: right; white-space: nowrap; }
tr:hover td { background: color-mix(in srgb, currentColor 6%, transparent); }
td a { display: block; unicode-bidi: isolate; }
td a::before {
  content: ""; position: absolute; left: .55rem; top: .75rem; width: .75rem; height: .95rem; background: currentColor; opacity: .35;
  clip-path: polygon(0 0, 60% 0, 60% 35%, 100% 35%, 100% 100%, 0 100%);
}
td a[href$="/"]::before {
  top: .8rem; width: 1rem; height: .8rem; opacity: .8; clip-path: polygon(0 0, 40% 0, 50% 18%, 100% 18%, 100% 100%, 0 100%);
}
a { color: light-dark(#0b57d0, #a8c7fa); text-decoration: none; }
a:hover { text-decoration: underline; }
p { margin: 1rem .5rem; }
p, time { opacity: .65; }
@media (max-width: 36rem) { td:last-child, th:last-child { display: none; } }`;

/** No script, no image, no frame: only the style of the page. */
export const LISTING_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/** `path` is the path of the folder in the URL, decoded, with a slash at both ends. `depth` says how many of its names are served. */
export function listingPage(path: string, depth: number, { names, isCut }: Listing): string {
  const rows = names.map(rowOf).join('\n');
  const up = depth > 0 ? '<tr><td><a href="../">..</a></td><td></td><td></td></tr>\n' : '';
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(path)}</title>
<style>${STYLE}
</style>
<h1>${breadcrumbs(path, depth)}</h1>
<table>
<thead><tr><th scope="col">Name</th><th scope="col">Size</th><th scope="col">Changed (UTC)</th></tr></thead>
<tbody>
${up}${rows}
</tbody>
</table>
<p>${summary(names, isCut)}</p>
</html>
`;
}

function summary(names: readonly ListedName[], isCut: boolean): string {
  if (isCut) return `Only ${MAX_LISTED} names are shown: the folder has more.`;
  if (names.length === 0) return 'This folder is empty.';
  const folders = names.filter(({ isFolder }) => isFolder).length;
  const files = names.length - folders;
  const size = names.reduce((sum, each) => sum + (each.isFolder ? 0 : each.size), 0);
  const parts = [counted(folders, 'folder'), counted(files, 'file')].filter((part) => part !== '');
  return `${parts.join(', ')}${files > 0 ? `, ${sizeText(size)}` : ''}`;
}

function counted(count: number, what: string): string {
  return count === 0 ? '' : `${count} ${what}${count === 1 ? '' : 's'}`;
}

function rowOf({ name, isFolder, size, modifiedMs }: ListedName): string {
  const slash = isFolder ? '/' : '';
  const time = new Date(modifiedMs).toISOString();
  const shown = `${time.slice(0, 10)} ${time.slice(11, 16)}`;
  return (
    `<tr><td><a href="./${escapeHtml(encodeURIComponent(name))}${slash}">${escapeHtml(name)}${slash}</a></td>` +
    `<td>${isFolder ? '' : sizeText(size)}</td><td><time datetime="${time}">${shown}</time></td></tr>`
  );
}

/** Each folder on the way is a link, as far as it is served. */
function breadcrumbs(path: string, depth: number): string {
  const names = path.split('/').slice(1, -1);
  const parts = ['/', ...names].map((name, i) => {
    const up = names.length - i;
    const text = escapeHtml(name);
    return up > 0 && up <= depth ? `<a href="./${'../'.repeat(up)}">${text}</a>` : text;
  });
  const [root, ...folders] = parts;
  return root + folders.map((folder, i) => (i === 0 ? ` ${folder}` : `<i>/</i>${folder}`)).join('');
}

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB'] as const;
const UNIT_STEP = 1_000;
const MAX_ONE_DIGIT = 10;

export function sizeText(size: number): string {
  let value = size;
  let unit = 0;
  while (value >= UNIT_STEP && unit < UNITS.length - 1) {
    value /= UNIT_STEP;
    unit++;
  }
  return `${unit > 0 && value < MAX_ONE_DIGIT ? value.toFixed(1) : Math.floor(value)} ${UNITS[unit]}`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character] as string);
}
