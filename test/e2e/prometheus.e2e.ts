/** The real Prometheus scrapes a server, and answers queries about it. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { Router, serve } from '../../http/index.ts';
import { missing, Program } from '../support/programs.ts';

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
