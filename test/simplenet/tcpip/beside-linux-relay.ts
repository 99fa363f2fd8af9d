/**
 * The relay of beside-linux.long.ts: in a network namespace, it makes the wires between senders and receivers, and starts them.
 *
 *     our stack ---------------- wire with loss and delay --- TAP ) Linux, which receives
 *     Linux, which sends ( TAP - wire with loss and delay --- TAP ) Linux, which receives
 *
 * All transfers run at the same time: each is slow because of its losses, and takes little of the CPU. Prints a line of JSON for each.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { createStack, createWire, openTap } from '../../../simplenet/index.ts';
import { nodeHost } from '../../../simplenet/loop/node-host.ts';
import { sendTransfer } from './beside-linux-transfer.ts';
import { joinLinks } from './join-links.ts';

const seedCount = 5;
const congestion = process.argv[2] === 'cubic' ? 'cubic' : 'new-reno';
const nameOnLinux = congestion === 'cubic' ? 'cubic' : 'reno';
/** In each direction. */
const fault = { lose: 0.02, delayMs: 25 };

interface Transfer {
  readonly who: 'stack' | 'linux';
  readonly seed: number;
  /** The part of the addresses that both ends share. */
  readonly network: string;
  readonly name: string;
}

const transfers: Transfer[] = [];
for (let seed = 1; seed <= seedCount; seed++) {
  transfers.push({ who: 'stack', seed, network: `10.1.${seed}`, name: `our${seed}` });
  transfers.push({ who: 'linux', seed, network: `10.2.${seed}`, name: `lin${seed}` });
}
const sender = (transfer: Transfer) => `${transfer.network}.1`;
const receiver = (transfer: Transfer) => `${transfer.network}.2`;

function run(command: string): void {
  const [program = '', ...args] = command.split(' ');
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command}: ${stderr}`);
}

function startPeer(role: string, addresses: readonly string[]): ChildProcess {
  const program = join(import.meta.dirname, 'beside-linux-peer.js');
  return spawn('unshare', ['-n', process.execPath, program, role, addresses.join(',')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
}

function linesOf(child: ChildProcess): Interface {
  return createInterface({ input: child.stdout as NodeJS.ReadableStream });
}

/** Moves the interface to where the process is, and gives it its address there. */
function bring(name: string, address: string, { pid }: ChildProcess): void {
  run(`ip link set ${name} netns ${pid}`);
  const there = `nsenter -t ${pid} -n`;
  run(`${there} ip addr add ${address}/24 dev ${name}`);
  run(`${there} ip link set ${name} up`);
}

const overLinux = transfers.filter(({ who }) => who === 'linux');
const receivers = startPeer('receive', transfers.map(receiver));
const senders = startPeer('send', overLinux.map(receiver));
process.once('exit', () => {
  receivers.kill('SIGKILL');
  senders.kill('SIGKILL');
});
const [linesOfReceivers, linesOfSenders] = [linesOf(receivers), linesOf(senders)];
// The namespace of a child is there as soon as the child itself runs.
await Promise.all([once(linesOfReceivers, 'line'), once(linesOfSenders, 'line')]);

const stacks = transfers.map((transfer) => {
  const [near, far] = createWire({ seed: transfer.seed, ...fault });
  const tap = openTap(`${transfer.name}r`);
  bring(`${transfer.name}r`, receiver(transfer), receivers);
  joinLinks(far, tap, nodeHost);
  if (transfer.who === 'stack') {
    return createStack({ link: near, address: `${sender(transfer)}/24`, congestion, seed: transfer.seed });
  }
  const tapOfSender = openTap(`${transfer.name}s`);
  bring(`${transfer.name}s`, sender(transfer), senders);
  // By the route: the sysctl of a namespace takes only what the machine allows to every user.
  const route = `${transfer.network}.0/24 dev ${transfer.name}s src ${sender(transfer)} congctl ${nameOnLinux}`;
  run(`nsenter -t ${senders.pid} -n ip route replace ${route}`);
  joinLinks(tapOfSender, near, nodeHost);
  return null;
});

receivers.stdin?.write('go\n');
await once(linesOfReceivers, 'line');
let arrived = 0;
linesOfReceivers.on('line', (line) => {
  const { address, ms } = JSON.parse(line) as { address: string; ms: number };
  const { who, seed } = transfers.find((transfer) => receiver(transfer) === address) as Transfer;
  console.log(JSON.stringify({ who, seed, ms: Math.round(ms) }));
  arrived++;
  if (arrived === transfers.length) process.exit();
});
senders.stdin?.write('go\n');
for (const [index, stack] of stacks.entries()) {
  if (stack !== null) sendTransfer(stack, receiver(transfers[index] as Transfer));
}
