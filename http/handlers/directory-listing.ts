/**
 * Directory listing: a folder as a page: names, sizes and dates, the way back up, and dark mode. It needs no script.
 *
 * A name may contain any character but a slash and NUL, also `<`, a quote or a line end. So each name is escaped as text, and percent-encoded as a link, with `./` before it: a name
 * such as `javascript:x` would be a URL with a scheme. The page forbids itself everything but its own style (Content-Security-Policy).
 *
 * It shows at most MAX_LISTED names, and says so. Links are shown only if they may be followed.
 *
 * Next: static-files.ts
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
    const stat = await lstat(join(place, name)).catch(() => null); // it may have gone meanwhile
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

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.25rem; font-weight: 600; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 500; opacity: .65; }
td, th { padding: .4rem .5rem; border-bottom: 1px solid color-mix(in srgb, currentColor 15%, transparent); }
td:first-child { overflow-wrap: anywhere; }
td + td, th + th { text-align: right; white-space: nowrap; }
tr:hover td { background: color-mix(in srgb, currentColor 6%, transparent); }
a { color: light-dark(#0b57d0, #a8c7fa); text-decoration: none; }
a:hover { text-decoration: underline; }
p { opacity: .65; }
@media (max-width: 30rem) { td:last-child, th:last-child { display: none; } }`;

/** No script, no image, no frame: only the style of the page. */
export const LISTING_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/** `path` is the path of the folder in the URL, decoded, with a slash at both ends. `depth` says how many of its names are served. */
export function listingPage(path: string, depth: number, { names, isCut }: Listing): string {
  const rows = names.map(rowOf).join('\n');
  const up = depth > 0 ? '<tr><td><a href="../">..</a></td><td></td><td></td></tr>\n' : '';
  const empty = names.length === 0 ? '<p>This folder is empty.</p>\n' : '';
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(path)}</title>
<style>${STYLE}
</style>
<h1>${breadcrumbs(path, depth)}</h1>
<table>
<thead><tr><th>Name</th><th>Size</th><th>Changed</th></tr></thead>
<tbody>
${up}${rows}
</tbody>
</table>
${empty}${isCut ? `<p>Only the first ${MAX_LISTED} names are shown.</p>\n` : ''}</html>
`;
}

function rowOf({ name, isFolder, size, modifiedMs }: ListedName): string {
  const slash = isFolder ? '/' : '';
  const time = new Date(modifiedMs).toISOString();
  const shown = `${time.slice(0, 10)} ${time.slice(11, 16)}`;
  return (
    `<tr><td><a href="./${escapeHtml(encodeName(name))}${slash}">${escapeHtml(name)}${slash}</a></td>` +
    `<td>${isFolder ? '' : sizeText(size)}</td><td><time datetime="${time}">${shown}</time></td></tr>`
  );
}

/** Each folder on the way is a link, as far as it is served. */
function breadcrumbs(path: string, depth: number): string {
  const names = path.split('/').slice(1, -1);
  const parts = ['', ...names].map((name, i) => {
    const up = names.length - i;
    const text = `${escapeHtml(name)}/`;
    return up > 0 && up <= depth ? `<a href="./${'../'.repeat(up)}">${text}</a>` : text;
  });
  return parts.join('');
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

/** A name that is not UTF-8 has replacement characters, and no URL leads to it. */
function encodeName(name: string): string {
  return encodeURIComponent(name.replace(/\p{Surrogate}/gu, '\ufffd'));
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
