/**
 * File paths: the path of a URL as a path inside a directory, or null if it must not name a file.
 *
 *     '/docs/a%20b.txt'   ->  'docs/a b.txt'          '/'           ->  '.'
 *     '/../etc/passwd'    ->  null                    '/.git/config' ->  null
 *
 * It is decoded once, as strict UTF-8. Then each name is looked at: `.`, `..`, an empty one in the middle, a slash that was encoded and NUL name no file; one that begins with
 * a dot is hidden. This is the first of two fences. The kernel is the second one: open-files.ts asks it to stay beneath the directory.
 *
 * Next: ../request/byte-run.ts
 */

/** `pathname` is percent-encoded, and begins with a slash. */
export function filePathOf(pathname: string, showsDotFiles: boolean): string | null {
  const path = pathname.slice(1);
  if (PLAIN.test(path)) return path;
  const names = path.split('/').map(decodeName);
  return names.includes(null) ? null : pathOf(names as string[], showsDotFiles);
}

/** `path` is decoded, as the param of a wildcard is: `css/site.css`. A slash that was encoded is a slash like the others then. */
export function decodedFilePathOf(path: string, showsDotFiles: boolean): string | null {
  return PLAIN.test(path) ? path : pathOf(path.split('/'), showsDotFiles);
}

/** Nothing but names that are served: most paths, and to look at each name would cost five times as much. */
const PLAIN = /^[\w-][\w.-]*(?:\/[\w-][\w.-]*)*$/;

function pathOf(names: readonly string[], showsDotFiles: boolean): string | null {
  const all = names.at(-1) === '' ? names.slice(0, -1) : names; // the slash of a folder
  if (!all.every((name) => isVisible(name, showsDotFiles))) return null;
  return all.length === 0 ? '.' : all.join('/');
}

function decodeName(name: string): string | null {
  try {
    return decodeURIComponent(name);
  } catch {
    return null; // not an error of the program: a client may send any path
  }
}

function isVisible(name: string, showsDotFiles: boolean): boolean {
  if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0')) return false;
  return showsDotFiles || !name.startsWith('.');
}
