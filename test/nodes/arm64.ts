/**
 * `npm run test:arm64`: the server on arm64, where none is at hand: Node for arm64 runs under qemu, which carries its system calls out
 * on this machine.
 *
 * What can be wrong there and right on x64 are numbers: constants, the layout of structs, the numbers of system calls. So every route of
 * server.ts is asked from outside, transcripts are played within, TLS is tested with its machine code, and io_uring, which qemu does not know, must be refused in a
 * clear sentence. Where qemu, the C library or a package cannot be had, a line says so, and nothing fails.
 *
 * The arm64 half of koffi is installed into a folder apart: the project's own node_modules stay those of this machine.
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { buildFolder, hasProgram, Program } from '../support/programs.ts';
import { installNode, testedVersions } from './node-versions.ts';

const ARCH = 'arm64';
/** Where Debian's libc6-arm64-cross and libstdc++6-arm64-cross lie. */
const LIBRARIES = '/usr/aarch64-linux-gnu';
const EMULATORS = ['qemu-aarch64-static', 'qemu-aarch64'];

/** Conversations of these files, some 100; under qemu all of them would take minutes. */
const TRANSCRIPTS = ['chunks.txt', 'lingering-close.txt'];
/** ALPN and the key log are a few instructions of machine code (simplenet/layers/machine-code.ts), which must be right for arm64, too. */
const TLS_TESTS = ['machine-code', 'tls-context'];
const TIME_LIMIT_S = 600;
const INSTALL_LIMIT_MS = 180_000;

const project = join(buildFolder, '..');

/** Something that this machine does not have: a reason to skip. */
class CannotBeHad extends Error {}

/** A folder with this build, koffi for arm64, and the project's other packages. */
async function installation(folder: string): Promise<void> {
  const { version } = JSON.parse(readFileSync(join(project, 'node_modules/koffi/package.json'), 'utf8')) as {
    version: string;
  };
  const how = [
    '--no-save',
    '--no-audit',
    '--no-fund',
    '--no-package-lock',
    '--ignore-scripts',
    '--force',
    '--loglevel=error',
  ];
  const koffi = [`koffi@${version}`, `@koromix/koffi-linux-${ARCH}@${version}`];
  await promisify(execFile)('npm', ['install', '--prefix', folder, ...how, `--cpu=${ARCH}`, '--os=linux', ...koffi], {
    timeout: INSTALL_LIMIT_MS,
  }).catch((error: Error) => {
    throw new CannotBeHad(`koffi for ${ARCH} cannot be had: ${error.message.split('\n')[0]}`);
  });
  cpSync(buildFolder, join(folder, 'build'), { recursive: true });
  cpSync(join(project, 'package.json'), join(folder, 'package.json'));
  cpSync(join(project, 'test'), join(folder, 'test'), { recursive: true });
  for (const name of readdirSync(join(project, 'node_modules'))) {
    const place = join(folder, 'node_modules', name);
    if (!existsSync(place)) symlinkSync(join(project, 'node_modules', name), place);
  }
}

async function askEveryRoute(url: string): Promise<void> {
  const text = async (path: string, init: RequestInit = {}) => (await fetch(new URL(path, url), init)).text();
  const json = async (path: string, init: RequestInit = {}) => JSON.parse(await text(path, init)) as unknown;
  assert.equal(await text('/'), 'Hello from raw system calls.\n');
  assert.equal(await text('/hello/arm64'), 'Hello, arm64!\n');
  assert.deepEqual(await json('/json', { method: 'POST', body: '{"a":[1,2]}' }), { received: { a: [1, 2] } });
  const body = Buffer.alloc(1_000_000, 'arm64');
  const sha256 = createHash('sha256').update(body).digest('hex');
  assert.deepEqual(await json('/upload', { method: 'PUT', body }), { bytes: body.length, sha256 });
  assert.equal(await text('/slow'), '5...\n4...\n3...\n2...\n1...\nDone.\n');
  assert.equal((await fetch(new URL('/error', url))).status, 500);
  assert.equal((await fetch(new URL('/nowhere', url))).status, 404);
  const request = (await json('/request?a=1')) as { method: string; remoteAddress: unknown; query: object };
  assert.equal(request.method, 'GET');
  assert.match(JSON.stringify(request.remoteAddress), /127\.0\.0\.1/);
  assert.deepEqual(request.query, { a: '1' });
}

async function main(): Promise<void> {
  const emulator = EMULATORS.find(hasProgram);
  if (emulator === undefined) throw new CannotBeHad('there is no qemu-aarch64 (Debian package qemu-user-static)');
  if (!existsSync(join(LIBRARIES, 'lib/libstdc++.so.6'))) {
    throw new CannotBeHad(
      `there is no C library in ${LIBRARIES} (Debian packages libc6-arm64-cross, libstdc++6-arm64-cross)`,
    );
  }
  const node = await installNode(testedVersions[0], ARCH).catch((error: Error) => {
    throw new CannotBeHad(`Node for ${ARCH} cannot be had: ${error.message}`);
  });
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-arm64-'));
  const programs: Program[] = [];
  const start = (file: string, args: readonly string[] = [], env: Readonly<Record<string, string>> = {}) => {
    const all = ['-L', LIBRARIES, node, join(folder, 'build', file), ...args];
    const program = new Program(emulator, all, { env: { PATH: process.env.PATH, ...env }, cwd: folder });
    programs.push(program);
    return program;
  };
  const limit = setTimeout(() => {
    for (const program of programs) program.kill();
  }, TIME_LIMIT_S * 1_000);
  try {
    mkdirSync(folder, { recursive: true });
    await installation(folder);

    const server = start('server.js', ['--port', '0']);
    const [url = ''] = await server.prints(/http:\/\/[\d.]+:\d+/);
    await askEveryRoute(url);
    server.kill('SIGTERM');
    const { code, stderr } = await server.ends();
    assert.equal(code, 0, stderr);
    console.log('ok: epoll answers every route of server.ts, and ends on SIGTERM');

    const refused = await start('server.js', ['--port', '0', '--backend', 'io_uring']).ends();
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /the io_uring backend is not available: .*ENOSYS.*\(this kernel has no io_uring/);
    console.log('ok: io_uring is refused in a sentence');

    for (const name of TRANSCRIPTS) {
      const env = { ONLY: name, TAP_TIMEOUT: String(TIME_LIMIT_S) };
      const played = await start('test/transcripts/transcripts.test.js', [], env).ends();
      const failures = played.stdout.split('\n').filter((line) => /^\s*not ok/.test(line));
      assert.equal(played.code, 0, [...failures, played.stderr.slice(0, 2_000)].join('\n'));
      console.log(`ok: the conversations of ${name}`);
    }
    for (const name of TLS_TESTS) {
      const env = { TAP_TIMEOUT: String(TIME_LIMIT_S) };
      const ran = await start(`test/simplenet/layers/${name}.test.js`, [], env).ends();
      const failures = ran.stdout.split('\n').filter((line) => /^\s*not ok/.test(line));
      assert.equal(ran.code, 0, [...failures, ran.stderr.slice(0, 2_000)].join('\n'));
      console.log(`ok: TLS, ${name}`);
    }
    console.log(`${2 + TRANSCRIPTS.length + TLS_TESTS.length} passed, 0 failed`);
  } finally {
    clearTimeout(limit);
    for (const program of programs) program.kill();
    rmSync(folder, { recursive: true });
  }
}

try {
  await main();
} catch (error) {
  if (error instanceof CannotBeHad) {
    console.log(`${ARCH} is not tested here: ${error.message}`);
  } else {
    console.error(error);
    process.exitCode = 1;
  }
}
