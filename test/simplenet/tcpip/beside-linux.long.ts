/**
 * Our TCP beside Linux's, in real time: 10 MB over the same wires, which lose 2 % of the frames in each direction and take 50 ms there and back.
 *
 * The sender decides how fast a transfer is, by what it takes for lost, what it sends again, and how its congestion window grows. So the
 * senders are compared, and Linux receives from both. Linux has the same congestion control as our stack: CUBIC, or Reno if
 * this kernel has no CUBIC. beside-linux-relay.ts makes the wires.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { inNamespace, noTapNamespace } from '../../support/network-namespace.ts';
import { missing, Program } from '../../support/programs.ts';

const WANTED = 0.8;
const TIME_LIMIT_MS = 240_000;

interface Outcome {
  readonly who: 'stack' | 'linux';
  readonly seed: number;
  readonly ms: number;
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number;

test('10 MB at 2 % loss and 50 ms', {
  skip: noTapNamespace() || missing('nsenter'),
  timeout: TIME_LIMIT_MS,
}, async (t) => {
  const available = readFileSync('/proc/sys/net/ipv4/tcp_available_congestion_control', 'utf8');
  const congestion = available.split(/\s+/).includes('cubic') ? 'cubic' : 'reno';
  const [command, option] = inNamespace;
  const relay = join(import.meta.dirname, 'beside-linux-relay.js');
  const child = new Program(command, [option, process.execPath, relay, congestion]);
  t.teardown(() => child.kill('SIGTERM'));
  const { code, stdout, stderr } = await child.ends();
  t.equal(code, 0, stderr);
  const outcomes = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Outcome);
  const medianOf = (who: Outcome['who']) => median(outcomes.filter((each) => each.who === who).map(({ ms }) => ms));
  const share = medianOf('linux') / medianOf('stack');
  t.comment(`${congestion}: ${share.toFixed(2)} of the throughput of Linux; ${stdout}`);
  t.equal(outcomes.length, 10, 'transfers');
  t.ok(share >= WANTED, `at least ${WANTED} of what Linux reaches, not ${share.toFixed(2)}`);
});
