/**
 * ContextFactory: an async context for each call of a handler, so that no request begins with the `AsyncLocalStorage` stores
 * of another. All requests of a turn are answered from one callback: without this, `enterWith(bob)` in one handler would still
 * hold in the next one, and a session or a transaction would reach a stranger.
 *
 * A context is an AsyncResource in whose scope the handler runs. All of them begin with the stores of the moment in which the
 * factory was made, as those of node:http begin with the stores of `listen`.
 *
 * Making an AsyncResource in the right scope costs 40 to 125 ns. So each context is derived instead: an object whose prototype is
 * one shared resource. It reads the ids and stores of its prototype, and what is stored in it becomes a property of its own. That
 * costs 8 to 17 ns on Node 20 to 26, as much for handlers that store something as for those that do not.
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
 * Whether stores stay in the derived context. They do not where Node keeps all stores in one object that the prototype may
 * already have: Node 24 with --no-async-context-frame.
 */
export function isDerivable(): boolean {
  const storage = new AsyncLocalStorage<boolean>();
  try {
    const base = new AsyncResource(TYPE);
    derive(base).runInAsyncScope(() => storage.enterWith(true));
    return derive(base).runInAsyncScope(() => storage.getStore()) !== true;
    /* c8 ignore next 3 -- a Node whose AsyncResource has private fields, where a derived object is no AsyncResource. */
  } catch {
    return false;
  } finally {
    storage.disable();
  }
}

/** The first Node that may keep stores in one object. Those before always derive. */
const FIRST_TO_ASK = 24;

/**
 * Before Node 24 the question itself has a price: once any AsyncLocalStorage has been used, `await` takes 64 ns instead of 48
 * for the rest of the process (measured on Node 20 and 22). From Node 24 on it has none.
 */
/* c8 ignore next -- which half is taken depends on the version of Node. */
const canDerive = Number.parseInt(process.versions.node, 10) < FIRST_TO_ASK || isDerivable();

/** Returns a function that makes contexts. `derives` is for tests. */
export function createContextFactory(derives = canDerive): ContextFactory {
  const base = new AsyncResource(TYPE);
  return derives ? () => derive(base) : () => base.runInAsyncScope(() => new AsyncResource(TYPE));
}
