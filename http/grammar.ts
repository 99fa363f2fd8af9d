/**
 * The character classes of RFC 9110 and 9112, as tables: one look-up per byte.
 *
 * Most attacks on HTTP servers live in the gap between what two programs take for a name, a value or a line end. So each
 * class is written down once, exactly as the RFC has it, and everything that reads or writes a head asks here.
 *
 * Next: status.ts
 */

export const HTAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const COLON = 0x3a;

const BYTES = 256;

function tableOf(accepts: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: BYTES }, (_, byte) => (accepts(byte) ? 1 : 0));
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** RFC 9110 section 5.6.2: what methods, field names and most list members are made of. */
export const isTokenByte = tableOf((byte) => TOKEN.test(String.fromCharCode(byte)));

/**
 * What a request target may hold: visible ASCII, without `#`, for a fragment is never sent. RFC 3986 would forbid some of
 * it (`|`, `"`, `{`), but browsers send that, and no two programs disagree on what it means.
 */
export const isTargetByte = tableOf((byte) => byte > SP && byte < 0x7f && byte !== 0x23);

/** RFC 9110 section 5.5: visible bytes, obs-text, space and tab. Not CR, LF, NUL or any other control byte. */
export const isValueByte = tableOf((byte) => byte === HTAB || (byte >= SP && byte !== 0x7f));

export function isToken(text: string): boolean {
  return TOKEN.test(text);
}

// biome-ignore lint/complexity/useRegexLiterals: as a literal the control characters would be invisible.
const NOT_VALUE = new RegExp('[^\\t\\x20-\\x7e\\x80-\\xff]');

/** Whether text can be sent as a field value or reason phrase, one byte a character: nothing in it can end the line. */
export function isFieldValue(text: string): boolean {
  return !NOT_VALUE.test(text);
}

const REG_NAME = /^(?:[\w\-.~!$&'()*+,;=]|%[0-9a-f]{2})+(?::\d*)?$/i;
const IPV6_LITERAL = /^\[[0-9a-f:.]+\](?::\d*)?$/i;
const LAST_PORT = 65_535;

/**
 * RFC 9112 section 3.2: uri-host [ ":" port ]. An empty one says nothing about which site is meant, and an http URI with
 * an empty host is invalid (RFC 9110 section 4.2.1).
 */
export function isHost(text: string): boolean {
  if (!REG_NAME.test(text) && !(IPV6_LITERAL.test(text) && URL.canParse(`http://${text}`))) return false;
  const port = /:(\d+)$/.exec(text)?.[1];
  return port === undefined || Number(port) <= LAST_PORT;
}

/** Without the spaces and tabs around it. String.trim would take other characters, such as 0xa0, for blanks, too. */
export function trimBlanks(text: string): string {
  // Not a pattern such as /[ \t]+$/, which tries anew at each of a thousand blanks that are not at the end.
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === SP || code === HTAB;
}

/** A member of Upgrade, RFC 9110 section 7.8: protocol-name ["/" protocol-version]. */
export function isProtocol(text: string): boolean {
  const parts = text.split('/');
  return parts.length <= 2 && parts.every(isToken);
}

/**
 * Whether a value of Upgrade names the protocol. Names are compared in any case and versions exactly; `x` does not name `x/1`,
 * for a server must not switch to a protocol that the client did not name.
 */
export function namesProtocol(upgrade: string, protocol: string): boolean {
  const wanted = withLowerCaseName(protocol);
  return upgrade.split(',').some((member) => withLowerCaseName(trimBlanks(member)) === wanted);
}

function withLowerCaseName(protocol: string): string {
  const slash = protocol.indexOf('/');
  return slash === -1 ? protocol.toLowerCase() : protocol.slice(0, slash).toLowerCase() + protocol.slice(slash);
}

/** The members of a comma-separated list of tokens, in lower case, RFC 9110 section 5.6.1: empty ones do not count. */
export function tokensOf(value: string): string[] {
  return value
    .toLowerCase()
    .split(',')
    .map(trimBlanks)
    .filter((member) => member !== '');
}
