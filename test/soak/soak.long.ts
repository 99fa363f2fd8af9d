/**
 * The soak as a program: a few seconds of it, which say nothing of memory, but that its parts fit together, that all clients
 * are answered as they should be, and that no descriptor is left.
 */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import { buildFolder, Program, plainEnvironment } from '../support/programs.ts';

const soak = (...args: string[]) =>
  new Program(process.execPath, [join(buildFolder, 'test/soak/soak.js'), ...args], {
    env: plainEnvironment(),
  }).ends();

test('a few seconds', { timeout: 240_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-soak-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const output = join(folder, 'soak.csv');
  const { code, stdout, stderr } = await soak('--minutes', '0.05', '--output', output);
  t.equal(code, 0, `${stdout}\n${stderr}`);
  t.match(
    stdout,
    /resident memory, MB\n[\s\S]*\*[\s\S]*used heap, MB\n[\s\S]*\*[\s\S]*open descriptors, of the server\n[\s\S]*\*/,
  );
  t.match(stdout, /good {2}descriptors before the clients came: (\d+), when they had left: \1\n/);
  t.match(
    readFileSync(output, 'utf8'),
    /^seconds,resident memory \(MB\),used heap \(MB\),buffers outside the heap \(MB\),open descriptors \(of the server\)\n\d+\.\d,\d/,
  );
});

test('a few seconds over HTTPS', { timeout: 240_000 }, async (t) => {
  const { code, stdout, stderr } = await soak('--minutes', '0.05', '--tls');
  t.equal(code, 0, `${stdout}\n${stderr}`);
  t.match(stdout, /good {2}SSL objects left: 0\n/);
});

test('wrong use ends in one sentence and exit code 1', async (t) => {
  for (const [args, message] of [
    [['--minutes', '0'], /^--minutes must be a number above 0/],
    [['--minutes', 'x'], /^--minutes must be a number above 0/],
    [['--output', 'x.png'], /^--output must end in \.svg or \.csv/],
    [['--hours', '1'], /^Unknown option '--hours'/],
  ] as [string[], RegExp][]) {
    const { code, stderr } = await soak(...args);
    t.equal(code, 1, args.join(' '));
    t.match(stderr, message);
  }
  t.match((await soak('--help')).stdout, /^Usage: npm run soak/);
});
