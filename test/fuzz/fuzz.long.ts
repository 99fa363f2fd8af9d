/**
 * The fuzzer for a second or two, what it has ever found, and whether it finds anything at all.
 *
 * SEED=n makes other inputs, EXECUTIONS=n more of them; for a long run there is `npm run fuzz`.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { buildFolder, type Outcome, Program } from '../support/programs.ts';
import { checks } from './checks.ts';
import { type Checks, type Find, Fuzzer, faultOf } from './fuzzer.ts';
import { curiousReader, decimalReader, forgetfulReader, lenientReader } from './planted.ts';
import { answeringProperty, type CreateReader, readingProperties } from './properties.ts';
import { appendRegression, inputOf, lineOf, readRegressions } from './regressions.ts';

const SEED = Number(process.env.SEED ?? 1);
const EXECUTIONS = Number(process.env.EXECUTIONS ?? 1_000);

/** A bug that is not found in so many is hidden too well. */
const MAX_EXECUTIONS = 20_000;

async function findWith(checks: Checks, executions: number, seed = SEED): Promise<Find | null> {
  const fuzzer = new Fuzzer(checks, seed);
  let find: Find | null = null;
  while (find === null && fuzzer.executions < executions) find = await fuzzer.step();
  return find === null ? null : fuzzer.shrink(find);
}

const temporaryFile = (t: Test) => join(t.testdir(), 'regressions.txt');

test(`${EXECUTIONS} inputs of the fuzzer (seed ${SEED})`, async (t) => {
  const find = await findWith(checks, EXECUTIONS);
  t.equal(find, null, find === null ? 'nothing found' : `${find.what}\n${lineOf(find.input)}`);
});

test('what was found once is not found again', async (t) => {
  const regressions = readRegressions();
  for (const input of regressions) {
    t.equal(await faultOf([...checks.fast, ...checks.slow], input), null, lineOf(input));
  }
  t.ok(regressions.length > 0);
});

/** Bugs, the properties that must notice, and how few bytes are needed to show each. */
const planted: readonly (readonly [bug: string, CreateReader, property: RegExp, mostBytes: number])[] = [
  ['a reader that forgets half a line end', forgetfulReader, /^the pieces are read as the whole/, 2],
  ['a reader that looks beyond its end', curiousReader, /whatever lies around them/, 1],
  ['a reader that accepts a bare LF', lenientReader, /^llhttp reads the same/, 40],
  ['a reader that takes hexadecimal for decimal', decimalReader, /^llhttp reads the same/, 100],
];

for (const [bug, create, property, mostBytes] of planted) {
  test(`a planted bug is found, and shrunk to ${mostBytes} bytes at most: ${bug}`, async (t) => {
    const planted = { fast: readingProperties(create), slow: [] };
    const find = await findWith(planted, MAX_EXECUTIONS);
    t.match(find?.what, property);
    if (find === null) return;
    t.comment(lineOf(find.input));
    t.ok(find.input.bytes.length <= mostBytes, `${find.input.bytes.length} bytes`);
    const file = temporaryFile(t);
    appendRegression(find.what, find.input, file);
    appendRegression(find.what, find.input, file);
    const [first, second] = readRegressions(file);
    t.same([first, second], [find.input, find.input], 'it is written down, and read back');
    t.match(await faultOf(planted.fast, first as Find['input']), property, 'and fails again when it is replayed');
    t.equal(await faultOf(checks.fast, first as Find['input']), null, 'but not with our own reader');
  });
}

test('the same seed finds the same', async (t) => {
  const planted = { fast: readingProperties(forgetfulReader), slow: [] };
  const [first, again] = [await findWith(planted, MAX_EXECUTIONS), await findWith(planted, MAX_EXECUTIONS)];
  t.ok(first !== null);
  t.same(first, again);
});

test('whole connections are watched, too: answers that do not fit what was read are found', async (t) => {
  const find = await findWith({ fast: [], slow: [answeringProperty(lenientReader)] }, MAX_EXECUTIONS);
  t.match(find?.what, /^each request is answered once/);
});

test('a line of the regressions holds every byte, and every cut', async (t) => {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  for (const cuts of [[256], [1, 2, 13, 128, 256]]) {
    const line = lineOf({ bytes, cuts });
    t.match(line, /^[\x20-\x7e]+$/);
    t.same(inputOf(line), { bytes, cuts });
  }
  t.same(inputOf('["GET / ","HTTP/1.1\\r\\n"]').cuts, [6, 16]);
});

// tap's hooks would run in the program as well, and slow it down.
const { PATH = '' } = process.env;

function runFuzz(...args: string[]): Promise<Outcome> {
  return new Program(process.execPath, [join(buildFolder, 'test/fuzz/fuzz.js'), ...args], { env: { PATH } }).ends();
}

const checksOf = (name: string) => `--checks=${join(import.meta.dirname, `${name}.js`)}`;

test('the program finds a planted bug, writes it down and ends with 1', async (t) => {
  const file = temporaryFile(t);
  const { code, stdout, stderr } = await runFuzz('--seed=5', checksOf('planted-forgetful'), `--regressions=${file}`);
  t.equal(code, 1, stderr);
  t.match(stdout, /seed 5\n[\s\S]*FOUND: the pieces are read as the whole is[\s\S]*npm run fuzz -- --seed 5/);
  t.equal(readFileSync(file, 'utf8').trim().split('\n').at(-1), '["\\r","\\n"]');
});

test('the program notices an input without end, and says which', async (t) => {
  const file = temporaryFile(t);
  const args = [checksOf('planted-endless'), `--regressions=${file}`, '--patience=0.5', '--seed=5'];
  const { code, stdout, stderr } = await runFuzz(...args);
  t.equal(code, 1, stderr);
  t.match(stdout, /FOUND: no end after 500 ms/);
  t.equal(readRegressions(file).length, 1);
});

test('the program ends with 0 where nothing is found, and with 2 where it is asked for nonsense', async (t) => {
  const { code, stdout, stderr } = await runFuzz('--minutes=0.01', '--seed=1');
  t.equal(code, 0, stderr);
  t.match(stdout, /nothing found in [\d,]+ executions/);
  for (const arg of ['--minutes=x', '--nonsense']) t.equal((await runFuzz(arg)).code, 2, arg);
  t.match((await runFuzz('--help')).stdout, /^Usage: npm run fuzz/);
});
