/**
 * Accept-Encoding: which coding of a body the client prefers (RFC 9110 section 12.5.3).
 *
 *     preferredCoding('gzip;q=0.8, br', ['br', 'gzip'])      returns 'br'
 *     preferredCoding('gzip, *;q=0', ['br'])                 returns 'identity'
 *
 * The order of the program decides between codings of the same weight: it names the shortest first. A coding that the client does not name is
 * not sent, unless `*` stands for it. Without the field nothing is encoded: section 12.5.3 would allow any coding, and clients without the field
 * understand none.
 *
 * `identity`, the body as it is, is acceptable unless the field refuses it. A malformed member counts as absent.
 *
 * Next: file-types.ts
 */

import { isToken, trimBlanks } from '../grammar.ts';
import { weightOf } from './accept.ts';

export const IDENTITY = 'identity';

/** Returns one of `codings`, `identity`, or null if the client accepts none of them. `codings` are in lower case. */
export function preferredCoding(field: string | null, codings: readonly string[]): string | null {
  if (field === null) return IDENTITY;
  const weights = weightsOf(field);
  const rest = weights.get('*');
  const identityWeight = weights.get(IDENTITY) ?? rest;
  let best: string | null = identityWeight === 0 ? null : IDENTITY;
  // A client that does not name identity takes it, but gives it no weight: each coding that it names is better.
  let bestWeight = identityWeight ?? 0;
  for (const coding of codings) {
    const weight = weights.get(coding) ?? rest ?? 0;
    const isBetter = weight > bestWeight || (best === IDENTITY && weight === bestWeight);
    if (weight > 0 && isBetter) {
      best = coding;
      bestWeight = weight;
    }
  }
  return best;
}

/** The name of a coding in lower case. RFC 9110 section 8.4.1.3: x-gzip is gzip. */
export function codingOf(name: string): string {
  return name.toLowerCase().replace(/^x-(?=gzip$)/, '');
}

/** Of a coding that is named twice, the larger weight counts. */
function weightsOf(field: string): Map<string, number> {
  const weights = new Map<string, number>();
  for (const member of field.split(',')) {
    const [name = '', ...parameters] = member.split(';').map(trimBlanks);
    const weight = weightOf(parameters);
    if (!isToken(name) || weight === null) continue;
    const coding = codingOf(name);
    weights.set(coding, Math.max(weight, weights.get(coding) ?? 0));
  }
  return weights;
}
