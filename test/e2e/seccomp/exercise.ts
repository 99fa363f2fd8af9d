/** What a client can ask of site.ts: everything once. `prefix` is a command that starts the server in its own way: under strace, or under a filter. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { missingBackend } from '../../support/backends.ts';
import { certificateFor } from '../../support/certificates.ts';
import { buildFolder, Program, plainEnvironment } from '../../support/programs.ts';
import { RawClient } from '../../support/raw-client.ts';

const site = join(buildFolder, 'test/e2e/seccomp/site.js');

async function askAll(url: string, metricsUrl: string): Promise<void> {
  const ask = async (path: string, init: RequestInit = {}, from = url) => {
    const response = await fetch(`${from}${path}`, init);
    const text = await response.text();
    assert.ok(response.ok, `${path}: ${response.status} ${text}`);
    return text;
  };
  assert.equal((await ask('/files/page.txt')).length, 7_000);
  assert.equal((await ask('/files/page.txt', { headers: { Range: 'bytes=0-9' } })).length, 10);
  assert.equal((await ask('/files/large.bin')).length, 5_000_000);
  await ask('/files/');
  await ask('/list', { headers: { 'Accept-Encoding': 'gzip' } });
  assert.equal((await ask('/upload', { method: 'PUT', body: 'x'.repeat(1_000_000) })).length, 64);
  assert.match(await ask('/events'), /an event/);
  assert.match(await ask('/work'), /"answer":"done"/);
  assert.match(await ask('/metrics', {}, metricsUrl), /http_requests_total/);
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n';
  const socket = new RawClient(Number(new URL(url).port)).write(
    `GET /chat HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n${key}\r\n`,
  );
  await socket.until(() => socket.answers === 1, '101');
  socket.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
  await socket.until(() => socket.text.endsWith('hi'), 'the message');
  socket.destroy();
}

function askTls(url: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request(`${url}/files/page.txt`, { rejectUnauthorized: false, agent: false }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode));
    })
      .once('error', reject)
      .end();
  });
}

/** The command, with two workers, and then with a successor that takes its socket over. */
async function exerciseCommand(prefix: readonly string[], node: string, folder: string): Promise<void> {
  const module = join(folder, 'site.mjs');
  writeFileSync(module, "export default (_request, response) => response.text('hello');");
  const start = (...args: string[]) => {
    const [command = node, ...all] = [...prefix, node, join(buildFolder, 'command/main.js'), module, ...args];
    return new Program(command, [...all, '--log', 'none'], { env: plainEnvironment() });
  };
  const asks = async (program: Program) => {
    const [, url = ''] = await program.prints(/^(http\S+)\n/);
    assert.equal(await (await fetch(url, { headers: { Connection: 'close' } })).text(), 'hello');
    return new URL(url).port;
  };
  const ends = async (program: Program) => {
    const { code, stderr } = await program.ends();
    assert.equal(code, 0, stderr);
  };
  const workers = start('--port', '0', '--workers', '2');
  await asks(workers);
  workers.kill('SIGTERM');
  await ends(workers);
  const way = join(folder, 'way.sock');
  const first = start('--port', '0', '--take-over', way);
  const port = await asks(first);
  const second = start('--port', port, '--take-over', way);
  await asks(second);
  await ends(first);
  second.kill('SIGTERM');
  await ends(second);
}

/** Throws if anything goes wrong. */
export async function exercise(prefix: readonly string[], node = process.execPath): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-exercise-'));
  const pem = join(folder, 'tls.pem');
  const { cert, key } = certificateFor('localhost', '127.0.0.1');
  writeFileSync(pem, `${cert}${key}`);
  const variants = (['epoll', 'io_uring'] as const)
    .filter((backend) => missingBackend[backend] === false)
    .flatMap((backend) => [{ backend }, { backend, pem }]);
  try {
    for (const variant of variants) {
      const [command = node, ...args] = [...prefix, node, site, JSON.stringify({ port: 0, ...variant })];
      const server = new Program(command, args);
      try {
        const [, url = '', metricsUrl = ''] = await server.prints(/^(\S+) (\S+)\n/);
        if ('pem' in variant) assert.equal(await askTls(url), 200);
        else await askAll(url, metricsUrl);
      } catch (error) {
        throw new Error(`${JSON.stringify(variant)}: ${server.stderr}`, { cause: error });
      } finally {
        server.kill('SIGTERM');
      }
      const { code, signal, stderr } = await server.ends();
      assert.deepEqual([code, signal], [0, null], stderr);
    }
    await exerciseCommand(prefix, node, folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
