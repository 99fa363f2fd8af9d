/** reuseport: who gets which connection, as real clients find out. */

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { test } from 'tap';
import { expectedOutput, shapeOf } from '../docs/pages.ts';
import { startExample } from '../support/examples.ts';
import { hasProgram, Program } from '../support/programs.ts';

/** One connection: who answered, and from which port it was asked. */
async function ask(port: number): Promise<{ answer: string; from: number }> {
  const socket = connect({ port, host: '127.0.0.1' });
  await once(socket, 'connect');
  const from = socket.localPort as number;
  let text = '';
  socket.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await once(socket, 'close');
  return { answer: /\r\n\r\n(.*)\n$/.exec(text)?.[1] ?? text, from };
}

const STARTED = /process (\d+): (\d+) workers on http:\/\/127\.0\.0\.1:(\d+), dealt to by (\w+)\n/;

test('two processes and their threads share one port', async (t) => {
  const first = startExample(t, 'reuseport', '0', '3');
  const [line, , , port] = await first.prints(STARTED);
  const page = (command: string) => shapeOf(expectedOutput('docs/examples.md', command));
  t.equal(shapeOf(line.trimEnd()), page('npm run example -- reuseport 8080 4'));
  const second = startExample(t, 'reuseport', port as string, '2');
  await second.prints(STARTED);
  const counts = new Map<string, number>();
  const CONNECTIONS = 400;
  for (let i = 0; i < CONNECTIONS; i++) {
    const { answer } = await ask(Number(port));
    counts.set(answer, (counts.get(answer) ?? 0) + 1);
  }
  const programs: readonly [Program, number][] = [
    [first, 3],
    [second, 2],
  ];
  // Each of the five expects 80, with a standard deviation of 8.
  const names = programs.flatMap(([{ child }, workers]) =>
    Array.from({ length: workers }, (_, i) => `worker ${i} of process ${child.pid}`),
  );
  t.same([...counts.keys()].sort(), names.sort());
  const [dealt] = page("curl -s 'http://127.0.0.1:8080/[1-1000]' | sort | uniq -c").trim().split('\n');
  t.equal(shapeOf(`400 ${names[0]}`), dealt);
  for (const [name, count] of counts) t.ok(count > 25 && count < 160, `${name}: ${count} of ${CONNECTIONS}`);

  for (const [program, workers] of programs) {
    program.kill('SIGINT');
    const { code, stdout, stderr } = await program.ends();
    t.same([code, stderr], [0, '']);
    const told = [...stdout.matchAll(/^worker (\d): (\d+) connections$/gm)].map(([, i, count]) => [
      `worker ${i} of process ${program.child.pid}`,
      Number(count),
    ]);
    t.same(
      told,
      names.filter((name) => name.endsWith(` ${program.child.pid}`)).map((name) => [name, counts.get(name)]),
    );
    t.equal(told.length, workers);
  }
});

test('a BPF program deals by the port of the client', async (t) => {
  const example = startExample(t, 'reuseport', '0', '3', 'port');
  const [, pid, , port] = await example.prints(STARTED);
  for (let i = 0; i < 30; i++) {
    const { answer, from } = await ask(Number(port));
    t.equal(answer, `worker ${from % 3} of process ${pid}`);
  }
  example.kill('SIGINT');
  t.equal((await example.ends()).code, 0);
});

/** The processors that this process may use: proc_pid_status(5). */
function allowedCpus(): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number) as [number, number?];
    return Array.from({ length: (last as number) - first + 1 }, (_, i) => first + i);
  });
}

test('a BPF program deals by the processor on which a connection arrives', async (t) => {
  if (!hasProgram('taskset') || !hasProgram('curl')) return void t.pass('skipped: taskset or curl is not installed');
  const example = startExample(t, 'reuseport', '0', '4', 'cpu');
  const [, pid, , port] = await example.prints(STARTED);
  for (const cpu of allowedCpus().slice(0, 4)) {
    // On the loopback a packet arrives where it was sent, unless the kernel moves that work elsewhere (RPS).
    const curl = ['curl', '-sS', '--max-time', '20', `http://127.0.0.1:${port}/`];
    for (let i = 0; i < 3; i++) {
      const { stdout, stderr } = await new Program('taskset', ['-c', String(cpu), ...curl]).ends();
      t.equal(stdout, `worker ${cpu % 4} of process ${pid}\n`, stderr);
    }
  }
  example.kill('SIGINT');
  t.equal((await example.ends()).code, 0);
});
