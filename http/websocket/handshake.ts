/**
 * The handshake: whether a request may become a WebSocket, and what the 101 says (RFC 6455 section 4.2).
 *
 *     no Upgrade: websocket               426, and what to ask for
 *     HTTP/1.0, or no Host                400
 *     a method other than GET             405
 *     another version                     426 with Sec-WebSocket-Version: 13, so that the client can try again
 *     a key that is not 16 bytes          400
 *     a page of a foreign origin          403
 *
 * An offer of an extension that cannot be met, or not be read, is declined: the answer does not name it, and the connection goes on without it. The same
 * is true for subprotocols. A client that cannot do without them closes.
 *
 * It is pure: it gets the fields and returns what to answer.
 *
 * Next: shared-message.ts
 */

import { createHash } from 'node:crypto';
import { isToken, namesProtocol, tokensOf, trimBlanks } from '../grammar.ts';
import type { ExtensionOffer } from './message-transform.ts';

const VERSION = '13';

/** Any client that knows this text speaks WebSocket: RFC 6455 section 1.3. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** 16 bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{22}==$/;

const BAD_REQUEST = 400;
const METHOD_NOT_ALLOWED = 405;
const UPGRADE_REQUIRED = 426;

/** A longer offer is not read. */
const MAX_EXTENSION_LENGTH = 2_048;
const MAX_OFFERS = 16;

/** A request that asks for a WebSocket. `field` returns null for a field that is missing, and joins one that comes twice. */
export interface HandshakeRequest {
  readonly method: string;
  readonly httpVersion: string;
  readonly authority: string;
  field(name: string): string | null;
}

/** Why a request does not become a WebSocket. */
export interface HandshakeRefusal {
  readonly status: number;
  readonly message: string;
  readonly fields: Readonly<Record<string, string>>;
}

/** Returns null for a request that may become a WebSocket. Its origin is asked separately. */
export function refusalOfHandshake(request: HandshakeRequest): HandshakeRefusal | null {
  const upgrade = request.field('upgrade');
  if (upgrade === null || !namesProtocol(upgrade, 'websocket')) {
    return refusal(UPGRADE_REQUIRED, 'this resource is a WebSocket', { Upgrade: 'websocket' });
  }
  if (request.httpVersion === '1.0') return refusal(BAD_REQUEST, 'a WebSocket needs HTTP/1.1');
  if (request.authority === '') return refusal(BAD_REQUEST, 'a WebSocket needs Host');
  // RFC 9110 section 7.8: without it, Upgrade is what a proxy has forgotten to remove, or has passed on by half.
  if (!tokensOf(request.field('connection') ?? '').some((token) => token.toLowerCase() === 'upgrade')) {
    return refusal(UPGRADE_REQUIRED, 'Upgrade counts only with Connection: Upgrade', { Upgrade: 'websocket' });
  }
  if (request.method !== 'GET') return refusal(METHOD_NOT_ALLOWED, 'a WebSocket begins with GET', { Allow: 'GET' });
  if (request.field('sec-websocket-version')?.trim() !== VERSION) {
    const fields = { Upgrade: 'websocket', 'Sec-WebSocket-Version': VERSION };
    return refusal(UPGRADE_REQUIRED, `only version ${VERSION} of WebSocket is spoken here`, fields);
  }
  const key = request.field('sec-websocket-key');
  if (key === null || !KEY.test(key)) return refusal(BAD_REQUEST, 'Sec-WebSocket-Key must be 16 bytes in base64');
  return null;
}

function refusal(status: number, message: string, fields: Readonly<Record<string, string>> = {}): HandshakeRefusal {
  return { status, message, fields };
}

/** Sec-WebSocket-Accept: shows the client that the server has understood, and has not just sent back what it got. */
export function acceptOf(key: string): string {
  return createHash('sha1')
    .update(key + GUID)
    .digest('base64');
}

/** Returns the first of `spoken` that the client offers, or '' if it offers none of them. */
export function chooseSubprotocol(offered: string | null, spoken: readonly string[]): string {
  if (offered === null || spoken.length === 0) return '';
  const offers = offered.split(',').map(trimBlanks); // upper and lower case differ in a subprotocol
  return spoken.find((name) => offers.includes(name)) ?? '';
}

/** Whether a page of this origin belongs to the host of the request. The scheme does not count: TLS may end at a proxy. */
export function isSameHost(origin: string, authority: string): boolean {
  if (!URL.canParse(origin)) return false; // `null`, for a page in a sandbox
  const { host } = new URL(origin);
  return host !== '' && host === authority.toLowerCase().replace(/:(?:80|443)$/, '');
}

/** The offers of Sec-WebSocket-Extensions, in the order in which the client prefers them. None if the field cannot be read (section 9.1). */
export function parseExtensions(field: string | null): readonly ExtensionOffer[] {
  if (field === null || field.length > MAX_EXTENSION_LENGTH) return [];
  const offers: ExtensionOffer[] = [];
  for (const part of splitOutsideQuotes(field, ',')) {
    const [name = '', ...parameters] = splitOutsideQuotes(part, ';');
    if (name === '' && parameters.length === 0) continue; // RFC 9110 section 5.6.1: empty elements of a list are ignored
    const parsed = parameters.map(parseParameter);
    if (!isToken(name) || offers.length === MAX_OFFERS) return [];
    if (!parsed.every((parameter) => parameter !== null)) return [];
    offers.push({ name, parameters: parsed });
  }
  return offers;
}

function parseParameter(text: string): readonly [string, string | true] | null {
  const [, name = '', value] = /^([^\s=]+)(?:\s*=\s*(.*))?$/s.exec(text) ?? [];
  if (!isToken(name)) return null;
  if (value === undefined) return [name, true];
  // A quoted value must be a token once its quotes are gone (section 9.1).
  const unquoted = /^"(.*)"$/s.exec(value)?.[1]?.replace(/\\(.)/gs, '$1') ?? value;
  return isToken(unquoted) ? [name, unquoted] : null;
}

/** A comma or a semicolon within quotes does not end a part. */
function splitOutsideQuotes(text: string, separator: ',' | ';'): string[] {
  const parts: string[] = [];
  let start = 0;
  let isQuoted = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '\\' && isQuoted) at++;
    else if (char === '"') isQuoted = !isQuoted;
    else if (char === separator && !isQuoted) {
      parts.push(text.slice(start, at).trim());
      start = at + 1;
    }
  }
  parts.push(text.slice(start).trim());
  return parts;
}
