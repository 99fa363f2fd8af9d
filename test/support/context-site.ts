/**
 * context-site: handlers that keep who is asking in an AsyncLocalStorage, by `enterWith`, as some session libraries do, for
 * test/attacks/async-context.ts. Each answers what it found in the storage when it began, and what it finds later.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HttpRequest, ResponseWriter, Router } from '../../http/index.ts';

/** What a handler does after it has stored who is asking, before it looks again. */
const manners = {
  sync: () => undefined,
  promise: () => Promise.resolve(),
  tick: () => new Promise<void>((resolve) => process.nextTick(resolve)),
  timer: () => sleep(1),
  body: (request) => request.text(),
  chunks: async (request) => {
    for await (const _chunk of request.body);
  },
  write: (_request, response) => response.write(' '),
} satisfies Record<string, (request: HttpRequest, response: ResponseWriter) => Promise<unknown> | undefined>;

export type ContextManner = keyof typeof manners;

export const contextManners = Object.keys(manners) as ContextManner[];

export interface ContextAnswer {
  readonly user: string;
  readonly before: string | null;
  readonly after: string | null;
}

export function addContextRoutes(site: Router): void {
  const users = new AsyncLocalStorage<string>();
  const stored = () => users.getStore() ?? null;

  site.post('/context/:manner/:user', (request, response) => {
    const { manner, user } = request.params;
    const before = stored();
    if (user !== 'anonymous') users.enterWith(user);
    const answer = () => {
      const text = JSON.stringify({ user, before, after: stored() } satisfies ContextAnswer);
      response.end(text);
    };
    const done = manners[manner as ContextManner](request, response);
    return done === undefined ? answer() : done.then(answer);
  });
}
