/**
 * DeflateAgreement: what a client and this server agree on for permessage-deflate (RFC 7692 section 7.1).
 *
 *     offer      permessage-deflate; client_max_window_bits
 *     answer     permessage-deflate; server_max_window_bits=12; client_max_window_bits=12
 *
 * A side compresses with the bytes of its earlier messages as a dictionary: its context, at most one window long. Both sides keep it, so it costs memory for
 * each connection. A window is limited by its bits; without context takeover each message begins with nothing.
 *
 * The server may limit its own window and its own context, whatever the client offers. It may ask the client for no context takeover, too. It may limit the
 * window of the client only if the offer says that the client can do so (section 7.1.2.2). A client that cannot, such as Firefox, is asked for no context takeover
 * instead: so what a connection holds is bounded without declining anybody.
 *
 * An offer that this server cannot meet or does not understand is declined, and the next one is tried. If none is left, the connection has no extension. It is never
 * refused for an offer (section 7).
 *
 * Next: context-window.ts
 */

import type { ExtensionOffer } from './message-transform.ts';

const NAME = 'permessage-deflate';
const SERVER_BITS = 'server_max_window_bits';
const CLIENT_BITS = 'client_max_window_bits';
const SERVER_RESETS = 'server_no_context_takeover';
const CLIENT_RESETS = 'client_no_context_takeover';

/** RFC 7692 section 7.1.2: without leading zeros. */
const WINDOW_BITS = /^(?:[89]|1[0-5])$/;
export const MAX_WINDOW_BITS = 15;
/** zlib compresses with a window of 512 bytes where 256 are asked for, so a client with 256 could not decompress. */
export const MIN_SERVER_WINDOW_BITS = 9;

/** The windows of both sides, and who keeps a context: as a server wants it, or as both have agreed. */
export interface DeflateTerms {
  /** The window of what the server sends. */
  readonly serverBits: number;
  /** The window of what the client sends. */
  readonly clientBits: number;
  readonly serverKeepsContext: boolean;
  readonly clientKeepsContext: boolean;
}

export interface DeflateAgreement extends DeflateTerms {
  /** The field Sec-WebSocket-Extensions of the answer. */
  readonly answer: string;
}

/** Returns what is agreed on, or null if the connection does without. */
export function agreeOnDeflate(offers: readonly ExtensionOffer[], wanted: DeflateTerms): DeflateAgreement | null {
  for (const offer of offers) {
    const agreement = offer.name === NAME ? meet(offer, wanted) : null;
    if (agreement !== null) return agreement;
  }
  return null;
}

/** Returns null if the offer is declined. */
function meet(offer: ExtensionOffer, wanted: DeflateTerms): DeflateAgreement | null {
  const offered = new Map(offer.parameters);
  if (offered.size < offer.parameters.length) return null; // a name twice
  for (const [name, value] of offered) if (!isDefined(name, value)) return null;
  const serverLimit = Number(offered.get(SERVER_BITS) ?? MAX_WINDOW_BITS);
  if (serverLimit < MIN_SERVER_WINDOW_BITS) return null;
  const canLimitClient = offered.has(CLIENT_BITS);
  const clientLimit = offered.get(CLIENT_BITS);
  const terms: DeflateTerms = {
    serverBits: Math.min(serverLimit, wanted.serverBits),
    clientBits: canLimitClient
      ? Math.min(typeof clientLimit === 'string' ? Number(clientLimit) : MAX_WINDOW_BITS, wanted.clientBits)
      : MAX_WINDOW_BITS,
    serverKeepsContext: wanted.serverKeepsContext && !offered.has(SERVER_RESETS),
    clientKeepsContext:
      wanted.clientKeepsContext &&
      !offered.has(CLIENT_RESETS) &&
      (canLimitClient || wanted.clientBits === MAX_WINDOW_BITS),
  };
  return { ...terms, answer: answerTo(offered, terms) };
}

/** Whether section 7.1 defines the parameter, with such a value, for an offer. */
function isDefined(name: string, value: string | true): boolean {
  if (name === SERVER_RESETS || name === CLIENT_RESETS) return value === true;
  if (name === CLIENT_BITS && value === true) return true; // the client can limit its window to what the server says
  return (name === CLIENT_BITS || name === SERVER_BITS) && value !== true && WINDOW_BITS.test(value);
}

/** An offer that limits the window of the server is accepted by naming the limit (section 7.1.2.1). All other limits are named if they are below the maximum. */
function answerTo(offered: ReadonlyMap<string, unknown>, terms: DeflateTerms): string {
  const { serverBits, clientBits } = terms;
  const parts = [NAME];
  if (!terms.serverKeepsContext) parts.push(SERVER_RESETS);
  if (!terms.clientKeepsContext) parts.push(CLIENT_RESETS);
  if (serverBits < MAX_WINDOW_BITS || offered.has(SERVER_BITS)) parts.push(`${SERVER_BITS}=${serverBits}`);
  if (clientBits < MAX_WINDOW_BITS) parts.push(`${CLIENT_BITS}=${clientBits}`);
  return parts.join('; ');
}
