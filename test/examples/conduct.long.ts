/** How all examples behave: ended by a signal, started wrongly, started where somebody else is. */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { listenTcpAndUdp } from '../../examples/support/tcp-and-udp.ts';
import { createEventLoop, portOf } from '../../simplenet/index.ts';
import { startExample } from '../support/examples.ts';
import type { Program } from '../support/programs.ts';

/** Servers that take a port, and whether they wait in a system call, which a signal can only end with the process. */
const servers: Readonly<Record<string, { readonly waits: boolean }>> = {
  'hello-server': { waits: true },
  'udp-echo-server': { waits: true },
  'blocking-http': { waits: true },
  'daytime-server': { waits: false },
  'dns-server': { waits: false },
  'datagram-filter': { waits: false },
  chat: { waits: false },
  reuseport: { waits: false },
};

const handler = { onData: () => {} };

const oneLine = /^[^\n]+\n$/;

function folderFor(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

test('a port that is none is one line', async (t) => {
  for (const name of [...Object.keys(servers), 'hello-client', 'udp-echo-client']) {
    const { code, stderr } = await startExample(t, name, '65536').ends();
    t.same([code, stderr], [1, "'65536' is not a port: a port is a number from 0 to 65535\n"], name);
  }
});

test('a port that is taken is one line, with what to do about it', async (t) => {
  const loop = createEventLoop();
  t.teardown(() => loop.close());
  const [{ address }] = listenTcpAndUdp(loop, { address: '127.0.0.1', port: 0 }, () => handler, { onMessage() {} });
  const port = portOf(address);
  for (const args of [
    ...Object.keys(servers).map((name) => [name, `${port}`]),
    ['port-forward', `${port}`, '[::1]:1'],
  ]) {
    const { code, stdout, stderr } = await startExample(t, ...args).ends();
    t.same([code, stdout], [1, ''], args[0] as string);
    t.match(stderr, /^bind EADDRINUSE: [^\n]+:\d+ \(another socket has that address; [^\n]+\)\n$/);
  }
});

test('a path that is taken is one line, and what is no socket is left alone', async (t) => {
  const path = join(folderFor(t), 'precious');
  writeFileSync(path, 'precious');
  for (const name of ['unix-http', 'socketd']) {
    const { code, stderr } = await startExample(t, name, path).ends();
    t.match([code, stderr], [1, /^bind EADDRINUSE: [^\n]+\n$/]);
    const nowhere = await startExample(t, name, join(path, 'x')).ends();
    t.equal(nowhere.code, 1);
    t.match(nowhere.stderr, oneLine);
  }
  t.equal(readFileSync(path, 'utf8'), 'precious');
});

/** For the second address of daytime-server, the port that was free at the first may be taken. */
async function started(t: Test, ...args: readonly [string, ...string[]]): Promise<Program> {
  for (let attempt = 1; ; attempt++) {
    const program = startExample(t, ...args);
    try {
      await program.prints(args[0] === 'daytime-server' ? /\n.*\n/ : /\n/);
      return program;
    } catch (error) {
      if (attempt === 5 || !program.stderr.includes('EADDRINUSE')) throw error;
    }
  }
}

test('SIGINT and SIGTERM end every server, and nothing is left', async (t) => {
  const folder = folderFor(t);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const path = join(folder, signal);
    const all: [string, ...string[]][] = [
      ...Object.keys(servers).map((name): [string, string] => [name, '0']),
      ['port-forward', '0', '127.0.0.1:1'],
      ['unix-http', `${path}-http`],
      ['socketd', `${path}-socketd`],
    ];
    for (const args of all) {
      const program = await started(t, ...args);
      program.kill(signal);
      const outcome = await program.ends();
      const expected = servers[args[0]]?.waits === true ? [null, signal, ''] : [0, null, ''];
      t.same([outcome.code, outcome.signal, outcome.stderr], expected, `${args[0]}, ${signal}`);
    }
    t.same(readdirSync(folder), [], 'no file of a socket');
  }
});
