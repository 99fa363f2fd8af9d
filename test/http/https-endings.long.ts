/**
 * Connections of HTTPS that end in every state, with FIN, RST, close_notify and SIGKILL: OpenSSL frees what it has made. More of them:
 *
 *     CONNECTIONS=100000 npx tap build/test/http/https-endings.long.js
 */

import { join } from 'node:path';
import { test } from 'tap';
import { buildFolder, Program, plainEnvironment } from '../support/programs.ts';

const CONNECTIONS = Number(process.env.CONNECTIONS ?? 2_000);
/** V8's heap finds its size, and a hundred connections are open at any moment. */
const NOISE_MEGABYTES = 40;

test(`${CONNECTIONS} connections end in every state`, { timeout: 3_600_000 }, async (t) => {
  const file = join(buildFolder, 'test/http/https-endings.js');
  const program = new Program(process.execPath, [file, String(CONNECTIONS)], { env: plainEnvironment() });
  const { code, signal, stdout, stderr } = await program.ends();
  t.same([code, signal], [0, null], stderr.slice(0, 2_000));
  const { connections, created, freed, memory, done } = JSON.parse(stdout);
  t.comment(stdout);
  t.equal(connections, CONNECTIONS);
  t.ok(created > CONNECTIONS / 2, `${created} SSL objects were made`);
  t.equal(freed, created);
  t.equal(Object.keys(done).length, 20, 'each way to end');
  t.ok(memory.late - memory.early < NOISE_MEGABYTES, `${memory.early} MB, and ${memory.late} MB at the end`);
});
