/**
 * Validators: whether the client has the current version of a resource, and what that means for its request (RFC 9110 section 13).
 *
 *     If-Match, else If-Unmodified-Since   ->   412 if the client means another version
 *     If-None-Match, else If-Modified-Since ->  304 if the client has this version (412 for a method that would change it)
 *     Range with If-Range                  ->   the range counts only if the client has a part of this version
 *
 * `judge` is the order of section 13.2.2 as one function. It sends nothing, and knows no file.
 *
 * A list of entity tags that does not fit the grammar has no members: If-Match then fails, and If-None-Match does not keep the body from the
 * client. Both are the safe side. A date that cannot be parsed counts as absent (section 13.1.3).
 *
 * Next: byte-range.ts
 */

import { trimBlanks } from '../grammar.ts';
import { parseHttpDate } from './http-date.ts';

/** What a server knows of the current version of a resource. */
export interface Validators {
  /** With its quotes, and with `W/` if it is weak; null if there is none. */
  readonly etag: string | null;
  /** When it was changed, in milliseconds since 1970; null if that is not known. */
  readonly modifiedMs: number | null;
}

/** Field values of a request; null for a field that is absent. */
export interface Conditions {
  readonly method: string;
  readonly ifMatch: string | null;
  readonly ifNoneMatch: string | null;
  readonly ifModifiedSince: string | null;
  readonly ifUnmodifiedSince: string | null;
  readonly ifRange: string | null;
}

/** What follows: go on, and Range counts; go on, and Range does not count; 304; or 412. */
export type Verdict = 'proceed' | 'ignore-range' | 'not-modified' | 'failed';

const SECOND_MS = 1_000;

/** RFC 9110 section 8.8.3: the text in quotes may contain commas, and no blank. */
const ENTITY_TAG = /[ \t]*((?:W\/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,|$)/y;
const EMPTY_MEMBER = /[ \t]*,/y;

/** RFC 9110 section 13.2.2. `nowMs` is when the response is made. */
export function judge(conditions: Conditions, current: Validators, nowMs: number): Verdict {
  const { method, ifMatch, ifNoneMatch, ifModifiedSince, ifUnmodifiedSince } = conditions;
  if (ifMatch !== null) {
    if (!hasTag(ifMatch, current.etag, isSameStrong)) return 'failed';
  } else if (ifUnmodifiedSince !== null && isNewerThan(ifUnmodifiedSince, current, nowMs) === true) return 'failed';

  const isRead = method === 'GET' || method === 'HEAD';
  if (ifNoneMatch !== null) {
    if (hasTag(ifNoneMatch, current.etag, isSameWeak)) return isRead ? 'not-modified' : 'failed';
  } else if (isRead && ifModifiedSince !== null && isNewerThan(ifModifiedSince, current, nowMs) === false) {
    return 'not-modified';
  }

  if (method !== 'GET') return 'ignore-range'; // section 14.2: a range of another method is not defined
  return conditions.ifRange === null || isSamePart(conditions.ifRange, current, nowMs) ? 'proceed' : 'ignore-range';
}

/** Strong comparison (section 8.8.3.2): two weak tags are never equal. */
export function isSameStrong(a: string, b: string): boolean {
  return a === b && !a.startsWith('W/');
}

/** Weak comparison: only the texts in quotes count. */
export function isSameWeak(a: string, b: string): boolean {
  return opaqueOf(a) === opaqueOf(b);
}

/** The members of a list of entity tags; null if the text is not such a list. */
export function parseEntityTags(text: string): string[] | null {
  const tags: string[] = [];
  let at = 0;
  while (at < text.length) {
    ENTITY_TAG.lastIndex = EMPTY_MEMBER.lastIndex = at;
    const tag = ENTITY_TAG.exec(text);
    if (tag !== null) {
      tags.push(tag[1] as string);
      at = ENTITY_TAG.lastIndex;
    } else if (EMPTY_MEMBER.test(text))
      at = EMPTY_MEMBER.lastIndex; // section 5.6.1: an empty member is allowed
    else return trimBlanks(text.slice(at)) === '' ? tags : null;
  }
  return tags;
}

/** Whether the value of If-Match or If-None-Match fits the tag. `*` stands for any version. */
export function hasTag(list: string, etag: string | null, isSame: (a: string, b: string) => boolean): boolean {
  if (trimBlanks(list) === '*') return true;
  return etag !== null && parseEntityTags(list)?.some((tag) => isSame(tag, etag)) === true;
}

/** Null if there is nothing to compare. */
function isNewerThan(date: string, { modifiedMs }: Validators, nowMs: number): boolean | null {
  const ms = parseHttpDate(date, nowMs);
  return ms === null || modifiedMs === null ? null : wholeSecond(modifiedMs) > ms;
}

/**
 * Section 13.1.5: the tag must be the same by strong comparison, or the date exactly the same. A date is strong enough only if it is more than a second ago:
 * within that second the file may have changed again (section 8.8.2.2).
 */
function isSamePart(ifRange: string, { etag, modifiedMs }: Validators, nowMs: number): boolean {
  const value = trimBlanks(ifRange);
  if (value.startsWith('"') || value.startsWith('W/')) return etag !== null && isSameStrong(value, etag);
  const ms = parseHttpDate(value, nowMs);
  return ms !== null && modifiedMs !== null && ms === wholeSecond(modifiedMs) && ms + SECOND_MS <= nowMs;
}

function opaqueOf(tag: string): string {
  return tag.startsWith('W/') ? tag.slice(2) : tag;
}

/** An HTTP-date has no parts of a second. */
function wholeSecond(ms: number): number {
  return ms - (((ms % SECOND_MS) + SECOND_MS) % SECOND_MS);
}
