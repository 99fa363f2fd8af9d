/**
 * The character classes of RFC 9110 and 9112, as tables: one look-up per byte.
 *
 * Many attacks on HTTP servers use a difference between two programs: each takes something else for a name, a value or a line end.
 * So each class is defined once, as the RFC has it, and all code that reads or writes a head uses these tables.
 *
 * Next: status.ts
 */

export const HTAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const COLON = 0x3a;

const BYTE_VALUES = 256;

function tableOf(accepts: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: BYTE_VALUES }, (_, byte) => (accepts(byte) ? 1 : 0));
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** RFC 9110 section 5.6.2: methods, field names and most list members consist of these. */
export const isTokenByte = tableOf((byte) => TOKEN.test(String.fromCharCode(byte)));

/**
 * The bytes of a request target: visible ASCII except `#`, because a fragment is never sent. RFC 3986 also forbids `|`, `"`, `{` and
 * a few more. They are accepted here, because browsers send them and all programs read them in the same way.
 */
export const isTargetByte = tableOf((byte) => byte > SP && byte < 0x7f && byte !== 0x23);

/** RFC 9110 section 5.5: visible bytes, obs-text, space and tab. Not CR, LF, NUL or any other control byte. */
export const isValueByte = tableOf((byte) => byte === HTAB || (byte >= SP && byte !== 0x7f));

export function isToken(text: string): boolean {
  return TOKEN.test(text);
}

// biome-ignore lint/complexity/useRegexLiterals: as a literal the control characters would be invisible.
const FORBIDDEN_IN_VALUE = new RegExp('[^\\t\\x20-\\x7e\\x80-\\xff]');

/** Whether text can be sent as a field value, one byte a character: no character in it can end the line. */
export function isFieldValue(text: string): boolean {
  return !FORBIDDEN_IN_VALUE.test(text);
}

const REG_NAME = /^(?:[\w\-.~!$&'()*+,;=]|%[0-9a-f]{2})+(?::\d*)?$/i;
const IPV6_LITERAL = /^\[[0-9a-f:.]+\](?::\d*)?$/i;

/**
 * RFC 9112 section 3.2: uri-host [ ":" port ]. An empty host is refused: it does not name a site, and an http URI with an empty
 * host is invalid (RFC 9110 section 4.2.1). So is a host that no URL can have, such as `999.999.999.999` or port 65536: programs make a
 * URL of it (`request.url`), and would throw at what a client has sent.
 */
export function isHost(text: string): boolean {
  return (REG_NAME.test(text) || IPV6_LITERAL.test(text)) && URL.canParse(`http://${text}`);
}

/** Returns the text without the spaces and tabs around it. String.trim also removes other characters, such as 0xa0. */
export function trimBlanks(text: string): string {
  // Not a pattern such as /[ \t]+$/: it takes quadratic time where a thousand blanks are not at the end.
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === SP || code === HTAB;
}

/** Whether the text can be a member of Upgrade, RFC 9110 section 7.8: protocol-name ["/" protocol-version]. */
export function isProtocol(text: string): boolean {
  const parts = text.split('/');
  return parts.length <= 2 && parts.every(isToken);
}

/**
 * Whether a value of Upgrade names the protocol. Upper and lower case are equal in names, not in versions. `x` does not name `x/1`: a
 * server must not switch to a protocol that the client did not name.
 */
export function namesProtocol(upgrade: string, protocol: string): boolean {
  const wanted = withLowerCaseName(protocol);
  return upgrade.split(',').some((member) => withLowerCaseName(trimBlanks(member)) === wanted);
}

function withLowerCaseName(protocol: string): string {
  const slash = protocol.indexOf('/');
  return slash === -1 ? protocol.toLowerCase() : protocol.slice(0, slash).toLowerCase() + protocol.slice(slash);
}

/** The members of a comma-separated list of tokens, in lower case. Empty members are left out (RFC 9110 section 5.6.1). */
export function tokensOf(value: string): string[] {
  return value
    .toLowerCase()
    .split(',')
    .map(trimBlanks)
    .filter((member) => member !== '');
}
