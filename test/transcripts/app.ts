/**
 * The application that the transcripts talk to: one route for each thing that a server can be asked to do, or that a
 * careless handler can do to it.
 *
 * It uses only the names that `simplenet/http` promises, so it runs unchanged on whatever keeps that promise. It is no
 * example of good style: half of these handlers are mistakes on purpose.
 *
 * Next: network.ts
 */

import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HttpRequest, ResponseWriter } from '../../http/handler.ts';
import { answerFile } from '../../http/handlers/file-answer.ts';
import { OpenFile } from '../../http/handlers/open-files.ts';
import { staticFiles } from '../../http/handlers/static-files.ts';
import { Router } from '../../http/router/router.ts';
import { serve } from '../../http/serve.ts';
import { abi, libc } from '../../simplenet/index.ts';
import type { Server } from './conversation.ts';
import { network } from './network.ts';
import type { Settings } from './transcript.ts';

/** The application, listening; `errors` is what its handlers did wrong, as the server reported it. */
export interface App extends Server {
  readonly errors: readonly unknown[];
}

/** Field names come as the client wrote them; transcripts compare them without case. */
function lowerCased(fields: Iterable<readonly [string, string]>): [string, string][] {
  return [...fields].map(([name, value]) => [name.toLowerCase(), value]);
}

/** How often a client has left the request that waits for that. */
let abandoned = 0;

/** What the server sees of the request. */
function addMirrors(router: Router): void {
  router.get('/host', (request, response) => {
    response.text(`${request.headers.get('host') ?? 'no host'}\n`);
  });
  router.get('/headers', (request, response) => {
    response.json(lowerCased(request.headers));
  });
  router.get('/field-count', (request, response) => {
    response.text(`${[...request.headers].length}\n`);
  });
  router.get('/query', (request, response) => {
    response.json([...request.query]);
  });
  router.get('/path', (request, response) => {
    response.text(`${request.path}\n`);
  });
}

/** What can be done with the body of a request. */
function addBodies(router: Router): void {
  router.post('/echo', async (request, response) => {
    response.bytes(await request.bytes());
  });
  router.post('/unread', (_request, response) => {
    response.text('not read\n');
  });
  router.post('/text', async (request, response) => {
    response.text(await request.text());
  });
  router.post('/json', async (request, response) => {
    response.json(await request.json());
  });
  router.post('/form', async (request, response) => {
    response.json([...(await request.form())]);
  });
  router.post('/iterate', async (request, response) => {
    let byteLength = 0;
    for await (const chunk of request.body) byteLength += chunk.length;
    response.text(`${byteLength} bytes\n`);
  });
  router.post('/trailers', async (request, response) => {
    const body = await request.text();
    response.json({ body, headers: request.headers.has('checksum'), trailers: lowerCased(request.trailers) });
  });
}

const filesFolder = mkdtempSync(join(tmpdir(), 'simplenet-'));
const filesTime = new Date('2024-01-02T03:04:05Z');
const DIGITS = '0123456789';
for (const [name, content] of [
  ['ten.txt', DIGITS],
  ['hundred.txt', DIGITS.repeat(10)],
  ['empty.txt', ''],
  ['coded.txt', DIGITS],
  ['coded.txt.gz', 'abcdef'],
] as const) {
  writeFileSync(join(filesFolder, name), content);
  utimesSync(join(filesFolder, name), filesTime, filesTime);
}
mkdirSync(join(filesFolder, 'folder'));
process.once('exit', () => rmSync(filesFolder, { recursive: true, force: true }));

/** When each of these is asked for. */
const TAGGED_AT: Readonly<Record<string, number>> = {
  strong: filesTime.getTime() + 86_400_000,
  weak: filesTime.getTime() + 500,
  future: filesTime.getTime() - 86_400_000,
};

/** ten.txt with a tag that a transcript can name: a true file has the number of its inode in it. */
function answerTagged(request: HttpRequest, response: ResponseWriter): Promise<void> | void {
  const nowMs = TAGGED_AT[request.params.when as string] as number;
  const fd = libc.open(join(filesFolder, 'ten.txt'), abi.O_RDONLY | abi.O_CLOEXEC);
  const modifiedNs = BigInt(filesTime.getTime()) * 1_000_000n;
  const file = new OpenFile(libc, fd, false, DIGITS.length, modifiedNs, 1n, nowMs);
  file.content = Buffer.from(DIGITS);
  const fields = { contentType: 'text/plain; charset=utf-8', cacheControl: 'no-cache', maxRanges: 16 };
  const others = { contentEncoding: null, disposition: null, varies: false, lines: null };
  const pending = answerFile(request, response, file, { ...fields, ...others }, { now: () => nowMs });
  return pending;
}

/** A directory of files of 2024-01-02T03:04:05Z and an empty folder, and three files whose tags are known. */
function addFiles(router: Router): void {
  router.all('/files/*', staticFiles(filesFolder)).all('/files', staticFiles(filesFolder));
  router.all('/tagged/:when', answerTagged);
}

