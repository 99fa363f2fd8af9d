/** The figures of the README, of the method and of the page on the two loops are those of the recorded runs. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import type { Results, Summary } from '../../benchmarks/results.ts';
import { root, textOf } from './pages.ts';

function peerOf(results: Results, workload: string, peer: string) {
  const found = results.workloads.find((each) => each.workload === workload)?.peers.find((each) => each.peer === peer);
  if (found === undefined) throw new Error(`no ${peer} in ${workload}`);
  return found.summary;
}

function ratioOf({ ratios }: Summary): number {
  return ratios.node?.median ?? 0;
}

/** As exact as the text is: `7.1` may be 7.05 to 7.15, `1,372` from 1371.5. */
function isRounded(text: string, value: number): boolean {
  const number = text.replaceAll('*', '').replaceAll(',', '').split(' ')[0] as string;
  const digits = number.split('.')[1]?.length ?? 0;
  return Math.abs(Number(number) - value) <= 0.5001 * 10 ** -digits;
}

function rowsOf(page: string, heading: string): string[][] {
  const section = textOf(page).split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  return [...section.matchAll(/^\| (.*) \|$/gm)].map((match) =>
    (match[1] as string).split('|').map((cell) => cell.trim()),
  );
}

const latest = JSON.parse(readFileSync(join(root, 'benchmarks/results/latest.json'), 'utf8')) as Results;

test('the table of the README', async (t) => {
  const workloads: Readonly<Record<string, string>> = {
    'GET, 14 bytes, 64 connections': 'hello',
    'the same, pipelined by 16': 'pipelined',
    'a new connection for each GET': 'connection',
    'a response of 1 MB': 'large',
    'resident memory of an idle connection': 'idle',
  };
  const rows = rowsOf('README.md', 'Measured').filter(([name = '']) => name in workloads);
  t.equal(rows.length, Object.keys(workloads).length);
  for (const [name = '', ours = '', node = '', ratio = '', c = ''] of rows) {
    const workload = workloads[name] as string;
    const unit = workload === 'idle' ? 1_000 : 1;
    const peers: [string, string][] = [
      ['simplenet', ours],
      ['node', node],
      ['c', c],
    ];
    for (const [peer, cell] of peers) {
      if (cell === '') continue;
      const { figure } = peerOf(latest, workload, peer);
      t.ok(isRounded(cell, (figure?.median ?? 0) / unit), `${name}, ${peer}: ${cell}`);
    }
    t.ok(isRounded(ratio, ratioOf(peerOf(latest, workload, 'simplenet'))), `${name}: ${ratio}`);
  }
});

test('the table of the two loops', async (t) => {
  const workloads: Readonly<Record<string, string>> = {
    'hello, 64 connections': 'hello',
    'pipelined by 16': 'pipelined',
    'hello, 512 connections': 'hello-512',
    'hello, one connection': 'hello-1',
    'a new connection for each GET': 'connection',
    'POST of 64 KB, echoed': 'post',
    'a response of 1 MB': 'large',
    'a response of 16 chunks': 'stream',
    'resident memory of an idle connection, bytes': 'idle',
  };
  const rows = rowsOf('docs/epoll-and-io_uring.md', 'Figures').filter(
    (row) => row.length === 5 && (row[0] ?? '') in workloads,
  );
  t.equal(rows.length, Object.keys(workloads).length);
  for (const [name = '', ...cells] of rows) {
    for (const [i, peer] of ['simplenet', 'simplenet-uring', 'c', 'c-uring'].entries()) {
      if (cells[i] === '') continue; // C serves no chunks
      const median = peerOf(latest, workloads[name] as string, peer).figure?.median ?? 0;
      t.ok(isRounded(cells[i] as string, median), `${name}, ${peer}: ${cells[i]} is ${median}`);
    }
  }
});
