/**
 * Which version of Node is out of line: the one on which a request costs much more than on the oldest version, in the same run.
 *
 * Versions differ by a third, and a busy machine adds to that. What this must find is of another order: on Node 26 a request once cost
 * 1,400 us instead of 12, and every test passed.
 */

export interface Cost {
  readonly version: string;
  /** What was measured: the loop and the number of clients. */
  readonly load: string;
  /** CPU time of a request. Infinity if there was none. */
  readonly microseconds: number;
}

export const MAX_RATIO = 2;

/** Those that cost more than MAX_RATIO times what the first version costs under the same load. */
export function outOfLine(costs: readonly Cost[]): readonly Cost[] {
  return costs.filter(({ load, microseconds }) => {
    const first = costs.find((cost) => cost.load === load) as Cost;
    return !Number.isFinite(microseconds) || microseconds > first.microseconds * MAX_RATIO;
  });
}