/** Every way to answer. */
function addAnswers(router: Router): void {
  router.get('/', (_request, response) => {
    response.text('hello\n');
  });
  router.get('/smuggled', (_request, response) => {
    response.text('smuggled\n');
  });
  router.get('/html', (_request, response) => {
    response.html('<h1>hello</h1>\n');
  });
  router.get('/json', (_request, response) => {
    response.json({ hello: 'world' });
  });
  router.get('/bytes', (_request, response) => {
    response.bytes(Buffer.from([0, 13, 10, 255]));
  });
  router.get('/redirect', (_request, response) => {
    response.redirect('/elsewhere');
  });
  router.get('/redirect/for-ever', (_request, response) => {
    response.redirect('/elsewhere', 308);
  });
  router.get('/empty', (_request, response) => {
    response.empty();
  });
  router.get('/status/:code', (request, response) => {
    response.status(Number(request.params.code)).text('a body\n');
  });
  router.get('/cookies', (_request, response) => {
    response.header('X-One', '1').header('X-Two', '2').text('fields\n');
  });
  router.get('/slow', async (_request, response) => {
    await sleep(20);
    response.text('slow\n');
  });
  router.get('/slow/:ms', async (request, response) => {
    await sleep(Number(request.params.ms));
    response.text('slow\n');
  });
  router.get('/stream', async (_request, response) => {
    for (const piece of ['one\n', 'two\n', 'three\n']) await response.write(piece);
    response.end();
  });
  router.get('/ticks', async (_request, response) => {
    for (const piece of ['tick\n', 'tock\n', 'tick\n']) {
      await response.write(piece);
      await sleep(700);
    }
    response.end();
  });
  router.get('/big', async (_request, response) => {
    for (let i = 0; i < 800; i++) await response.write(Buffer.alloc(65_536, 'x'));
    response.end();
  });
  router.get('/trailers', async (_request, response) => {
    response.header('Trailer', 'Checksum');
    await response.write('hello\n');
    response.trailer('Checksum', '5891b5b5');
    response.end();
  });
}

/** Routes that differ in what of a path they match. */
function addRoutes(router: Router): void {
  router.get('/users/me', (_request, response) => {
    response.text('it is me\n');
  });
  router.get('/users/:id', (request, response) => {
    response.text(`${request.params.id}\n`);
  });
  router.get('/users/:id/posts/:post', (request, response) => {
    response.text(`${request.params.id} and ${request.params.post}\n`);
  });
  router.put('/things', (_request, response) => {
    response.text('put\n');
  });
  router.patch('/things', (_request, response) => {
    response.text('patched\n');
  });
  router.delete('/things', (_request, response) => {
    response.empty();
  });
}

/** Tries to send fields that would be two; counts how often it is stopped. */
const INJECTIONS: readonly (readonly [string, string])[] = [
  ['X-Value', 'a\r\nX-Injected: yes'],
  ['X-Value', 'a\nX-Injected: yes'],
  ['X-Value', 'a\rX-Injected: yes'],
  ['X-Value', 'a\0injected'],
  ['X-Name\r\nX-Injected', 'yes'],
  ['X-Name\nX-Injected', 'yes'],
  ['X-Name: injected', 'yes'],
  ['X-Name ', 'injected'],
  ['', 'injected'],
];

function isRefused(attempt: () => unknown): boolean {
  try {
    attempt();
    return false;
  } catch {
    return true;
  }
}

/** What handlers should not do. */
function addMistakes(router: Router): void {
  router.get('/injection', (_request, response) => {
    const refused = INJECTIONS.filter(([name, value]) => isRefused(() => response.header(name, value)));
    response.text(`${refused.length} of ${INJECTIONS.length} refused\n`);
  });
  router.get('/injection/redirect', (_request, response) => {
    if (isRefused(() => response.redirect('/\r\nX-Injected: yes'))) response.text('refused\n');
  });
  router.get('/throw', () => {
    throw new Error('thrown on purpose');
  });
  router.post('/throw', () => {
    throw new Error('thrown on purpose');
  });
  router.get('/reject', async () => {
    await sleep(1);
    throw new Error('rejected on purpose');
  });
  router.get('/throw-late', async (_request, response) => {
    await response.write('half of it\n');
    throw new Error('thrown on purpose, too late');
  });
  router.get('/forget', async () => {
    await sleep(1);
  });
  router.get('/never', async () => {
    await new Promise(() => {});
  });
  router.get('/twice', (_request, response) => {
    response.text('once\n');
    response.text('twice\n');
  });
  router.get('/after', async (_request, response) => {
    response.text('first\n');
    await sleep(1);
    await response.write('late\n');
  });
  router.get('/bad-length', (_request, response) => {
    response.header('Content-Length', '3').text('hello\n');
  });
  router.get('/bad-length/long', async (_request, response) => {
    response.header('Content-Length', '3');
    await response.write('he');
    await response.write('llo\n');
    response.end();
  });
  router.get('/bad-length/short', async (_request, response) => {
    response.header('Content-Length', '60');
    await response.write('hello\n');
    response.end();
  });
  router.get('/abandon', async (request) => {
    await new Promise((resolve) => request.signal.addEventListener('abort', resolve));
    abandoned++;
  });
  router.get('/abandoned', (_request, response) => {
    response.text(abandoned > 0 ? 'noticed\n' : 'nobody left\n');
  });
  router.get('/signal', async (request, response) => {
    await sleep(20);
    response.text(request.signal.aborted ? 'aborted\n' : 'still there\n');
  });
}

/** Starts the application on a port of its own, on the network of this run. */
export function startApp(settings: Settings = {}): App {
  const errors: unknown[] = [];
  const router = new Router();
  addMirrors(router);
  addBodies(router);
  addAnswers(router);
  addFiles(router);
  addRoutes(router);
  addMistakes(router);
  const server = serve(router, {
    ...settings,
    ...network,
    port: 0,
    onError: (error) => {
      errors.push(error);
    },
  });
  return {
    host: network.host,
    port: Number(new URL(server.url).port),
    errors,
    async close(graceMs) {
      await server.close({ graceMs });
    },
  };
}
