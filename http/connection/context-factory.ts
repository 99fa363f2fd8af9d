/**
 * ContextFactory: an async context for each call of a handler, so that no request begins with the `AsyncLocalStorage` stores
 * of another. The handlers of all requests of a turn would run in the one async context of the loop. Then `enterWith(bob)` in one handler would
 * still be in force in the next one, and a session or a transaction would leak to another client.
 *
 * A context is an AsyncResource in whose scope the handler runs. All of them begin with the stores of the moment in which the
 * factory was made, just as the handlers of node:http begin with the stores of `listen`.
 *
 * Making an AsyncResource in the right scope costs 40 to 125 ns. So each context is derived instead: an object whose prototype is
 * one shared resource. It reads the ids and stores of its prototype, and a store that is set becomes a property of its own. That
 * costs 8 to 17 ns on Node 20 to 26, whether a handler sets a store or not.
 *
 * At load the file tests once whether this version of Node allows that (`canDerive`).
 *
 * Next: incoming.ts
 */

import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';

export type ContextFactory = () => AsyncResource;

const TYPE = 'SIMPLENET_REQUEST';

function derive(base: AsyncResource): AsyncResource {
  return Object.create(base) as AsyncResource;
}

/**
 * Whether a store that is set in a derived context stays there. It does not if Node keeps all stores in one object, which the prototype
 * may already have: Node 24 with --no-async-context-frame.
 */
export function isDerivable(): boolean {
  const storage = new AsyncLocalStorage<boolean>();
  try {
    const base = new AsyncResource(TYPE);
    derive(base).runInAsyncScope(() => storage.enterWith(true));
    return derive(base).runInAsyncScope(() => storage.getStore()) !== true;
    /* c8 ignore next 3 -- a Node whose AsyncResource has private fields: its methods throw for a derived object. */
  } catch {
    return false;
  } finally {
    storage.disable();
  }
}

/** Earlier versions of Node can always derive. */
const FIRST_VERSION_TO_TEST = 24;

/**
 * Before Node 24 the test itself would cost something: once any AsyncLocalStorage has been used, `await` takes 64 ns instead of 48
 * for the rest of the process (measured on Node 20 and 22). From Node 24 on it costs nothing.
 */
/* c8 ignore next -- which half is taken depends on the version of Node. */
const canDerive = Number.parseInt(process.versions.node, 10) < FIRST_VERSION_TO_TEST || isDerivable();

/** Returns a function that makes contexts. `derives` is for tests. */
export function createContextFactory(derives = canDerive): ContextFactory {
  const base = new AsyncResource(TYPE);
  return derives ? () => derive(base) : () => base.runInAsyncScope(() => new AsyncResource(TYPE));
}
