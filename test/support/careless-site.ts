/**
 * careless-site: handlers as people write them, for test/attacks/unheard-rejections.ts. None of them is wrong in a way that
 * may cost more than its own request.
 *
 * Each takes a promise and then waits for `/go`, so that the attacker decides what happens in between. `/seen` returns what the
 * handlers caught and what was returned to them since it was last asked.
 */

import { EventEmitter, once } from 'node:events';
import type { HttpRequest, ResponseWriter, Router } from '../../http/index.ts';

/** More than the kernel takes from a server whose client does not read. */
const PIECE = Buffer.alloc(16 * 1024 * 1024);

/** The ways to take a promise from a request or a response. */
export const takes = {
  bytes: (request) => request.bytes(),
  text: (request) => request.text(),
  json: (request) => request.json(),
  form: (request) => request.form(),
  read: (request) => request.body.read(),
  next: (request) => request.body[Symbol.asyncIterator]().next(),
  write: (_request, response) => response.write(PIECE),
} satisfies Record<string, (request: HttpRequest, response: ResponseWriter) => Promise<unknown>>;

export type Take = keyof typeof takes;

function nameOf(error: unknown): string {
  const { name, status } = error as { readonly name: string; readonly status?: number };
  return status === undefined ? name : `${name} ${status}`;
}

export function addCarelessRoutes(site: Router): void {
  const gate = new EventEmitter();
  let seen: string[] = [];

  site.get('/go', (_request, response) => {
    gate.emit('go');
    response.text('gone\n');
  });

  site.get('/seen', (_request, response) => {
    response.json(seen);
    seen = [];
  });

  const take = (request: HttpRequest, response: ResponseWriter) =>
    takes[request.params.take as Take](request, response);

  /** It has something else to do first, and then wants what it took. */
  site.post('/early/:take', async (request, response) => {
    const taken = take(request, response);
    await once(gate, 'go');
    try {
      await taken;
    } catch (error) {
      seen.push(nameOf(error));
      throw error;
    }
    seen.push('nothing');
    if (!response.hasBegun) response.text('read\n');
    else response.end();
  });

  /** It never looks. */
  site.post('/forgotten/:take', async (request, response) => {
    void take(request, response);
    await once(gate, 'go');
    seen.push('nothing');
    if (!response.hasBegun) response.text('forgotten\n');
    else response.end();
  });

  /** Whatever comes first. */
  site.post('/race/:take', async (request, response) => {
    const taken = take(request, response);
    try {
      await Promise.race([taken, once(gate, 'go')]);
      seen.push('nothing');
    } catch (error) {
      seen.push(nameOf(error));
    }
    if (!response.hasBegun) response.text('raced\n');
    else response.end();
  });

  /** From a callback, as when a database has answered: what is thrown there is caught by nobody. */
  site.all('/upgrade-later', async (_request, response) => {
    await new Promise<void>((resolve) => {
      gate.once('go', () => {
        const isDone = response.upgrade('chat', (stream) => ({ onData: (_stream, bytes) => void stream.write(bytes) }));
        seen.push(String(isDone));
        resolve();
      });
    });
  });

  /** Not a Promise, but it has a `then`: a query builder. */
  site.get('/thenable', (_request, _response) => {
    // biome-ignore lint/suspicious/noThenProperty: that is what is tried.
    const query = { then: (_resolve: unknown, reject: (error: Error) => void) => reject(new Error('no such table')) };
    return query as unknown as Promise<void>;
  });

  site.use('/forgetful/:id', async (_request, _response, next) => {
    await null;
    void next();
  });
  site.get('/forgetful/:id', async () => {
    await null;
    throw new Error('nobody awaited this');
  });

  /** next() from a callback: what is thrown there has no caller. */
  site.use('/called-late/:how', (_request, _response, next) => void setImmediate(next));
  site.get('/called-late/rejects', async (request, response) => response.json(await request.json()));
  site.get('/called-late/throws', () => {
    throw new Error('nobody called this');
  });
}
