/**
 * traceContext: a middleware that makes each request a step of its trace, so that a tool can put together what several programs have done for one user.
 *
 *     the caller --traceparent: trace, caller's step--> this server --traceparent: trace, this step--> the next program
 *
 * A request that is no part of a trace begins one. Whether a trace is recorded the one who begins it says; its callers' word is passed on.
 *
 * Next: ../content/log-line.ts
 */

import { randomBytes } from 'node:crypto';
import { formatTraceParent, parseTraceParent } from '../content/trace-parent.ts';
import type { HttpRequest, Middleware } from '../handler.ts';
import { checkOptionNames, described } from '../nearest-name.ts';
import { StateKey } from '../request/request-state.ts';

/**
 * Whose traces go on here.
 *
 * ```ts
 * import { Router, type TraceContextOptions, traceContext } from 'simplenet/http';
 *
 * const options: TraceContextOptions = { trust: (request) => request.remoteAddress === '10.0.0.1', isSampled: () => Math.random() < 0.01 };
 * new Router().use(traceContext(options));
 * ```
 */
export interface TraceContextOptions {
  /** Whether to go on with the trace that a request names: true unless given. At the edge of a network, clients could fill it with traces. */
  readonly trust?: boolean | ((request: HttpRequest<unknown>) => boolean);
  /** Whether a trace that begins here is recorded: false unless given. */
  readonly isSampled?: (request: HttpRequest<unknown>) => boolean;
}

const optionNames: { readonly [Name in keyof Required<TraceContextOptions>]: true } = { trust: true, isSampled: true };

/**
 * The step of a trace that a request is.
 *
 * ```ts
 * import { Router, TRACE, type Trace, traceContext } from 'simplenet/http';
 *
 * const forward = ({ fields }: Trace) => fetch('http://10.0.0.2/users', { headers: fields });
 * new Router().use(traceContext()).get('/', ({ state }) => forward(state.require(TRACE)));
 * ```
 */
export interface Trace {
  /** 32 hexadecimal digits, the same in all programs. */
  readonly traceId: string;
  /** 16 hexadecimal digits: this step. */
  readonly spanId: string;
  /** The step that has called; null if the trace begins here. */
  readonly parentId: string | null;
  /** Whoever began the trace records it. */
  readonly isSampled: boolean;
  /** What a request that belongs to this step sends: traceparent, and the tracestate of the caller. */
  readonly fields: Readonly<Record<string, string>>;
}

/**
 * The trace of a request. `traceContext()` sets it.
 *
 * ```ts
 * import { Router, TRACE, traceContext } from 'simplenet/http';
 *
 * new Router().use(traceContext()).get('/', ({ state }, response) => response.text(`${state.require(TRACE).traceId}\n`));
 * ```
 */
export const TRACE: StateKey<Trace> = new StateKey<Trace>('trace');

const TRACE_ID_BYTES = 16;
const SPAN_ID_BYTES = 8;

/** Section 3.3.1.5 of the standard: so much must be passed on. More is dropped, because whoever calls chooses its length. */
const MAX_STATE_LENGTH = 512;

/**
 * Returns a middleware that reads traceparent and tracestate.
 *
 * ```ts
 * import { Router, traceContext } from 'simplenet/http';
 *
 * new Router().use(traceContext());
 * ```
 */
export function traceContext(options: TraceContextOptions = {}): Middleware<unknown> {
  checkOptionNames('traceContext', options, optionNames);
  const { trust = true, isSampled = () => false } = options;
  if (typeof isSampled !== 'function') {
    throw new TypeError(`isSampled of traceContext must be a function, not ${described(isSampled)}`);
  }
  const isTrusted = typeof trust === 'function' ? trust : () => trust;
  return (request, _response, next) => {
    const parent = isTrusted(request) === true ? parseTraceParent(request.headers.get('traceparent')) : null;
    const traceId = parent?.traceId ?? randomId(TRACE_ID_BYTES);
    const spanId = randomId(SPAN_ID_BYTES);
    const sampled = parent?.isSampled ?? isSampled(request);
    const state = parent === null ? null : request.headers.get('tracestate');
    const fields: Record<string, string> = {
      traceparent: formatTraceParent({ traceId, parentId: spanId, isSampled: sampled }),
    };
    if (state !== null && state.length <= MAX_STATE_LENGTH) fields.tracestate = state;
    request.state.set(TRACE, { traceId, spanId, parentId: parent?.parentId ?? null, isSampled: sampled, fields });
    return next();
  };
}

/** All zeros is no id. */
function randomId(bytes: number): string {
  const id = randomBytes(bytes).toString('hex');
  return /[^0]/.test(id) ? id : /* c8 ignore next -- once in 2^64 */ randomId(bytes);
}
