/** EventSource of a browser: it reads events, connects again when it loses the stream, and names the last event that it has seen. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import { Router, serve } from '../../http/index.ts';
import { chromiumFlags } from '../support/chromium.ts';
import { hasProgram } from '../support/programs.ts';

const PAGE = `<!doctype html><title>events</title><script>
  const source = new EventSource('/events');
  source.addEventListener('price', ({ data, lastEventId }) => {
    void fetch('/seen', { method: 'POST', body: JSON.stringify([data, lastEventId]) });
    if (data === 'the last') source.close();
  });
</script>`;

test('Chromium connects again with Last-Event-ID', { timeout: 240_000 }, async (t) => {
  if (!hasProgram('chromium')) return void t.pass('skipped: chromium is not installed');
  const asked: string[] = [];
  const seen: unknown[] = [];
  let finish = () => {};
  const isFinished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const site = new Router()
    .get('/', (_request, response) => response.html(PAGE))
    .get('/events', (_request, response) => {
      const events = response.events();
      asked.push(events.lastEventId);
      if (asked.length === 1) {
        events.send({ event: 'price', data: 'two\nlines', id: 'ä 1', retry: 10 });
        events.close();
      } else events.send({ event: 'price', data: 'the last' });
    })
    .post('/seen', async (request, response) => {
      seen.push(await request.json());
      response.empty();
      if (seen.length === 2) finish();
    });
  const server = serve(site, { onError: (error) => t.fail(String(error)) });
  t.teardown(() => server.close({ graceMs: 0 }));
  const profile = mkdtempSync(join(tmpdir(), 'simplenet-chromium-'));
  // The debugging port keeps it open until it is killed. Its pipe closes when the last of its processes has ended: they write to the profile until then.
  const flags = [...chromiumFlags(profile), '--remote-debugging-port=0'];
  const browser = spawn('chromium', [...flags, server.url], { stdio: ['ignore', 'ignore', 'pipe'] });
  browser.stderr.resume();
  const ended = once(browser, 'close');
  await isFinished;
  t.same(asked, ['', 'ä 1']);
  t.same(seen, [
    ['two\nlines', 'ä 1'],
    ['the last', 'ä 1'],
  ]);
  browser.kill('SIGTERM');
  await ended;
  rmSync(profile, { recursive: true, force: true });
});
