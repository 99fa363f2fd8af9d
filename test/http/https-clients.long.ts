/** Real clients of HTTPS: programs that others wrote, with their own ideas of TLS. Each is asked on both event loops. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import { Router, type Server, serve } from '../../http/index.ts';
import { backends, missingBackend } from '../support/backends.ts';
import { certificateFor } from '../support/certificates.ts';
import { chromiumFlags } from '../support/chromium.ts';
import { hasProgram, type Outcome, Program } from '../support/programs.ts';
import { until } from '../support/waiting.ts';

const LARGE_BYTES = 5_000_000;

const folder = mkdtempSync(join(tmpdir(), 'simplenet-https-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

const tls = certificateFor('localhost', '127.0.0.1');
const ca = join(folder, 'ca.pem');
writeFileSync(ca, tls.cert);

const site = new Router();
site.get('/', (_request, response) => {
  response.html('<!doctype html><h1>Hello</h1><p id="x"></p><script src="/script.js"></script>');
});
site.get('/script.js', (_request, response) => {
  response.header('Content-Type', 'text/javascript').bytes(Buffer.from('x.textContent = "made by script";'));
});
site.get('/tls', ({ tls: info }, response) => {
  response.json(
    info === null
      ? null
      : { version: info.version, isResumed: info.isResumed, alpn: info.alpn, serverName: info.serverName },
  );
});
site.get('/large', (_request, response) => response.bytes(Buffer.alloc(LARGE_BYTES, 'x')));
site.put('/count', async (request, response) => response.json((await request.bytes()).length));

async function run(command: string, args: readonly string[], input: string | null = null): Promise<Outcome> {
  const program = new Program(command, args, { cwd: folder });
  if (input === null) program.child.stdin?.end();
  else program.child.stdin?.write(input); // it stays open: the end of the input would end the connection
  return program.ends();
}

const GET = 'GET /tls HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';

for (const backend of backends) {
  test(`clients on ${backend}`, { skip: missingBackend[backend] }, async (t) => {
    const server: Server = serve(site, { tls, backend });
    t.teardown(() => server.close({ graceMs: 0 }));
    const { port } = server;
    const url = `https://localhost:${port}`;
    const needs = (program: string) => ({
      skip: hasProgram(program) ? false : (`${program} is not installed` as const),
    });

    await t.test('curl', needs('curl'), async (t) => {
      const curl = async (...args: string[]) =>
        (
          await run('curl', [
            '-sS',
            '--max-time',
            '60',
            '--cacert',
            ca,
            '--resolve',
            `localhost:${port}:127.0.0.1`,
            ...args,
          ])
        ).stdout;
      t.match(JSON.parse(await curl(`${url}/tls`)), { version: 'TLSv1.3', alpn: 'http/1.1', serverName: 'localhost' });
      t.match(JSON.parse(await curl('--tls-max', '1.2', `${url}/tls`)), { version: 'TLSv1.2' });
      t.match(JSON.parse(await curl('--no-alpn', `${url}/tls`)), { alpn: null });
      t.equal((await curl(`${url}/large`)).length, LARGE_BYTES);
      const upload = join(folder, 'upload');
      writeFileSync(upload, Buffer.alloc(LARGE_BYTES));
      t.equal(await curl('-T', upload, `${url}/count`), String(LARGE_BYTES));
      const old = await run('curl', ['-sS', '-k', '--tls-max', '1.1', `${url}/tls`]);
      t.not(old.code, 0, 'TLS 1.1 is refused');
    });

    await t.test('openssl s_client', needs('openssl'), async (t) => {
      for (const version of ['-tls1_2', '-tls1_3']) {
        const saved = join(folder, `session${version}`);
        const ask = async (...args: string[]) => {
          const options = [
            's_client',
            '-connect',
            `127.0.0.1:${port}`,
            '-servername',
            'localhost',
            '-CAfile',
            ca,
            version,
            ...args,
          ];
          const { stdout } = await run('openssl', [...options, '-ign_eof'], GET);
          t.match(stdout, 'Verify return code: 0 (ok)');
          return JSON.parse(/\{"version".*\}/.exec(stdout)?.[0] ?? '{}');
        };
        t.match(await ask('-sess_out', saved), { isResumed: false });
        t.match(await ask('-sess_in', saved), { isResumed: true }, version);
      }
    });

    await t.test('openssl s_client: a change of keys, and renegotiation', needs('openssl'), async (t) => {
      // Letters on lines of their own are commands of s_client: K changes the keys and asks the server to do the same, R begins a new handshake.
      const talk = async (version: string, command: string) => {
        const args = ['s_client', '-brief', '-connect', `127.0.0.1:${port}`, '-CAfile', ca, version];
        const program = new Program('openssl', args, { cwd: folder });
        program.child.stdin?.on('error', () => {}); // a client that was refused reads no request
        await until(() => program.stderr.includes('Server Temp Key'));
        program.child.stdin?.write(`${command}\n`);
        await until(() => /RENEGOTIATING|KEYUPDATE/.test(program.stderr));
        program.child.stdin?.write(GET);
        return program.ends();
      };
      const updated = await talk('-tls1_3', 'K');
      t.match(updated.stdout, /HTTP\/1\.1 [\s\S]*"version":"TLSv1\.3"/, 'the connection goes on with other keys');
      const renegotiated = await talk('-tls1_2', 'R');
      t.notMatch(renegotiated.stdout, /HTTP\/1\.1 /);
      t.match(renegotiated.stderr + renegotiated.stdout, /no renegotiation/);
    });

    await t.test('gnutls-cli', needs('gnutls-cli'), async (t) => {
      for (const priority of ['NORMAL:-VERS-TLS1.3', 'NORMAL']) {
        const args = ['--x509cafile', ca, '--priority', priority, '--port', String(port), 'localhost'];
        const { stdout } = await run('gnutls-cli', args, GET);
        t.match(stdout, 'Handshake was completed');
        t.match(stdout, /\{"version":"TLSv1\.[23]"/, priority);
      }
    });

    await t.test('ssl of Python', needs('python3'), async (t) => {
      const script = `
import http.client, ssl, sys
context = ssl.create_default_context(cafile=${JSON.stringify(ca)})
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    context.maximum_version = version
    connection = http.client.HTTPSConnection('localhost', ${port}, context=context)
    connection.connect()
    for path in ('/tls', '/large', '/tls'):
        connection.request('GET', path)
        version = connection.sock.version() if connection.sock else None
        length = len(connection.getresponse().read())
        print(length if path == '/large' else version)
    connection.close()
`;
      const { stdout, stderr } = await run('python3', ['-c', script]);
      t.same(
        stdout.trim().split('\n'),
        ['TLSv1.2', `${LARGE_BYTES}`, 'TLSv1.2', 'TLSv1.3', `${LARGE_BYTES}`, 'TLSv1.3'],
        stderr,
      );
    });

    await t.test('Chromium', needs('chromium'), async (t) => {
      const profile = mkdtempSync(join(folder, 'chromium-'));
      const flags = [
        ...chromiumFlags(profile),
        '--ignore-certificate-errors',
        '--virtual-time-budget=5000',
        '--dump-dom',
      ];
      const { stdout } = await run('chromium', [...flags, `${url}/`]);
      t.match(stdout, '<p id="x">made by script</p>');
    });

    await t.test('wrk', needs('wrk'), async (t) => {
      const { stdout } = await run('wrk', ['-t1', '-c32', '-d2s', `${url}/tls`]);
      t.match(stdout, /\d+ requests in/);
      t.notMatch(stdout, /Socket errors|Non-2xx/);
    });

    await until(() => server.busyCount === 0);
  });
}
