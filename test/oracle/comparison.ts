/**
 * Compares our reading with llhttp's, and says where they part.
 *
 * Refusals are compared as such: a client cares that it is refused, not which rule was looked at first. A parser that has
 * not seen the end of a message may not have noticed yet what the other one objects to, so "unfinished" beside "refused" is
 * no difference; the generated requests therefore come with something behind, where almost everything is decided.
 */

import type { Field, Message, Reading, Rest } from './reading.ts';
import { asUtf8, type TheirMessage } from './theirs.ts';

/** One place where two readings part. */
export type Difference =
  /** Both accept the request, and do not read the same. */
  | {
      readonly kind: 'differs';
      readonly aspect: Aspect;
      readonly text: string;
      readonly ours: Message;
      readonly theirs: TheirMessage;
    }
  /** Where `theirs` is null, llhttp sees no request yet. */
  | {
      readonly kind: 'we refuse';
      readonly text: string;
      readonly status: string;
      readonly theirs: TheirMessage | null;
    }
  | { readonly kind: 'llhttp refuses'; readonly text: string; readonly why: string; readonly ours: Message }
  /** One of them waits for more, and the other has a whole request. */
  | { readonly kind: 'we wait' | 'llhttp waits'; readonly text: string };

export type Aspect = (typeof aspects)[number];

const aspects = ['method', 'target', 'minorVersion', 'fields', 'body', 'trailers', 'keepAlive', 'end'] as const;

export interface Comparison {
  /** Requests on which both agree, accepted or refused. */
  readonly agreed: number;
  readonly differences: readonly Difference[];
}

export function fieldsAsUtf8(fields: readonly Field[]): Field[] {
  return fields.map(([name, value]) => [name, asUtf8(value)]);
}

function isEqual(aspect: Aspect, ours: Message, theirs: Message): boolean {
  if (aspect === 'fields' || aspect === 'trailers') {
    return JSON.stringify(fieldsAsUtf8(ours[aspect])) === JSON.stringify(theirs[aspect]);
  }
  return ours[aspect] === theirs[aspect];
}

/** All aspects of one request, or of what stands in the place of one, in which they differ. */
function partings(text: string, ours: Message | Rest, theirs: Message | Rest): Difference[] {
  const isOurs = 'method' in ours;
  const isTheirs = 'method' in theirs;
  if (isOurs && isTheirs) {
    return aspects
      .filter((aspect) => !isEqual(aspect, ours, theirs))
      .map((aspect) => ({ kind: 'differs', aspect, text, ours, theirs: theirs as TheirMessage }));
  }
  if (isOurs) {
    if ((theirs as Rest).kind !== 'refused') return [{ kind: 'llhttp waits', text }];
    return [{ kind: 'llhttp refuses', text, why: (theirs as { why: string }).why, ours }];
  }
  if (ours.kind === 'refused' && (isTheirs || theirs.kind === 'nothing')) {
    return [{ kind: 'we refuse', text, status: ours.why, theirs: isTheirs ? (theirs as TheirMessage) : null }];
  }
  return isTheirs ? [{ kind: 'we wait', text }] : [];
}

/** Goes through both readings as far as they agree, and no further: behind a difference everything is different. */
export function compare(bytes: Buffer, ours: Reading, theirs: Reading): Comparison {
  let at = 0;
  for (let i = 0; ; i++) {
    const our = ours.messages[i] ?? ours.rest;
    const their = theirs.messages[i] ?? theirs.rest;
    const differences = partings(bytes.toString('latin1', at), our, their);
    if (differences.length > 0) return { agreed: i, differences };
    if (!('method' in our) || !('method' in their)) {
      const isDecided = 'kind' in our && 'kind' in their && our.kind === 'refused' && their.kind === 'refused';
      return { agreed: i + (isDecided ? 1 : 0), differences };
    }
    at = our.end;
  }
}
