/**
 * The module loader: imports the module of a program, and takes its default export if that can be served.
 *
 * Node runs TypeScript itself from 22.18 on, and says nothing helpful before. The folder of the program decides about packages, as for `node site.js`.
 *
 * Next: certificate.ts
 */

import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type ContextApp, contextHandler, type HandlerSource, isMarked } from '../http/index.ts';
import { CommandError, FAILED } from './command-error.ts';

/** A file of another kind, and a file of JSON. */
const NO_MODULE: ReadonlySet<string> = new Set([
  'ERR_UNKNOWN_FILE_EXTENSION',
  'ERR_IMPORT_ATTRIBUTE_MISSING',
  'ERR_IMPORT_ASSERTION_TYPE_MISSING',
]);

/** `file` is as it was typed: the errors name it so. */
export async function loadModule(file: string): Promise<HandlerSource> {
  const exported = await importOf(file);
  if (isMarked(exported.default)) return contextHandler(exported.default as ContextApp);
  if (isServable(exported.default)) return exported.default;
  const what = 'default' in exported ? 'a default export that cannot be served' : 'no default export';
  throw new CommandError(
    `'${file}' has ${what}: export default a function (request, response), a Router, or an object with fetch(request)`,
    FAILED,
  );
}

function importOf(file: string): Promise<{ readonly default?: unknown }> {
  return new Promise((loaded, failed) => {
    // Node would end the process with code 0 and without a word when nothing is left that could end an await of the module.
    const onIdle = () => failed(new CommandError(`'${file}' awaits what never happens`, FAILED));
    process.once('beforeExit', onIdle);
    import(pathToFileURL(resolve(file)).href)
      .then(loaded, (error) => failed(new CommandError(`cannot load '${file}': ${reasonOf(error)}`, FAILED)))
      .finally(() => process.off('beforeExit', onIdle));
  });
}

/** A class is refused: it throws without `new`, so each request would get 500. */
function isServable(exported: unknown): exported is HandlerSource {
  if (typeof exported === 'function') return !/^class\b/.test(Function.prototype.toString.call(exported));
  if (typeof exported !== 'object' || exported === null) return false;
  const { handle, fetch } = exported as { readonly handle?: unknown; readonly fetch?: unknown };
  return typeof handle === 'function' || typeof fetch === 'function';
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return `it throws ${String(error)}`;
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ERR_UNKNOWN_FILE_EXTENSION' && /\.[cm]?tsx?"/.test(error.message)) {
    return `Node.js ${process.versions.node} does not run TypeScript; 22.18 and later do`;
  }
  if (code !== undefined && NO_MODULE.has(code))
    return 'it is no module of JavaScript; to serve files, name their directory';
  const [sentence = ''] = error.message.split('\n');
  const place = placeOf(error);
  if (place === null && error instanceof SyntaxError) return `${error.name}: ${sentence} (node --check shows where)`;
  return `${error.name}: ${sentence}${place === null ? '' : `, at ${place}`}`;
}

/** The innermost place of the stack, `/srv/site.js:1:2`, or null if it is not in the code of the program. */
function placeOf({ stack = '' }: Error): string | null {
  const [, url, position] = /^ {4}at .*?(file:\/\/[^)]+?)(:\d+:\d+)\)?$/m.exec(stack) ?? [];
  return url === undefined || url === import.meta.url ? null : `${fileURLToPath(url)}${position}`;
}
