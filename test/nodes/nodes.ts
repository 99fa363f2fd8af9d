/**
 * `npm run test:nodes [VERSION ...]`: the tests that depend on Node's own loop, on each version of Node that we say we run on, and what
 * a request costs there.
 *
 * It installs each version, runs compiled test files with it (they are plain programs that print TAP), measures, and prints a table. It
 * fails where a test does, where a version is out of line (verdict.ts), or where no version could be had. A version that could not be
 * had is told in a line.
 */

import { join } from 'node:path';
import { backends, missingBackend } from '../support/backends.ts';
import { buildFolder, Program, plainEnvironment } from '../support/programs.ts';
import { installNode, testedVersions } from './node-versions.ts';
import { type Cost, outOfLine } from './verdict.ts';

/** What rests on Node's loop, its timers, its garbage collector or its string encodings. The rest cannot differ. */
const files = [
  'simplenet/kernel/intrinsic-bytes.test', // memory of add-ons is another one since Node 22
  'simplenet/loop/node-host.test',
  'simplenet/loop/hosting.test',
  'simplenet/epoll/epoll-loop.test', // counts system calls, as http/serve does
  'contracts/event-loop-on-linux.test',
  'transcripts/transcripts.test',
  'on-io-uring/transcripts.test',
  'oracle/oracle.test',
  'http/handlers/compression.test', // zstd, which Node 20 does not have
  'http/serve.test',
  'http/websocket/clients.test', // the WebSocket of Node, which Node 20 does not have
  'attacks/terminate.long',
];

const CLIENTS = [1, 64];
const JOBS = 2;
const FILE_LIMIT_S = 240;
/** A measurement that is out of line is taken again: on a busy machine the first may be. */
const ATTEMPTS = 3;

async function run(
  node: string,
  args: readonly string[],
): Promise<{ isGood: boolean; stdout: string; stderr: string }> {
  const env = { ...plainEnvironment(), TAP_TIMEOUT: String(FILE_LIMIT_S) };
  const program = new Program(node, ['--enable-source-maps', ...args], { env });
  const limit = setTimeout(() => program.kill(), (FILE_LIMIT_S + 10) * 1_000);
  const { code, stdout, stderr } = await program.ends();
  clearTimeout(limit);
  return { isGood: code === 0, stdout, stderr };
}

/** The names of the files that failed. */
async function failuresOn(node: string): Promise<readonly string[]> {
  const failed: string[] = [];
  const left = [...files];
  const some = async () => {
    for (let file = left.shift(); file !== undefined; file = left.shift()) {
      const { isGood, stdout, stderr } = await run(node, [join(buildFolder, 'test', `${file}.js`)]);
      if (isGood) continue;
      failed.push(file);
      const why = stdout.split('\n').filter((line) => /^\s*not ok/.test(line));
      console.log(`  ${file} failed:\n${[...why.slice(0, 20), stderr.slice(0, 2_000)].join('\n')}`);
    }
  };
  await Promise.all(Array.from({ length: JOBS }, some));
  return failed;
}

async function costOn(node: string, version: string, backend: string, clients: number): Promise<Cost> {
  const { stdout, stderr } = await run(node, [join(buildFolder, 'test/nodes/speed.js'), backend, String(clients)]);
  const microseconds = Number.parseFloat(stdout);
  if (Number.isNaN(microseconds)) console.log(`  no measurement on Node ${version}: ${stderr.slice(0, 2_000)}`);
  return {
    version,
    load: `${backend}, ${clients}`,
    microseconds: Number.isNaN(microseconds) ? Infinity : microseconds,
  };
}

const loads = backends
  .filter((backend) => missingBackend[backend] === false)
  .flatMap((backend) => CLIENTS.map((clients) => ({ backend, clients })));

/** One load on all versions, one after the other. */
async function costsOf(
  nodes: ReadonlyMap<string, string>,
  { backend, clients }: (typeof loads)[number],
): Promise<Cost[]> {
  let best: Cost[] = [];
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const costs: Cost[] = [];
    for (const [version, node] of nodes) costs.push(await costOn(node, version, backend, clients));
    const cheaper = (cost: Cost, i: number) =>
      (best[i]?.microseconds ?? Infinity) < cost.microseconds ? best[i] : cost;
    best = costs.map((cost, i) => cheaper(cost, i) as Cost);
    if (outOfLine(best).length === 0) break;
  }
  return best;
}

async function versionOf(node: string): Promise<string> {
  return (await run(node, ['-p', 'process.versions.node'])).stdout.trim();
}

async function main(wanted: readonly string[]): Promise<void> {
  const nodes = new Map<string, string>();
  const failed = new Map<string, readonly string[]>();
  for (const version of wanted) {
    try {
      const node = await installNode(version);
      const exact = await versionOf(node);
      nodes.set(exact, node);
      console.log(`Node ${exact}: ${files.length} test files`);
      failed.set(exact, await failuresOn(node));
    } catch (error) {
      console.log(`Node ${version} cannot be had here: ${(error as Error).message}`);
    }
  }
  if (nodes.size === 0) throw new Error('no version of Node could be had: nothing was tested');

  console.log('\nCPU time of a request and its client, in microseconds');
  const costs: Cost[] = [];
  for (const load of loads) costs.push(...(await costsOf(nodes, load)));
  const names = [...new Set(costs.map(({ load }) => load))];
  console.log(['Node', 'tests', ...names].map((cell) => cell.padEnd(14)).join(''));
  for (const version of nodes.keys()) {
    const failures = failed.get(version) as readonly string[];
    const row = costs.filter((cost) => cost.version === version).map(({ microseconds }) => String(microseconds));
    const tests = failures.length === 0 ? 'good' : `${failures.length} failed`;
    console.log([version, tests, ...row].map((cell) => cell.padEnd(14)).join(''));
  }
  const slow = outOfLine(costs);
  for (const { version, load, microseconds } of slow) {
    console.log(`Node ${version} is out of line: ${microseconds} us (${load} clients)`);
  }
  const failures = [...failed.values()].flat().length + slow.length;
  console.log(`${files.length * nodes.size + costs.length - failures} passed, ${failures} failed`);
  if (failures > 0) process.exitCode = 1;
}

try {
  const wanted = process.argv.slice(2);
  await main(wanted.length > 0 ? wanted : testedVersions);
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
