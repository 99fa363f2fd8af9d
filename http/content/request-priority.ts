/**
 * RequestPriority: what a client says about the urgency of a request, in its Priority field (RFC 9218 section 4).
 *
 * The field is a hint, so nothing about it is an error: a field that breaks the grammar, a member of an unknown name and a value of the
 * wrong type or range count as absent.
 *
 * Next: ../request/form-part.ts
 */

import { parseDictionary } from './structured-fields.ts';

/**
 * What a client says about the urgency of a response (RFC 9218).
 *
 * ```ts
 * import type { RequestPriority, ServerContext } from 'simplenet/http';
 *
 * const isUrgent = ({ urgency }: RequestPriority) => urgency < 3;
 * const app = { fetch: (ctx: ServerContext) => new Response(isUrgent(ctx.clientPriority) ? 'now' : 'soon') };
 * ```
 */
export interface RequestPriority {
  /** From 0, the most urgent, to 7. */
  readonly urgency: number;
  /** The client can use parts of the response before it has all of it. */
  readonly incremental: boolean;
}

const DEFAULT: RequestPriority = Object.freeze({ urgency: 3, incremental: false });

const MAX_URGENCY = 7;

/** Returns the defaults for a request without the field. */
export function parsePriority(field: string | null): RequestPriority {
  const members = field === null ? null : parseDictionary(field);
  if (members === null) return DEFAULT;
  const u = members.get('u');
  const i = members.get('i');
  const isUrgency = u?.kind === 'integer' && u.value >= 0 && u.value <= MAX_URGENCY;
  return {
    urgency: isUrgency ? u.value : DEFAULT.urgency,
    incremental: i?.kind === 'boolean' ? i.value : DEFAULT.incremental,
  };
}
