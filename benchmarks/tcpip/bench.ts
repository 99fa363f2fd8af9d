/**
 * Bench: our own TCP/IP beside the kernel's. Prints tables; the section of benchmarks/README.md says what they mean.
 *
 *     npm run bench:tcpip [-- --cycles 6 --seconds 2]
 *
 * It starts itself again in a network namespace, and there two servers: one on a TAP interface, the other in a namespace of its own behind a pair of
 * veth interfaces. Both are alive at once and take turns.
 *
 * Next: ../README.md
 */

import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { root } from '../c-programs.ts';
import { endChildrenAtExit, firstLineOf, outputOf, startChild } from '../children.ts';
import { chooseCores, pinned } from '../cores.ts';
import { cpuBetween, readCpu } from '../cpu-time.ts';
import { describeMachine } from '../machine.ts';
import { spreadOf } from '../statistics.ts';
import { isWrkInstalled, parseWrkOutput } from '../wrk-load.ts';

const START_MS = 15_000;
const CONNECTIONS = 64;
const PORT = 8080;
const BULK_BYTES = 200_000_000;
const IN_NAMESPACE = 'SIMPLENET_TCPIP_BENCH';

const { values } = parseArgs({
  options: {
    cycles: { type: 'string', default: '6' },
    seconds: { type: 'string', default: '2' },
    parts: { type: 'string', default: 'wire,hello,down,up' },
    /** The folder of another build of this tree, whose stack takes part: for the price of a change. */
    against: { type: 'string', default: '' },
    /** Options of Node for the servers: --node=--cpu-prof. */
    node: { type: 'string', default: '' },
  },
});
const cycles = Number(values.cycles);
const seconds = Number(values.seconds);
const ownProgram = join(import.meta.dirname, 'server.js');
const parts = values.parts.split(',');
const cores = chooseCores();

interface Side {
  readonly name: string;
  readonly address: string;
  readonly server: ChildProcess;
}

/** What one turn of a side has cost. */
interface Turn {
  /** Requests, or bytes. */
  readonly count: number;
  readonly seconds: number;
  readonly serverUs: number;
  /** The whole machine was busy for so long. */
  readonly busyUs: number;
}

function run(command: string): void {
  const [program = '', ...args] = command.split(' ');
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command}: ${error?.message ?? stderr.trim()}`);
}

async function startServer(prefix: readonly string[], program: string, args: readonly string[]): Promise<ChildProcess> {
  const nodeOptions = values.node.split(' ').filter(Boolean);
  const server = startChild(pinned([...prefix, process.execPath, ...nodeOptions, program, ...args], cores?.server));
  await firstLineOf(server, START_MS);
  return server;
}

async function startStack(name: string, program: string, tap: string, network: string): Promise<Side> {
  const server = await startServer([], program, [tap, `${network}.2/24`]);
  run(`ip addr add ${network}.1/24 dev ${tap}`);
  run(`ip link set ${tap} up`);
  return { name, address: `${network}.2`, server };
}

async function startKernel(): Promise<Side> {
  run('ip link add veth0 type veth peer name veth1');
  run('ip addr add 10.9.2.1/24 dev veth0');
  run('ip link set veth0 up');
  const server = await startServer(['unshare', '-n'], ownProgram, ['kernel', '0.0.0.0']);
  run(`ip link set veth1 netns ${server.pid}`);
  run(`nsenter -t ${server.pid} -n ip addr add 10.9.2.2/24 dev veth1`);
  run(`nsenter -t ${server.pid} -n ip link set veth1 up`);
  return { name: 'kernel, veth', address: '10.9.2.2', server };
}

/** The time in which the cores were not idle: the client and the kernel's own threads are in it. */
function readBusyUs(): number {
  const [, user, nice, system, , , irq, softirq] = (readFileSync('/proc/stat', 'utf8').split('\n')[0] as string).split(
    / +/,
  );
  return [user, nice, system, irq, softirq].reduce((sum, ticks) => sum + Number(ticks) * 10_000, 0);
}

async function measure(side: Side, work: (side: Side) => Promise<{ count: number; seconds: number }>): Promise<Turn> {
  const pid = side.server.pid as number;
  const before = readCpu(pid);
  const busyBefore = readBusyUs();
  const { count, seconds } = await work(side);
  return { count, seconds, serverUs: cpuBetween(before, readCpu(pid)), busyUs: readBusyUs() - busyBefore };
}

async function hello({ address }: Side): Promise<{ count: number; seconds: number }> {
  const options = ['-t', '1', '-c', String(CONNECTIONS), '-d', `${seconds}s`];
  const script = join(root, 'benchmarks/load/wrk.lua');
  const command = ['wrk', ...options, '-s', script, `http://${address}:${PORT}`, '--', requestFile, '1'];
  const { requests, seconds: measured, errors, refused } = parseWrkOutput(await outputOf(pinned(command, cores?.load)));
  if (errors + refused > 0) throw new Error(`${errors} errors and ${refused} responses that are not 2xx`);
  return { count: requests, seconds: measured };
}

