/**
 * RequestState: what middleware leaves in a request for the handlers behind it: the user, a session, a database transaction.
 *
 * A key carries the type of its value. So the compiler knows what `get` returns, and two libraries cannot use the same name by mistake, as
 * they could with fields of one object. `get` may return undefined, because the compiler cannot know which middleware has run.
 *
 * Next: ../content/forwarded.ts
 */

/**
 * Names a value of `request.state`, and its type. Make one for each value, outside of handlers.
 *
 * ```ts
 * import { Router, StateKey } from 'simplenet/http';
 *
 * const USER = new StateKey<{ name: string }>('user');
 * const router = new Router();
 * router.use('/account', (request, _response, next) => {
 *   request.state.set(USER, { name: 'Ada' });
 *   return next();
 * });
 * router.get('/account', (request, response) => response.json(request.state.require(USER)));
 * ```
 */
export class StateKey<T> {
  /** For messages. Two keys of one name are two keys. */
  readonly name: string;
  /** Never set: it makes keys of different types different for the compiler. */
  declare protected readonly type: (value: T) => T;

  /** The name is for error messages. Two keys of one name are two keys. */
  constructor(name: string) {
    this.name = name;
  }
}

/**
 * The values of one request. `request.state` makes it when it is first read.
 *
 * ```ts
 * import { type RequestState, StateKey } from 'simplenet/http';
 *
 * const STARTED_AT = new StateKey<number>('startedAt');
 *
 * function elapsedMs(state: RequestState): number {
 *   return performance.now() - (state.get(STARTED_AT) ?? 0);
 * }
 * ```
 */
export class RequestState {
  readonly #values = new Map<unknown, unknown>();

  /** Sets the value of a key, in place of an earlier one. */
  set<T>(key: StateKey<T>, value: T): this {
    this.#values.set(key, value);
    return this;
  }

  /** Returns the value, or undefined if none is set. */
  get<T>(key: StateKey<T>): T | undefined {
    return this.#values.get(key) as T | undefined;
  }

  /** Returns the value. Throws if none is set: then the middleware that sets it does not cover the route. */
  require<T>(key: StateKey<T>): T {
    if (!this.has(key)) throw new Error(`no '${key.name}' in request.state: does its middleware cover this route?`);
    return this.get(key) as T;
  }

  /** Whether the key has a value. */
  has<T>(key: StateKey<T>): boolean {
    return this.#values.has(key);
  }

  /** Removes the value. Returns whether there was one. */
  delete<T>(key: StateKey<T>): boolean {
    return this.#values.delete(key);
  }
}
