/** The bridge to C: what is said when it is not there. */

import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { koffi } from '../../../simplenet/kernel/ffi.ts';
import { LIBRARY, runProgram } from '../../support/child-program.ts';

const EXPLANATION =
  'simplenet could not load koffi, through which it calls the kernel. Its compiled part is an optional npm package: ' +
  'install again without --omit=optional (npm ci), on the machine that is to run it.';

/** A copy of the library in a folder of its own, whose koffi is what `install` makes it. */
function installation(t: Test, install: (koffiFolder: string) => void): string {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'simplenet-')));
  t.teardown(() => rmSync(root, { recursive: true }));
  cpSync(fileURLToPath(LIBRARY), join(root, 'simplenet'), { recursive: true });
  writeFileSync(join(root, 'package.json'), '{ "type": "module" }');
  const koffiFolder = join(root, 'node_modules', 'koffi');
  mkdirSync(koffiFolder, { recursive: true });
  install(koffiFolder);
  return join(root, 'simplenet', 'index.js');
}

/** What a program gets that imports the library there, after it has done something else. */
function importOf(path: string, before = ''): { message: string; cause: string } {
  const child = runProgram(
    `${before};
     try { await import('file://${path}'); console.log(JSON.stringify({ message: 'loaded', cause: '' })); }
     catch (error) { console.log(JSON.stringify({ message: error.message, cause: String(error.cause) })); }`,
  );
  return JSON.parse(child.stdout || JSON.stringify({ message: child.stderr, cause: '' }));
}

function copyOfKoffi(folder: string): void {
  const from = dirname(createRequire(import.meta.url).resolve('koffi'));
  cpSync(realpathSync(from), folder, { recursive: true });
}

t.test('koffi is here', async (t) => {
  t.type(koffi.load, 'function');
});

t.test('koffi without its compiled half, as after npm ci --omit=optional', async (t) => {
  const { message, cause } = importOf(installation(t, copyOfKoffi));
  t.equal(message, EXPLANATION);
  t.match(cause, /^Error: .*koffi/i, 'what koffi itself said is the cause');
});

t.test('koffi that fails in any other way', async (t) => {
  const path = installation(t, (folder) => {
    writeFileSync(join(folder, 'package.json'), '{ "name": "koffi", "main": "index.cjs" }');
    writeFileSync(join(folder, 'index.cjs'), 'throw new Error("built for another C library");');
  });
  t.same(importOf(path), { message: EXPLANATION, cause: 'Error: built for another C library' });
});

t.test('no koffi at all', async (t) => {
  const { message, cause } = importOf(installation(t, (folder) => rmSync(folder, { recursive: true })));
  t.equal(message, EXPLANATION);
  t.match(cause, /Cannot find module 'koffi'/);
});

t.test('an import in Bun or Deno fails, and says that they are not supported', async (t) => {
  const path = new URL('index.js', LIBRARY).pathname;
  const fakes = {
    Bun: "Object.defineProperty(process.versions, 'bun', { value: '1.0.0' })",
    Deno: 'globalThis.Deno = {}',
  };
  for (const [name, fake] of Object.entries(fakes)) {
    const { message } = importOf(path, fake);
    t.equal(message, `simplenet runs on Node.js only, not on ${name}: its event loop lives inside Node's own (libuv).`);
  }
});