/** `down`: a GET of the bulk; `up`: a PUT of it. */
const bulk =
  (direction: 'down' | 'up') =>
  async ({ address }: Side) => {
    const what = direction === 'down' ? [] : ['-T', bulkFile];
    const format = '%{http_code} %{size_download} %{size_upload} %{time_total}';
    const url = `http://${address}:${PORT}/bulk`;
    const command = ['curl', '-sS', '-o', '/dev/null', '-H', 'Expect:', '-w', format, ...what, url];
    const [code, down, up, time] = (await outputOf(pinned(command, cores?.load))).split(' ').map(Number);
    const count = (direction === 'down' ? down : up) ?? 0;
    if (code !== 200 || count !== BULK_BYTES) throw new Error(`${direction}: status ${code}, ${count} bytes`);
    return { count, seconds: time ?? 0 };
  };

/** Both sides in turns: A B, B A. */
async function inTurns(
  sides: readonly Side[],
  work: (side: Side) => Promise<{ count: number; seconds: number }>,
): Promise<Map<string, Turn[]>> {
  const turns = new Map<string, Turn[]>(sides.map(({ name }) => [name, []]));
  for (const side of sides) await work(side);
  for (let cycle = 0; cycle < cycles; cycle++) {
    for (const side of cycle % 2 === 0 ? sides : sides.toReversed()) {
      turns.get(side.name)?.push(await measure(side, work));
    }
  }
  return turns;
}

function spread(turns: readonly Turn[], figure: (turn: Turn) => number, digits: number): string {
  const { median, q1, q3 } = spreadOf(turns.map(figure));
  return `${median.toFixed(digits)} (${q1.toFixed(digits)} to ${q3.toFixed(digits)})`;
}

function printHello(turns: ReadonlyMap<string, readonly Turn[]>): void {
  console.log(`\n### Hello, ${CONNECTIONS} connections, ${cycles} turns of ${seconds} s\n`);
  console.log('| | server, us per request | whole machine, us per request | requests per second |\n|---|--:|--:|--:|');
  for (const [name, list] of turns) {
    const server = spread(list, ({ serverUs, count }) => serverUs / count, 1);
    const busy = spread(list, ({ busyUs, count }) => busyUs / count, 1);
    console.log(`| ${name} | ${server} | ${busy} | ${spread(list, (turn) => turn.count / turn.seconds, 0)} |`);
  }
}

function printBulk(direction: string, turns: ReadonlyMap<string, readonly Turn[]>): void {
  console.log(`\n### ${BULK_BYTES / 1e6} MB ${direction}, one connection, ${cycles} turns\n`);
  console.log('| | Mbit/s | server, ns per byte | whole machine, ns per byte |\n|---|--:|--:|--:|');
  for (const [name, list] of turns) {
    const rate = spread(list, (turn) => (turn.count * 8) / turn.seconds / 1e6, 0);
    const server = spread(list, ({ serverUs, count }) => (serverUs * 1_000) / count, 2);
    console.log(`| ${name} | ${rate} | ${server} | ${spread(list, (turn) => (turn.busyUs * 1_000) / turn.count, 2)} |`);
  }
}

