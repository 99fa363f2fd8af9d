/** accessLog: what a line says of an answer of a server. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import {
  type AccessLogOptions,
  accessLog,
  type LogFormat,
  Router,
  requestId,
  serve,
  traceContext,
} from '../../../http/index.ts';
import { RawClient } from '../../support/raw-client.ts';
import { until } from '../../support/waiting.ts';

interface Logged {
  readonly port: number;
  readonly lines: string[];
}

function logged(t: Test, options: AccessLogOptions): Logged {
  const lines: string[] = [];
  const log = accessLog({ to: (text) => lines.push(...text.trimEnd().split('\n')), ...options });
  const site = new Router()
    .use(requestId({ trust: true }))
    .use('/users', traceContext())
    .get('/users/:id', (_request, response) => response.text('hello'))
    .get('/broken', () => {
      throw new Error('a secret');
    });
  const server = serve(site, { onDone: log, onError: () => {} });
  t.teardown(async () => {
    await server.close({ idleGraceMs: 1 });
    log.close();
  });
  return { port: server.port as number, lines };
}

/** Sends these bytes, and waits for the lines. */
async function linesFor({ port, lines }: Logged, text: string, count: number): Promise<string[]> {
  const client = new RawClient(port);
  client.write(text);
  await until(() => lines.length >= count);
  client.destroy();
  return lines.splice(0);
}

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';

const get = (target: string, fields = '') => `GET ${target} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;

test('combined, without the query unless it is asked for', async (t) => {
  const fields = 'User-Agent: a"b\r\nReferer: https://a.example/?q\r\n';
  const [line = ''] = await linesFor(logged(t, {}), get('/users/7?token=secret', fields), 1);
  t.match(line, /^127\.0\.0\.1 - - \[\d\d\/\w{3}\/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET \/users\/7 HTTP\/1\.1" 200 \d+ /);
  t.ok(line.endsWith(String.raw` "https://a.example/?q" "a\"b"`), line);
  const [full = ''] = await linesFor(logged(t, { query: true, format: 'common' }), get('/users/7?token=secret'), 1);
  t.match(full, '"GET /users/7?token=secret HTTP/1.1"');
  const [bad = ''] = await linesFor(logged(t, { query: true }), 'NONSENSE\r\n\r\n', 1);
  t.match(bad, /^- - - \[.*\] "-" 400 \d+ "-" "-"$/);
});

test('a client of a Unix socket has no address', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const socketPath = join(folder, 'socket');
  const lineIn = async (format: LogFormat) => {
    const lines: string[] = [];
    const log = accessLog({ to: (text) => void lines.push(text), format, signals: false });
    const server = serve(new Router(), { path: socketPath, onDone: log });
    request({ socketPath, agent: false }, (response) => void response.resume()).end();
    await until(() => lines.length > 0);
    await server.close({ idleGraceMs: 1 });
    log.close();
    return lines[0] as string;
  };
  t.match(await lineIn('common'), /^- - - \[/);
  t.notOk('client' in JSON.parse(await lineIn('json')));
});

test('JSON, with the id of the request and with errors', async (t) => {
  const site = logged(t, { format: 'json' });
  const requests =
    get('/users/7', `X-Request-Id: id-7\r\nTraceparent: 00-${TRACE_ID}-00f067aa0ba902b7-01\r\n`) +
    get('/broken') +
    get('/none');
  const [hello, broken, none] = (await linesFor(site, requests, 3)).map((line) => JSON.parse(line));
  t.match(hello, {
    id: 'id-7',
    trace: TRACE_ID,
    client: '127.0.0.1',
    method: 'GET',
    path: '/users/7',
    route: '/users/:id',
    status: 200,
  });
  t.match(hello, { bytes: Number, ms: Number });
  t.match(broken, { status: 500, error: 'Error: a secret', id: /^[\da-f-]{36}$/ });
  t.match(none, { status: 404, route: null });
});

test('to a file', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'access.log');
  const log = accessLog({ to: path, signals: false });
  const server = serve((_request, response) => response.text('x'), { onDone: log });
  await (await fetch(server.url)).arrayBuffer();
  await server.close({ idleGraceMs: 1 });
  log.flush();
  log.reopen();
  log.close();
  t.match(readFileSync(path, 'utf8'), /^127\.0\.0\.1 .*"GET \/ HTTP\/1\.1" 200 .*\n$/);
});

test('mistakes throw', async (t) => {
  const wrong: [object, RegExp][] = [
    [{ format: 'jsn' }, /did you mean 'json'/],
    [{ format: 7 }, /unknown format 7/],
    [{ maxQueuedBytes: 0 }, /above 0/],
    [{ maxQueuedBytes: '1' }, /above 0/],
    [{ form: 'json' }, /did you mean 'format'/],
    [{ to: null }, /path, a descriptor/],
  ];
  for (const [options, message] of wrong) t.throws(() => accessLog(options as AccessLogOptions), { message });
});
