/**
 * Accept: which of the types that a program can send its client prefers (RFC 9110 section 12.5.1).
 *
 *     preferredType('text/html, application/json;q=0.9', ['text/plain', 'application/json'])     returns 'application/json'
 *
 * The range that fits a type most closely gives its weight: `text/plain;q=0.1, text/*` wants other text more than plain text. Of two types with the same
 * weight, the one of the closer range wins, then the one that the client names first, then the one that the program offers first.
 *
 * Parameters of a type other than q are ignored. A malformed range counts as absent: the field expresses a wish, so a mistake in it is no reason to refuse a request.
 *
 * Next: http-date.ts
 */

import { isToken, trimBlanks } from '../grammar.ts';

interface Range {
  readonly type: string;
  readonly subtype: string;
  /** From 0 to 1000. */
  readonly weight: number;
}

/** How closely a range fits a type; 0 if it does not. */
const ANY = 1;
const ANY_SUBTYPE = 2;
const EXACT = 3;

const FULL_WEIGHT = 1_000;

/** 0.123 or 1.000: at most three digits (RFC 9110 section 12.4.2). */
const WEIGHT = /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/;

/** Returns the type that the client prefers, or null if it accepts none of them. Types are in lower case. Without a field it accepts all. */
export function preferredType(accept: string | null, types: readonly string[]): string | null {
  const ranges = accept === null ? [] : rangesOf(accept);
  if (ranges.length === 0) return types[0] ?? null;
  let best: string | null = null;
  let bestRank: Rank = { weight: 0, fit: 0, at: 0 };
  for (const type of types) {
    const rank = rankOf(type, ranges);
    if (rank.weight > 0 && isBetter(rank, bestRank)) {
      best = type;
      bestRank = rank;
    }
  }
  return best;
}

interface Rank {
  readonly weight: number;
  readonly fit: number;
  /** The index of the range. */
  readonly at: number;
}

function isBetter(a: Rank, b: Rank): boolean {
  if (a.weight !== b.weight) return a.weight > b.weight;
  if (a.fit !== b.fit) return a.fit > b.fit;
  return a.at < b.at;
}

function rankOf(type: string, ranges: readonly Range[]): Rank {
  let rank: Rank = { weight: 0, fit: 0, at: 0 };
  for (const [at, range] of ranges.entries()) {
    const fit = fitOf(type, range);
    if (fit > rank.fit) rank = { weight: range.weight, fit, at };
  }
  return rank;
}

function fitOf(type: string, range: Range): number {
  if (range.type === '*') return ANY;
  const slash = type.indexOf('/');
  if (type.slice(0, slash) !== range.type) return 0;
  if (range.subtype === '*') return ANY_SUBTYPE;
  return type.slice(slash + 1) === range.subtype ? EXACT : 0;
}

function rangesOf(accept: string): Range[] {
  const ranges: Range[] = [];
  for (const member of membersOf(accept, ',')) {
    const range = rangeOf(member);
    if (range !== null) ranges.push(range);
  }
  return ranges;
}

function rangeOf(member: string): Range | null {
  const [media = '', ...parameters] = membersOf(member, ';').map(trimBlanks);
  const [type = '', subtype = '', ...rest] = media.toLowerCase().split('/');
  if (rest.length > 0 || !isToken(type) || !isToken(subtype) || (type === '*' && subtype !== '*')) return null;
  const weight = weightOf(parameters);
  return weight === null ? null : { type, subtype, weight };
}

/** The weight among the parameters of a member, from 0 to 1000; null if it is malformed. */
export function weightOf(parameters: readonly string[]): number | null {
  for (const parameter of parameters) {
    const [name = '', value = ''] = parameter.split('=', 2);
    if (name.toLowerCase() !== 'q') continue;
    return WEIGHT.test(value) ? Math.round(Number(value) * FULL_WEIGHT) : null; // what follows was once an extension of Accept
  }
  return FULL_WEIGHT;
}

/** The members of a list. A separator within a quoted string belongs to a member. */
function membersOf(text: string, separator: string): string[] {
  if (!text.includes('"')) return text.split(separator);
  const members: string[] = [];
  let start = 0;
  let isQuoted = false;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '"') isQuoted = !isQuoted;
    else if (character === '\\' && isQuoted) i++;
    else if (character === separator && !isQuoted) {
      members.push(text.slice(start, i));
      start = i + 1;
    }
  }
  members.push(text.slice(start));
  return members;
}
