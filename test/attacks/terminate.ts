/**
 * Attack: worker threads that serve HTTP under load end in every way that Node has, most of them without a chance to clean up.
 */

import { join } from 'node:path';
import type { EndedWorkers, Way } from '../support/ending-workers.ts';
import { buildFolder, Program, plainEnvironment } from '../support/programs.ts';
import type { Attack, AttackOptions, Finding } from './attack.ts';

const counts: Readonly<Record<AttackOptions['size'], Readonly<Record<Way, number>>>> = {
  short: { terminate: 4, 'terminate-idle': 1, exit: 1, 'run-out': 1, 'stop-then-terminate': 1 },
  full: { terminate: 1000, 'terminate-idle': 100, exit: 100, 'run-out': 100, 'stop-then-terminate': 100 },
};

function findingsOf({ way, ended, requests, descriptors, waiting }: EndedWorkers): readonly Finding[] {
  const name = `${ended} workers, ${way}`;
  return [
    { what: `${name}: requests that were answered until then`, value: requests, atMost: Infinity },
    { what: `${name}: descriptors left open`, value: descriptors, atMost: 0 },
    { what: `${name}: clients not told of the end`, value: waiting, atMost: 0 },
  ];
}

export const attack: Attack = {
  title: 'Worker threads are terminated while their loops are busy',
  async run({ backend, size }) {
    const ways = Object.entries(counts[size]).map(([way, count]) => [way, String(count)]);
    const args = [join(buildFolder, 'test/support/ending-workers.js'), ...ways.flat()];
    const program = new Program(process.execPath, args, { env: { ...plainEnvironment(), SIMPLENET_BACKEND: backend } });
    const { code, signal, stdout, stderr } = await program.ends();
    const lines = stdout.split('\n').filter((line) => line !== '');
    if (code !== 0) console.error(`the process has ended with ${signal ?? code}: ${stderr.slice(0, 2_000)}`);
    return [
      { what: 'aborts of the process', value: code === 0 && lines.length === ways.length ? 0 : 1, atMost: 0 },
      ...lines.flatMap((line) => findingsOf(JSON.parse(line) as EndedWorkers)),
    ];
  },
};
