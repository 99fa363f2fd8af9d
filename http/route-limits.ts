/**
 * The limits of one route: which of the server's limits and timeouts a route may replace.
 *
 * An answer of a language model takes ten minutes, an upload has 5 GB, a login form has 1 KB. If the server's own limits had to allow all of
 * them, they would protect no route. A route may replace what bounds its own body and its own time. It may not replace what is in force before
 * the route is known (the head), or what all requests share (`bodyMemoryBytes`, connections, queues).
 *
 * Next: http-error.ts
 */

import { type Limits, limitsFrom, type Timeouts, timeoutsFrom } from './limits.ts';

const LIMITS = ['bodyBytes', 'jsonBytes', 'jsonDepth', 'formBytes', 'formFields'] as const;
const TIMEOUTS = ['answerMs', 'bodyMs', 'bodyGraceMs', 'bodyMinBytesPerSecond'] as const;

/**
 * Limits and timeouts of one route. What is not named is as for the server.
 *
 * ```ts
 * import { type RouteLimits, Router } from 'simplenet/http';
 *
 * const limits: RouteLimits = { bodyBytes: 5 * 1024 ** 3, bodyMs: 3_600_000 };
 * new Router().post('/upload', { limits }, (_request, response) => response.empty());
 * ```
 */
export interface RouteLimits
  extends Partial<Pick<Limits, (typeof LIMITS)[number]>>,
    Partial<Pick<Timeouts, (typeof TIMEOUTS)[number]>> {}

/** All limits in force for a request. */
export interface LimitsInForce {
  readonly limits: Limits;
  readonly timeouts: Timeouts;
}

/** Checks the names and the values, and returns a copy. */
export function routeLimitsFrom(given: RouteLimits): RouteLimits {
  const names: readonly string[] = [...LIMITS, ...TIMEOUTS];
  const copy: Record<string, number> = {};
  for (const [name, value] of Object.entries(given) as [string, number | undefined][]) {
    if (!names.includes(name)) {
      throw new RangeError(`'${name}' is not a limit of a route: use one of ${names.join(', ')}`);
    }
    if (value !== undefined) copy[name] = value;
  }
  limitsFrom(chosen(copy, LIMITS));
  timeoutsFrom(chosen(copy, TIMEOUTS));
  return copy;
}

/** The limits in force, replaced by those of a route. */
export function withRouteLimits({ limits, timeouts }: LimitsInForce, route: RouteLimits): LimitsInForce {
  return {
    limits: { ...limits, ...chosen(route, LIMITS) },
    timeouts: { ...timeouts, ...chosen(route, TIMEOUTS) },
  };
}

function chosen(
  from: Readonly<Record<string, number>> | RouteLimits,
  names: readonly string[],
): Record<string, number> {
  return Object.fromEntries(Object.entries(from).filter(([name]) => names.includes(name)));
}
