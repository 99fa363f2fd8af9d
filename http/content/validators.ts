/**
 * Validators: entity tags, and whether two of them name the same version of a resource (RFC 9110 sections 8.8.3 and 13.1.2).
 *
 * A list of entity tags that does not fit the grammar has no members: If-None-Match then does not keep the body from the client, which is the
 * safe side.
 *
 * Next: ../handlers/etag.ts
 */

import { trimBlanks } from '../grammar.ts';

/** RFC 9110 section 8.8.3: the text in quotes may contain commas, and no blank. */
const ENTITY_TAG = /[ \t]*((?:W\/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,|$)/y;
const EMPTY_MEMBER = /[ \t]*,/y;

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

function opaqueOf(tag: string): string {
  return tag.startsWith('W/') ? tag.slice(2) : tag;
}
