/**
 * The draft of the Fetch Server API that this server follows, and the symbols that it defines.
 *
 * WinterTC drafts a standard for servers: `Request` and `Response` as they are, and a ServerContext for all that they lack. This is the one
 * place that says which version of the text the code was written to. docs/fetch-server-api.md has a row for each of its clauses.
 *
 * Next: exchange-state.ts
 */

/**
 * Where the text is, and which text it was.
 *
 * ```ts
 * import { FETCH_SERVER_DRAFT } from 'simplenet/http';
 *
 * console.log(`the Fetch Server API of ${FETCH_SERVER_DRAFT.date}`);
 * ```
 */
export const FETCH_SERVER_DRAFT = Object.freeze({
  repository: 'https://github.com/jasnell/proposal-fetch-server',
  path: 'index.bs',
  commit: '01079442df63ed5ab39ac492f30a72dd3e186ece',
  date: '2026-08',
});

/** The version of the handler model that the draft defines. */
export const PROTOCOL_VERSION = 1;

/**
 * The protocol marker. An object that has it is called with a context, and not with a `Request`.
 *
 * ```ts
 * import { PROTOCOL_MARKER, type ServerContext, serve } from 'simplenet/http';
 *
 * serve({ [PROTOCOL_MARKER]: 1, fetch: (ctx: ServerContext) => new Response(ctx.request.body) });
 * ```
 */
export const PROTOCOL_MARKER: unique symbol = Symbol.for('wintertc.server.protocol') as never;

/**
 * Passed to `deny`, it lets the request of an upgrade go on to `fetch`.
 *
 * ```ts
 * import { type ConnectContext, FALL_THROUGH } from 'simplenet/http';
 *
 * const connect = (ctx: ConnectContext) => ctx.deny(FALL_THROUGH);
 * ```
 */
export const FALL_THROUGH: unique symbol = Symbol.for('wintertc.server.fallthrough') as never;

/**
 * Whether the object has the marker. Throws for a version that is not known here: its handlers expect something else.
 *
 * ```ts
 * import { type ContextApp, isMarked, PROTOCOL_MARKER } from 'simplenet/http';
 *
 * const app: ContextApp = { [PROTOCOL_MARKER]: 1, fetch: () => new Response('hello\n') };
 * console.log(isMarked(app)); // true
 * ```
 */
export function isMarked(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || !(PROTOCOL_MARKER in value)) return false;
  const version: unknown = (value as { [PROTOCOL_MARKER]: unknown })[PROTOCOL_MARKER];
  if (version === PROTOCOL_VERSION) return true;
  const known = `this server knows version ${PROTOCOL_VERSION}`;
  throw new TypeError(`the handler has version ${String(version)} of the Fetch Server API; ${known}`);
}
