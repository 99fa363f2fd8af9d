/** The real Prometheus scrapes a server, and answers queries about it; and the queries of docs/production.md are about what a server says. */

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { type Test, test } from 'tap';
import { Router, serve, webSocket } from '../../http/index.ts';
import { certificateFor } from '../support/certificates.ts';
import { buildFolder, missing, Program } from '../support/programs.ts';
import { until } from '../support/waiting.ts';

/** 127.0.0.0/8 is this machine: no other process of a test listens on this address. */
const address = `127.${128 + ((process.pid >> 16) & 63)}.${(process.pid >> 8) & 255}.${process.pid & 255}`;

interface Reply {
  readonly data: { readonly result: readonly { readonly value: readonly [number, string] }[] };
}

test('Prometheus scrapes a server', { skip: missing('prometheus') }, async (t) => {
  const site = new Router().get('/users/:id', (_request, response) => response.text('user'));
  const server = serve(site, { metrics: { port: 0 } });
  t.teardown(() => server.close({ graceMs: 0 }));
  for (let i = 0; i < 7; i++) await (await fetch(`${server.url}/users/${i}`)).text();
  const folder = mkdtempSync('/tmp/simplenet-e2e-');
  t.teardown(() => rmSync(folder, { recursive: true }));
  const { host } = new URL(server.metricsUrl as string);
  const config = `scrape_configs:\n- job_name: site\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n  static_configs:\n  - targets: ['${host}']\n`;
  writeFileSync(join(folder, 'prometheus.yml'), config);
  const prometheus = new Program('prometheus', [
    `--config.file=${join(folder, 'prometheus.yml')}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=${address}:9090`,
  ]);
  const ask = async (query: string): Promise<string | undefined> => {
    const asked = await fetch(`http://${address}:9090/api/v1/query?query=${encodeURIComponent(query)}`).catch(
      () => null,
    );
    return asked?.ok === true ? ((await asked.json()) as Reply).data.result[0]?.value[1] : undefined;
  };
  try {
    const requests = 'http_requests_total{route="/users/:id",status="2xx"}';
    while ((await ask(requests)) === undefined) {
      if (prometheus.child.exitCode !== null) throw new Error(JSON.stringify(await prometheus.ends()));
      await sleep(50);
    }
    t.equal(await ask(requests), '7');
    t.equal(await ask('up{job="site"}'), '1');
    t.equal(await ask('http_request_duration_seconds_count{route="/users/:id"}'), '7');
  } finally {
    prometheus.kill('SIGTERM');
    await prometheus.ends();
  }
});

/** The PromQL of docs/production.md: the code in the second column of its table. */
function queriesOfPage(): readonly string[] {
  const page = readFileSync(join(buildFolder, '../docs/production.md'), 'utf8');
  const table = page.slice(page.indexOf('## What to watch'), page.indexOf('## How much one machine bears'));
  const rows = [...table.matchAll(/^\| [^|]* \| (.*) \|$/gm)].map(([, cell = '']) => cell);
  return rows.flatMap((cell) => [...cell.matchAll(/`([^`]*_[^`]*)`/g)].map(([, code = '']) => code));
}

/** What a server with everything says that can be watched. */
async function metricsOfEverything(t: Test): Promise<string> {
  const site = new Router()
    .get('/', (_request, response) => response.text('hello'))
    .get('/fails', (_request, response) => {
      response.status(500);
      response.text('');
    })
    .get('/chat', webSocket({}));
  const server = serve(site, { tls: certificateFor('localhost', '127.0.0.1'), metrics: { port: 0 } });
  t.teardown(() => server.close({ graceMs: 0 }));
  // Some series come into being with the first of their kind: a failure, a malformed message, a WebSocket that breaks off.
  const upgrade =
    'Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13';
  for (const [head, status] of [
    ['GET / HTTP/1.1\r\nHost: a', 200],
    ['GET /fails HTTP/1.1\r\nHost: a', 500],
    ['GET / HTTP/1.1\r\nHost', 400],
    [`GET /chat HTTP/1.1\r\nHost: a\r\n${upgrade}`, 101],
  ] as const) {
    const socket = connect({ host: '127.0.0.1', port: server.port as number, rejectUnauthorized: false });
    socket.write(`${head}\r\n\r\n`);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    t.match(`${answer}`, `HTTP/1.1 ${status} `);
    socket.destroy();
  }
  await until(() => server.connectionCount === 0);
  return await (await fetch(`${server.metricsUrl}/metrics`)).text();
}

test('the queries of the page: PromQL about metrics that are there', async (t) => {
  const queries = queriesOfPage();
  t.ok(queries.length >= 14, `${queries.length} queries`);
  const lines = (await metricsOfEverything(t)).split('\n').filter((line) => !line.startsWith('#'));
  for (const query of queries) {
    for (const [selector, name = '', labels = ''] of query.matchAll(
      /\b([a-z]+(?:_[a-z]+)+)\b(?!\()(?:\{([^}]*)\})?/g,
    )) {
      const wanted = labels === '' ? [] : labels.split(',');
      const isThere = lines.some(
        (line) => /^\w+/.exec(line)?.[0] === name && wanted.every((label) => line.includes(label)),
      );
      t.ok(isThere, selector);
    }
  }
});

test('promtool understands the queries of the page', { skip: missing('promtool') }, async (t) => {
  const folder = mkdtempSync('/tmp/simplenet-e2e-');
  t.teardown(() => rmSync(folder, { recursive: true }));
  const rules = queriesOfPage().map((expr, i) => ({ record: `query:${i}`, expr }));
  const file = join(folder, 'rules.yml');
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'page', rules }] })); // JSON is YAML
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'rules', file], { encoding: 'utf8' });
  t.equal(status, 0, `${stdout}${stderr}`);
  t.match(stdout, `${rules.length} rules found`);
});
