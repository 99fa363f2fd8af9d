/** blocking-http: its answers, its queue of one, and Ctrl-C while it waits in a system call. */

import { setTimeout as sleep } from 'node:timers/promises';
import { type Test, test } from 'tap';
import { commandOf, runExample, waitsIn } from '../support/examples.ts';
import { hasProgram, Program } from '../support/programs.ts';
import { RawClient } from '../support/raw-client.ts';

const REQUEST = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const HELLO = 'Hello from a blocking server.\n';

async function started(t: Test): Promise<{ server: Program; port: number; pid: number }> {
  const server = runExample('blocking-http', '0');
  t.teardown(() => server.kill());
  const [, port] = await server.prints(/waiting on http:\/\/127\.0\.0\.1:(\d+)\/\n/);
  return { server, port: Number(port), pid: server.child.pid as number };
}

function connected(t: Test, port: number): RawClient {
  const client = new RawClient(port);
  t.teardown(() => client.destroy());
  return client;
}

test('curl gets an answer, whatever it asks', async (t) => {
  if (!hasProgram('curl')) return void t.pass('skipped: curl is not installed');
  const { server, port } = await started(t);
  const curl = async (...args: string[]) => {
    const all = ['-sS', '-m', '10', '-w', '%{http_code}', ...args];
    const { code, stdout, stderr } = await new Program('curl', all).ends();
    t.equal(code, 0, stderr);
    return stdout;
  };
  const url = `http://127.0.0.1:${port}/`;
  t.equal(await curl(url), `${HELLO}200`);
  t.equal(await curl(`${url}elsewhere`), 'There is only / here.\n404');
  t.equal(await curl('-d', 'body', url), 'Only GET is known here.\n501');
  t.equal(await curl(url), `${HELLO}200`);
  await server.prints(/"GET \/elsewhere HTTP\/1\.1"\n"POST \/ HTTP\/1\.1"\n/);
});

test('what is no HTTP is told so, and a head without end is cut off', async (t) => {
  const { port } = await started(t);
  const noise = connected(t, port).write('noise\r\n\r\n');
  await noise.ended();
  t.match(noise.text, /^HTTP\/1\.1 400 Bad Request\r\n/);
  const endless = connected(t, port).write('x'.repeat(8192));
  await endless.ended();
  t.match(endless.text, /^HTTP\/1\.1 400 /);
});

test('one client at a time: the second waits for the first', async (t) => {
  const { port, pid } = await started(t);
  const first = connected(t, port).write('GET / HT');
  await first.connected();
  const second = connected(t, port).write(REQUEST);
  await second.connected();
  if (!(await waitsIn(pid, 'recvfrom'))) await sleep(200);
  t.equal(second.receivedBytes, 0, 'nobody looks at the second');
  first.write('TP/1.1\r\n\r\n');
  await Promise.all([first.ended(), second.ended()]);
  t.ok(first.text.endsWith(HELLO));
  t.ok(second.text.endsWith(HELLO));
});

test('a client that leaves, with or without a reset, takes nobody along', async (t) => {
  const { port, pid, server } = await started(t);
  const leaving = connected(t, port).write('GET');
  await leaving.connected();
  leaving.socket.end();
  await leaving.ended();
  const breaking = connected(t, port).write('GET');
  await breaking.connected();
  if (!(await waitsIn(pid, 'recvfrom'))) await sleep(200);
  breaking.reset();
  await server.prints(/recv ECONNRESET/);
  const next = connected(t, port).write(REQUEST);
  await next.ended();
  t.ok(next.text.endsWith(HELLO));
});

test('SIGINT ends it while it waits in accept, and while it waits in recv', async (t) => {
  for (const call of ['accept4', 'recvfrom'] as const) {
    const { server, port, pid } = await started(t);
    const client = connected(t, port);
    if (call === 'recvfrom') client.write('GET');
    else client.write(REQUEST);
    await (call === 'recvfrom' ? client.connected() : client.ended());
    if (!(await waitsIn(pid, call))) t.comment('the kernel does not tell in which call it waits');
    server.kill('SIGINT');
    const { code, signal, stderr } = await server.ends();
    t.same([code, signal, stderr], [null, 'SIGINT', ''], `waiting in ${call}`);
    await client.ended(); // the kernel has closed its sockets
  }
});

test('Ctrl-C of a terminal: the shell sees status 130', async (t) => {
  // The trap lets the shell live to tell; the program gets the signal's default action back, as every child of a shell.
  const script = 'trap : INT; "$0" "$@"; echo "status $?"';
  const shell = new Program('sh', ['-c', script, ...commandOf('blocking-http', '0')], {
    detached: true, // a process group of its own, which is what a terminal sends SIGINT to
  });
  const group = -(shell.child.pid as number);
  t.teardown(() => {
    if (shell.child.exitCode === null) process.kill(group, 'SIGKILL');
  });
  await shell.prints(/waiting on/);
  process.kill(group, 'SIGINT');
  const { code, stdout } = await shell.ends();
  t.equal(code, 0);
  t.match(stdout, /\nstatus 130\n$/);
});