/** Two of our stacks in one process: one core does the work of both ends. */
async function printWire(): Promise<void> {
  const rates: number[] = [];
  const costs: number[] = [];
  for (let round = 0; round < cycles; round++) {
    const command = pinned([process.execPath, join(import.meta.dirname, 'wire.js')], cores?.server);
    const { bytes, seconds, cpuSeconds } = JSON.parse(await outputOf(command)) as Record<
      'bytes' | 'seconds' | 'cpuSeconds',
      number
    >;
    rates.push((bytes * 8) / seconds / 1e6);
    costs.push((cpuSeconds * 1e9) / bytes);
  }
  const [rate, cost] = [spreadOf(rates), spreadOf(costs)];
  console.log(`\n### Two stacks over a wire in one process, ${cycles} runs of 1 GB\n`);
  console.log('| | Mbit/s | both ends, ns per byte |\n|---|--:|--:|');
  console.log(
    `| one connection | ${rate.median.toFixed(0)} (${rate.q1.toFixed(0)} to ${rate.q3.toFixed(0)}) | ${cost.median.toFixed(2)} (${cost.q1.toFixed(2)} to ${cost.q3.toFixed(2)}) |`,
  );
}

const requestFile = join(tmpdir(), `simplenet-tcpip-${process.pid}.request`);
const bulkFile = join(tmpdir(), `simplenet-tcpip-${process.pid}.bulk`);

async function printOverTap(): Promise<void> {
  writeFileSync(requestFile, `GET /hello HTTP/1.1\r\nHost: bench\r\n\r\n`);
  writeFileSync(bulkFile, '');
  truncateSync(bulkFile, BULK_BYTES);
  const sides = [await startStack('our stack, TAP', ownProgram, 'tap0', '10.9.1'), await startKernel()];
  if (values.against !== '') {
    const program = join(resolve(values.against), 'benchmarks/tcpip/server.js');
    sides.push(await startStack('the other build, TAP', program, 'tap1', '10.9.3'));
  }
  await sleep(500); // Linux sends its own first packets on new interfaces
  const withHello = parts.includes('hello');
  if (withHello && isWrkInstalled()) printHello(await inTurns(sides, hello));
  else if (withHello) console.log('hello: left out, wrk is not installed');
  for (const direction of ['down', 'up'] as const) {
    if (parts.includes(direction)) printBulk(direction, await inTurns(sides, bulk(direction)));
  }
  for (const { server } of sides) {
    server.stdin?.end(); // it exits by itself, and --cpu-prof writes its profile then
    await once(server, 'close');
  }
}

/** Why there can be no TAP interface here, or null. */
function whyNoTap(): string | null {
  const attempt = spawnSync('ip', ['tuntap', 'add', 'tap9', 'mode', 'tap'], { encoding: 'utf8' });
  if (attempt.error !== undefined) return attempt.error.message;
  if (attempt.status !== 0) return attempt.stderr.trim();
  run('ip link delete tap9');
  return null;
}

if (process.env[IN_NAMESPACE] === undefined) {
  const { cpu, kernel, node, loadAverage, pinning } = describeMachine(cores);
  console.log(`${cpu}, ${kernel}, Node ${node}, load average ${loadAverage}, ${pinning}`);
  if (parts.includes('wire')) await printWire();
  const option = process.getuid?.() === 0 ? '-n' : '-Urn';
  const { status, error } = spawnSync('unshare', [option, process.execPath, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: { ...process.env, [IN_NAMESPACE]: '1' },
  });
  if (error !== undefined) console.log(`over TAP: left out, unshare does not run: ${error.message}`);
  process.exitCode = status ?? 1;
} else {
  endChildrenAtExit(() => {
    rmSync(requestFile, { force: true });
    rmSync(bulkFile, { force: true });
  });
  const reason = whyNoTap();
  if (reason === null) await printOverTap();
  else console.log(`over TAP: left out: ${reason}`);
}
