/** The hooks of tap are left out, and those of a test are not. */

import { test } from 'tap';
import { Program, plainEnvironment } from './programs.ts';

const preload = `--import=${new URL('without-loader.js', import.meta.url).href}`;

test('the hooks of tap are left out, others are registered', async (t) => {
  const text = `
    import module from 'node:module';
    module.register('file:///nowhere/node_modules/@tapjs/processinfo/dist/esm/loader.mjs'); // it would throw: there is no such file
    module.register('data:text/javascript,' + encodeURIComponent(
      "export const resolve = (name, context, next) => next(name === 'one:' ? 'data:text/javascript,export default 1' : name, context);",
    ));
    console.log((await import('one:')).default);`;
  const { code, stdout, stderr } = await Program.script(text, {
    nodeOptions: [preload],
    env: plainEnvironment(),
  }).ends();
  t.same([code, stdout], [0, '1\n'], stderr);
});
