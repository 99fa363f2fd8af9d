/** An example in a process of its own, started as `npm run example` starts it. */

import { join } from 'node:path';
import type { Test } from 'tap';
import { buildFolder, Program } from '../support/programs.ts';

export function startExample(t: Test, ...args: readonly string[]): Program {
  const example = new Program(process.execPath, [join(buildFolder, 'examples/run.js'), ...args]);
  t.teardown(() => example.kill());
  return example;
}
