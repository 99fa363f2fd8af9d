/**
 * Restarts under load: wrk, clients that keep their connections, and new connections, while one process takes over from another, again and again.
 *
 *     RESTARTS=100 node build/test/command/restarts.js
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildFolder, hasProgram, Program, plainEnvironment } from '../support/programs.ts';

export interface RestartReport {
  restarts: number;
  requests: number;
  /** A kept connection ended before the first byte of a response, and the client asked again, as RFC 9112 section 9.3.1 has it. */
  retried: number;
  failures: string[];
  /** What wrk says about errors; null without wrk. */
  wrk: string | null;
}

const command = join(buildFolder, 'command/main.js');

/** A second process takes over, or SIGHUP replaces the workers. */
export type Way = 'take-over' | 'workers';

export async function restartUnderLoad(restarts: number, way: Way): Promise<RestartReport> {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-restarts-'));
  const module = join(folder, 'site.mjs');
  writeFileSync(module, 'export default (_request, response) => response.text("hello from " + process.pid);');
  const path = join(folder, 'way.sock');
  const report: RestartReport = { restarts: 0, requests: 0, retried: 0, failures: [], wrk: null };
  const args = ['--log', 'none', ...(way === 'workers' ? ['--workers', '2'] : ['--take-over', path])];
  const start = (port: string) =>
    new Program(process.execPath, [command, module, '--port', port, ...args], { env: plainEnvironment() });
  let current = start('0');
  try {
    const [, port = ''] = await current.prints(/:(\d+)\n/);
    let isOver = false;
    const lane = async (agent: Agent | false) => {
      while (!isOver) {
        const result = await ask(Number(port), agent);
        report.requests++;
        if (result === 'retry') report.retried++;
        else if (result !== null) report.failures.push(result);
      }
    };
    const agents = Array.from({ length: 4 }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
    const lanes = [...agents.map((agent) => lane(agent)), lane(false), lane(false)];
    const load = hasProgram('wrk') ? new Program('wrk', ['-t1', '-c16', '-d3600', `http://127.0.0.1:${port}/`]) : null;
    await sleep(300);
    for (; report.restarts < restarts; report.restarts++) {
      if (way === 'take-over') {
        const next = start(port);
        await next.prints(/:\d+\n/);
        const { code, stderr } = await current.ends();
        if (code !== 0) report.failures.push(`a predecessor ended with code ${code}: ${stderr}`);
        current = next;
      } else {
        current.kill('SIGHUP');
        const done = report.restarts + 1;
        while ((current.stderr.match(/All workers are replaced/g) ?? []).length < done) await sleep(5);
      }
    }
    isOver = true;
    load?.kill('SIGINT');
    await Promise.all(lanes);
    for (const agent of agents) agent.destroy();
    if (load !== null) report.wrk = (await load.ends()).stdout;
    const errors = /Socket errors: .*|Non-2xx.*/.exec(report.wrk ?? '');
    if (errors !== null) report.failures.push(`wrk: ${errors[0]}`);
    return report;
  } finally {
    current.kill('SIGTERM');
    await current.ends();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Null if the response is whole; `retry`; or what went wrong. */
function ask(port: number, agent: Agent | false): Promise<string | null> {
  return new Promise((resolve) => {
    const request = get({ host: '127.0.0.1', port, agent }, (response) => {
      let text = '';
      response.setEncoding('latin1').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve(text.startsWith('hello from ') ? null : `a wrong response: ${text}`));
      response.on('error', (error) => resolve(`in a response: ${error.message}`));
    });
    request.on('error', (error) =>
      resolve(request.reusedSocket ? 'retry' : `${(error as NodeJS.ErrnoException).code}`),
    );
  });
}

if (process.argv[1] === import.meta.filename) {
  const { RESTARTS = '10', WAY = 'take-over' } = process.env;
  const report = await restartUnderLoad(Number(RESTARTS), WAY as Way);
  console.log(report);
  process.exitCode = report.failures.length === 0 ? 0 : 1;
}
