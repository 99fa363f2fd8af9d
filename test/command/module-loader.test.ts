import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import { FAILED } from '../../command/command-error.ts';
import { loadModule } from '../../command/module-loader.ts';
import { inject } from '../../http/index.ts';
import { buildFolder, Program } from '../support/programs.ts';

const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Writes a module, with `http` for the URL of simplenet/http in it. Returns its path. */
function moduleOf(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text.replaceAll('simplenet/http', `file://${buildFolder}/http/index.js`));
  return file;
}

test('a handler, a Router, an object with fetch, a marked object, and CommonJS', async (t) => {
  for (const [i, text] of [
    "export default (_request, response) => response.text('hello')",
    "import { Router } from 'simplenet/http'; export default new Router().get('/', (_request, response) => response.text('hello'))",
    "export default { fetch: () => new Response('hello') }",
    "import { PROTOCOL_MARKER } from 'simplenet/http'; export default { [PROTOCOL_MARKER]: 1, fetch: () => new Response('hello') }",
  ].entries()) {
    const source = await loadModule(moduleOf(`good-${i}.mjs`, text));
    t.equal((await inject(source, '/')).text(), 'hello', text);
  }
  const common = await loadModule(
    moduleOf('good.cjs', "module.exports = (_request, response) => response.text('hello')"),
  );
  t.equal((await inject(common, '/')).text(), 'hello');
});

test('what cannot be served', async (t) => {
  const advice = ': export default a function (request, response), a Router, or an object with fetch(request)';
  for (const [i, [text, what]] of (
    [
      ['export const site = 1', 'no default export'],
      ['export default 3', 'a default export that cannot be served'],
      ['export default null', 'a default export that cannot be served'],
      ['export default {}', 'a default export that cannot be served'],
      ['export default class {}', 'a default export that cannot be served'],
    ] as const
  ).entries()) {
    const file = moduleOf(`bad-${i}.mjs`, text);
    await t.rejects(loadModule(file), { message: `'${file}' has ${what}${advice}`, exitCode: FAILED }, text);
  }
});

test('a module that does not load: why, and where', async (t) => {
  const thrown = moduleOf('thrown.mjs', '\n  missing();\n');
  for (const [file, reason] of [
    [thrown, `ReferenceError: missing is not defined, at ${thrown}:2:3`],
    [moduleOf('syntax.mjs', 'let x = ;'), "SyntaxError: Unexpected token ';' (node --check shows where)"],
    [moduleOf('name.mjs', "import { no } from 'node:fs';"), /^SyntaxError: .*does not provide an export named 'no'/],
    [moduleOf('package.mjs', "import 'there-is-no-such-package';"), /^Error: Cannot find package 'there-is-no/],
    [moduleOf('null.mjs', 'throw null;'), 'it throws null'],
    [moduleOf('bare.mjs', "const e = new Error('bare\\nsecond'); e.stack = undefined; throw e;"), 'Error: bare'],
    [moduleOf('page.html', '<p>'), 'it is no module of JavaScript; to serve files, name their directory'],
    [moduleOf('data.json', '{}'), 'it is no module of JavaScript; to serve files, name their directory'],
  ] as const) {
    const error = await loadModule(file).catch((reason: Error) => reason);
    const prefix = `cannot load '${file}': `;
    t.match(error, { exitCode: FAILED });
    const { message } = error as Error;
    t.equal(message.slice(0, prefix.length), prefix);
    if (typeof reason === 'string') t.equal(message.slice(prefix.length), reason);
    else t.match(message.slice(prefix.length), reason);
    t.notMatch(message, '\n');
  }
});

test('TypeScript runs where Node strips types, and is refused by name elsewhere', async (t) => {
  const file = moduleOf('site.ts', "export default (_: unknown, response: any): void => response.text('hello');");
  if ((process.features as { typescript?: unknown }).typescript) {
    t.equal((await inject(await loadModule(file), '/')).text(), 'hello');
    return;
  }
  const message = `cannot load '${file}': Node.js ${process.versions.node} does not run TypeScript; 22.18 and later do`;
  await t.rejects(loadModule(file), { message, exitCode: FAILED });
});

test('a module that waits without end is not a success', async (t) => {
  const file = moduleOf('never.mjs', 'await new Promise(() => {});');
  const script = `
    const { loadModule } = await import(build + '/command/module-loader.js');
    await loadModule(${JSON.stringify(file)}).catch((error) => console.log(error.message));
  `;
  const { stdout, code } = await Program.script(script, { isCounted: true }).ends();
  t.same([stdout, code], [`'${file}' awaits what never happens\n`, 0]);
});
