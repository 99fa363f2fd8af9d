/** Worker threads that serve HTTPS are terminated in the middle of handshakes: the process goes on. */

import { join } from 'node:path';
import { test } from 'tap';
import { buildFolder, Program, plainEnvironment } from '../support/programs.ts';

const WORKERS = process.env.WORKERS ?? '4';

// On io_uring a terminated worker leaves its ring, and with it its connections (ARCHITECTURE.md, known limits).
test('on epoll', async (t) => {
  const env = { ...plainEnvironment(), SIMPLENET_BACKEND: 'epoll' };
  const program = new Program(process.execPath, [join(buildFolder, 'test/http/https-workers.js'), WORKERS], { env });
  const { code, signal, stdout, stderr } = await program.ends();
  t.same([code, signal], [0, null], stderr.slice(0, 2_000));
  t.ok(Number(stdout) > 0, 'handshakes were complete');
});
