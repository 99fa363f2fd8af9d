/**
 * Where a request's body ends: RFC 9112 section 6.3, in one function.
 *
 * If a proxy and this server disagree on the end of a body, they disagree on the beginning of the next request. An attacker can then hide a
 * request in a body: request smuggling. So each message with an unclear length is refused: Content-Length beside Transfer-Encoding, two
 * different lengths, a length that is not all decimal digits, an unknown transfer coding, and chunked that is not the last coding.
 *
 * Next: request-head.ts
 */

import { isToken, trimBlanks } from '../grammar.ts';

/** Neither Content-Length nor Transfer-Encoding: no body. */
export const NO_BODY = -1;
export const CHUNKED = -2;

/** The length in bytes, NO_BODY or CHUNKED; or the status and reason to refuse the message with. */
export type Framing = number | { readonly status: number; readonly reason: string };

export function isRefusal(framing: Framing): framing is Exclude<Framing, number> {
  return typeof framing === 'object';
}

const refuse = (status: number, reason: string): Framing => ({ status, reason });

/** `contentLengths` and `transferEncodings` are the values of all fields of those names, in order. */
export function framingOf(
  contentLengths: readonly string[],
  transferEncodings: readonly string[],
  minorVersion: number,
  bodyBytes: number,
): Framing {
  if (transferEncodings.length > 0) {
    if (contentLengths.length > 0) return refuse(400, 'both Content-Length and Transfer-Encoding');
    // RFC 9112 section 6.1: HTTP/1.0 does not have it. Some program on the way may have passed it on without using it.
    if (minorVersion === 0) return refuse(400, 'Transfer-Encoding in HTTP/1.0');
    return framingOfCodings(transferEncodings.join(','));
  }
  if (contentLengths.length === 0) return NO_BODY;
  return framingOfLengths(contentLengths.join(','), bodyBytes);
}

function framingOfCodings(codings: string): Framing {
  const list = codings.split(',').map((coding) => trimBlanks(coding).toLowerCase());
  const chunkedAt = list.indexOf('chunked');
  if (chunkedAt === 0 && list.length === 1) return CHUNKED;
  if (list.includes('')) return refuse(400, 'an empty Transfer-Encoding');
  if (chunkedAt !== -1 && chunkedAt !== list.length - 1) return refuse(400, 'chunked is not the last coding');
  if (!list.every(isToken)) {
    return refuse(400, 'a malformed Transfer-Encoding');
  }
  return refuse(501, 'a transfer coding that is not supported');
}

/** RFC 9110 section 8.6: a list of equal values, for example from a proxy that merged two fields, counts as one value. */
function framingOfLengths(lengths: string, bodyBytes: number): Framing {
  const [first = '', ...others] = lengths.split(',').map(trimBlanks);
  if (!/^\d+$/.test(first)) return refuse(400, 'a malformed Content-Length');
  if (others.some((other) => other !== first)) return refuse(400, 'two different Content-Lengths');
  // Compared as digits: 9007199254740993 and 9007199254740992 are equal as numbers. A length above 2^64 is 413, as every other length
  // above the limit, and not 400: it is well-formed (RFC 9110 section 8.6).
  const digits = first.replace(/^0+(?=\d)/, '');
  const limit = String(Math.min(bodyBytes, Number.MAX_SAFE_INTEGER));
  if (digits.length > limit.length || (digits.length === limit.length && digits > limit)) {
    return refuse(413, `a body of more than ${bodyBytes} bytes`);
  }
  return Number(digits);
}
