/**
 * What proxies say of a client: Forwarded (RFC 7239) and X-Forwarded-For, read from the right. Pure syntax: trusted-proxies.ts judges who is believed.
 *
 *     Forwarded: for=192.0.2.43;proto=https, for="[2001:db8:cafe::17]:4711"
 *     X-Forwarded-For: 192.0.2.43, 2001:db8:cafe::17
 *
 * Each proxy adds what it knows at the right end. All that stands left of it comes from somebody else, in the end from a client that may send anything, also a quote that
 * is never closed. A reader from the left would take the words of the proxy for a part of that text. So an element is cut off at the right end, checked by
 * itself, and what is left of a damaged one is not read.
 *
 * Next: ../request/trusted-proxies.ts
 */

import { isHost, trimBlanks } from '../grammar.ts';

/** What a proxy says of the side from which it got the request. Null for what it does not say, or not in a form that can be used. */
export interface ForwardedElement {
  /** The address as text: it has no brackets and no port, and need not be an address at all. Null for `unknown` and for hidden names (`_x`). */
  readonly address: string | null;
  readonly scheme: 'http' | 'https' | null;
  readonly host: string | null;
}

/** The elements of Forwarded from the right, up to the first one that is not well formed. */
export function* forwardedFromRight(value: string): Generator<ForwardedElement, void, undefined> {
  for (let end = value.length; end >= 0; ) {
    const start = startOfElement(value, end);
    const text = trimBlanks(value.slice(start, end));
    const element = text === '' ? null : elementOf(text);
    if (element !== null) yield element;
    else if (text !== '') return;
    end = start - 1;
  }
}

/** The members of a list without quotes (X-Forwarded-...) from the right, empty ones left out. */
export function* membersFromRight(value: string): Generator<string, void, undefined> {
  for (let end = value.length; end >= 0; ) {
    const comma = end === 0 ? -1 : value.lastIndexOf(',', end - 1);
    const member = trimBlanks(value.slice(comma + 1, end));
    if (member !== '') yield member;
    end = comma;
  }
}

/** Behind the last comma before `end` that is not in a quoted text. */
function startOfElement(value: string, end: number): number {
  for (let at = end - 1; at >= 0; at--) {
    if (value[at] === ',') return at + 1;
    if (value[at] === '"') at = openingQuote(value, at);
  }
  return 0;
}

/** The quote that opens the text which ends at `closing`; -1 if there is none. */
function openingQuote(value: string, closing: number): number {
  for (let at = closing - 1; at >= 0; at--) if (value[at] === '"' && !isEscaped(value, at)) return at;
  return -1;
}

/** An odd number of backslashes stands before it. */
function isEscaped(value: string, at: number): boolean {
  let first = at;
  while (first > 0 && value[first - 1] === '\\') first--;
  return (at - first) % 2 === 1;
}

/** RFC 7239 section 4: token "=" ( token | quoted-string ), and blanks around `;`, which some proxies send. */
const PAIR = /[ \t]*(?:([!#$%&'*+\-.^_`|~\w]+)=(?:([!#$%&'*+\-.^_`|~\w]+)|"((?:[^"\\]|\\.)*)")[ \t]*)?(;|$)/y;

function elementOf(text: string): ForwardedElement | null {
  const said = new Map<string, string>();
  PAIR.lastIndex = 0;
  for (;;) {
    const [whole, name, token, quoted = '', separator] = PAIR.exec(text) ?? [];
    if (whole === undefined) return null;
    if (name !== undefined) {
      const key = name.toLowerCase();
      if (said.has(key)) return null; // "each parameter MUST NOT occur more than once"
      said.set(key, token ?? quoted.replace(/\\(.)/g, '$1'));
    }
    if (separator === '') break;
  }
  return {
    address: addressOfNode(said.get('for') ?? ''),
    scheme: schemeOf(said.get('proto') ?? ''),
    host: hostOf(said.get('host') ?? ''),
  };
}

/**
 * RFC 7239 section 6: IPv4, `[IPv6]`, either with a port; also IPv6 without brackets, as X-Forwarded-For has it. Null for anything else: it may be `unknown`, or a
 * name that hides the address.
 */
export function addressOfNode(node: string): string | null {
  const bracketed = /^\[([\da-f:.]+)\](?::(?:\d{1,5}|_[\w.-]+))?$/i.exec(node);
  if (bracketed !== null) return bracketed[1] as string;
  const dotted = /^(\d+\.\d+\.\d+\.\d+)(?::(?:\d{1,5}|_[\w.-]+))?$/.exec(node);
  if (dotted !== null) return dotted[1] as string;
  return /^[\da-f]*:[\da-f:.]+$/i.test(node) ? node : null;
}

/** 'http' or 'https'; null for anything else. */
export function schemeOf(text: string): 'http' | 'https' | null {
  const scheme = text.toLowerCase();
  return scheme === 'http' || scheme === 'https' ? scheme : null;
}

/** The host, if a URL can have it; else null. */
export function hostOf(text: string): string | null {
  return isHost(text) ? text : null;
}
