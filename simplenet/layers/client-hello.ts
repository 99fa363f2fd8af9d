/**
 * decodeClientHello: the first message of a TLS client, read by hand before OpenSSL sees a byte (RFC 8446 section 4.1.2). Pure.
 *
 *     record           | 22 | 3, 1 | length |  fragment: a message, or a part of one       RFC 8446 section 5.1
 *     handshake        | 1 | length, 3 bytes | body
 *     body             | 3, 3 | random, 32 | session id | cipher suites | compression | extensions
 *     extension        | type | length | data
 *
 * The server must choose a certificate before it can answer, and the name that it is asked for is in here. It is not encrypted, and not
 * authenticated either: anyone can ask for any name. So the name chooses a certificate, and nothing else may depend on it.
 *
 * The bytes come from strangers, so each length is compared with what is there, a hello is bounded in bytes and in records, and nothing is
 * thrown. An incomplete hello costs a look at the headers of its records, also if it comes byte by byte. OpenSSL reads the same bytes
 * once more and checks what is not read here: ciphers, groups, key shares.
 *
 * Next: server-names.ts
 */

/** What a client offers, and what it asks for. */
export interface ClientHello {
  /** The host name it wants to reach, in lower case; null if it names none. An IP address is not a name (RFC 6066 section 3). */
  readonly serverName: string | null;
  /** The protocols that it offers (ALPN, RFC 7301), its favourite first; empty if it does not use the extension. */
  readonly protocols: readonly string[];
  /** The versions that it offers: 0x0304 is TLS 1.3. Values that are unknown here are in the list, because clients send some on purpose (RFC 8701). */
  readonly versions: readonly number[];
  /** The version that it would have offered before TLS 1.3, 0x0303 in most hellos. */
  readonly legacyVersion: number;
  /** Whether it offers to continue a session: by a ticket (RFC 5077) or by a pre-shared key (RFC 8446 section 4.2.11). */
  readonly offersResumption: boolean;
}

/** Why no handshake can begin with these bytes. */
export interface HelloFault {
  /** The alert to send (RFC 8446 section 6); null if the bytes are not TLS at all, because whoever sent them cannot read an alert. */
  readonly alert: number | null;
  readonly reason: string;
}

/** Alerts, by their names in RFC 8446 section 6. */
export const UNEXPECTED_MESSAGE = 10;
export const RECORD_OVERFLOW = 22;
export const ILLEGAL_PARAMETER = 47;
export const DECODE_ERROR = 50;
export const PROTOCOL_VERSION = 70;
export const UNRECOGNIZED_NAME = 112;

export const TLS_1_2 = 0x0303;
export const TLS_1_3 = 0x0304;

/** The largest message. A browser's has 2 KB, with a key share that withstands quantum computers; tickets may add some KB. */
export const MAX_CLIENT_HELLO_BYTES = 32_768;

/** A hello of this size needs two full records. Some clients cut small ones, so that filters on the way do not find the name. */
export const MAX_CLIENT_HELLO_RECORDS = 16;

/** RFC 8446 section 5.1. */
const MAX_FRAGMENT_BYTES = 16_384;

const RECORD_HEADER_BYTES = 5;
const MESSAGE_HEADER_BYTES = 4;
const RANDOM_BYTES = 32;
const MAX_SESSION_ID_BYTES = 32;

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
/** The first byte of the version of a record, whatever the version of TLS. */
const MAJOR_VERSION = 3;
const NO_COMPRESSION = 0;

// Extensions.
const SERVER_NAME = 0;
const ALPN = 16;
const SESSION_TICKET = 35;
const PRE_SHARED_KEY = 41;
const SUPPORTED_VERSIONS = 43;

const HOST_NAME = 0;
/** RFC 1035 section 2.3.4: 255 bytes as DNS sends it, which leaves 253 for the text. */
const MAX_NAME_LENGTH = 253;
/** Labels of letters, digits and hyphens (RFC 5890 section 2.3.1), and of underscores, which some names in use have. */
const HOST_NAME_PATTERN = /^(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*$/;
/** The URL standard takes a host for an IPv4 address if its last label is a number. */
const IP_ADDRESS = /(?:^|\.)(?:\d+|0x[0-9a-f]*)$|:/;

const notTls: HelloFault = { alert: null, reason: 'these bytes are not TLS' };

/**
 * Decodes the first bytes of a connection, bytes[0..length). Returns null if the hello is incomplete, and a fault if no further byte can make it
 * a hello.
 */
export function decodeClientHello(bytes: Uint8Array, length = bytes.length): ClientHello | HelloFault | null {
  const message = gather(bytes.subarray(0, length));
  return message instanceof Uint8Array ? decodeBody(message) : message;
}

/** The body of the message, without the headers of its records. */
function gather(bytes: Uint8Array): Uint8Array | HelloFault | null {
  const fragments: Uint8Array[] = [];
  const header: number[] = [];
  let gathered = 0;
  let at = 0;
  for (let records = 0; records < MAX_CLIENT_HELLO_RECORDS; records++) {
    const [type, major, , high, low] = bytes.subarray(at, at + RECORD_HEADER_BYTES);
    if (type === undefined) return null;
    if (type !== HANDSHAKE)
      return at === 0 ? notTls : fault(UNEXPECTED_MESSAGE, 'a record inside the hello is no part of it');
    if (major === undefined) return null;
    if (major !== MAJOR_VERSION) return at === 0 ? notTls : fault(PROTOCOL_VERSION, 'a record has an unknown version');
    if (high === undefined || low === undefined) return null;
    const size = high * 256 + low;
    // RFC 8446 section 5.1 forbids empty fragments: a client could send any number of them.
    if (size === 0) return fault(DECODE_ERROR, 'a record is empty');
    if (size > MAX_FRAGMENT_BYTES) return fault(RECORD_OVERFLOW, 'a record is too long');
    const start = at + RECORD_HEADER_BYTES;
    const fragment = bytes.subarray(start, start + size);
    header.push(...fragment.subarray(0, MESSAGE_HEADER_BYTES - header.length));
    const needed = messageBytes(header);
    if (typeof needed === 'object') return needed;
    fragments.push(fragment);
    gathered += fragment.length;
    if (gathered >= needed) return joined(fragments).subarray(MESSAGE_HEADER_BYTES, needed);
    if (fragment.length < size) return null;
    at = start + size;
  }
  return fault(ILLEGAL_PARAMETER, `the hello is in more than ${MAX_CLIENT_HELLO_RECORDS} records`);
}

/** How long the message is, header included, from as much of its header as is there; Infinity if that is too little. */
function messageBytes([type, high, middle, low]: readonly number[]): number | HelloFault {
  if (type !== undefined && type !== CLIENT_HELLO) return fault(UNEXPECTED_MESSAGE, 'the first message is not a hello');
  if (high === undefined || middle === undefined || low === undefined) return Number.POSITIVE_INFINITY;
  const length = MESSAGE_HEADER_BYTES + high * 65_536 + middle * 256 + low;
  if (length <= MAX_CLIENT_HELLO_BYTES) return length;
  return fault(ILLEGAL_PARAMETER, `the hello is longer than ${MAX_CLIENT_HELLO_BYTES} bytes`);
}

function joined(fragments: readonly Uint8Array[]): Uint8Array {
  const [only] = fragments;
  return fragments.length === 1 && only !== undefined ? only : Buffer.concat(fragments);
}

function decodeBody(body: Uint8Array): ClientHello | HelloFault {
  const reader = new VectorReader(body);
  const legacyVersion = reader.number(2);
  reader.take(RANDOM_BYTES);
  const sessionId = reader.vector(1);
  const cipherSuites = reader.vector(2);
  const compression = reader.vector(1);
  if (reader.isBroken) return fault(DECODE_ERROR, 'the hello ends too early');
  if (sessionId.length > MAX_SESSION_ID_BYTES) return fault(DECODE_ERROR, 'the session id is too long');
  if (cipherSuites.length === 0 || cipherSuites.length % 2 === 1)
    return fault(DECODE_ERROR, 'there is no list of ciphers');
  if (!compression.includes(NO_COMPRESSION)) return fault(ILLEGAL_PARAMETER, 'the hello demands compression');
  // Before TLS 1.3 a hello may end here.
  const extensions = reader.isAtEnd ? new Uint8Array(0) : reader.vector(2);
  if (reader.isBroken || !reader.isAtEnd) return fault(DECODE_ERROR, 'the length of the extensions is wrong');
  return decodeExtensions(extensions, legacyVersion);
}

function decodeExtensions(extensions: Uint8Array, legacyVersion: number): ClientHello | HelloFault {
  const seen = new Set<number>();
  let serverName: string | null = null;
  let protocols: readonly string[] = [];
  let versions: readonly number[] = [legacyVersion];
  let offersResumption = false;
  const reader = new VectorReader(extensions);
  while (!reader.isAtEnd) {
    // RFC 8446 section 4.2.11: what stands behind it would not be covered by its proof.
    if (seen.has(PRE_SHARED_KEY)) return fault(ILLEGAL_PARAMETER, 'the pre-shared key is not the last extension');
    const type = reader.number(2);
    const data = reader.vector(2);
    if (reader.isBroken) return fault(DECODE_ERROR, 'an extension ends too early');
    if (seen.has(type)) return fault(ILLEGAL_PARAMETER, 'an extension comes twice');
    seen.add(type);
    if (type === SERVER_NAME) {
      const name = serverNameFrom(data);
      if (name !== null && typeof name === 'object') return name;
      serverName = name;
    } else if (type === ALPN) {
      const names = protocolsFrom(data);
      if (names === null) return fault(DECODE_ERROR, 'the list of protocols is malformed');
      protocols = names;
    } else if (type === SUPPORTED_VERSIONS) {
      const offered = versionsFrom(data);
      if (offered === null) return fault(DECODE_ERROR, 'the list of versions is malformed');
      versions = offered;
    } else if (type === PRE_SHARED_KEY || (type === SESSION_TICKET && data.length > 0)) {
      offersResumption = true;
    }
  }
  return { serverName, protocols, versions, legacyVersion, offersResumption };
}

/**
 * RFC 6066 section 3. A list with one host name: other types of names were never defined, so a list with one has no known form. An address
 * is not allowed and is sent by some clients all the same; it asks for no name.
 */
function serverNameFrom(data: Uint8Array): string | null | HelloFault {
  const whole = new VectorReader(data);
  const list = new VectorReader(whole.vector(2));
  const type = list.number(1);
  const bytes = list.vector(2);
  const isWellFormed = !whole.isBroken && whole.isAtEnd && !list.isBroken && list.isAtEnd && type === HOST_NAME;
  if (!isWellFormed || bytes.length === 0) return fault(DECODE_ERROR, 'the server name is malformed');
  const name = textOf(bytes).toLowerCase().replace(/\.$/, '');
  if (IP_ADDRESS.test(name)) return null;
  if (name.length <= MAX_NAME_LENGTH && HOST_NAME_PATTERN.test(name)) return name;
  return fault(UNRECOGNIZED_NAME, 'the server name is not a host name');
}

/** RFC 7301 section 3.1. */
function protocolsFrom(data: Uint8Array): readonly string[] | null {
  const whole = new VectorReader(data);
  const list = new VectorReader(whole.vector(2));
  if (whole.isBroken || !whole.isAtEnd || list.isAtEnd) return null;
  const names: string[] = [];
  while (!list.isAtEnd) {
    const name = list.vector(1);
    if (list.isBroken || name.length === 0) return null;
    names.push(textOf(name));
  }
  return names;
}

/** RFC 8446 section 4.2.1. */
function versionsFrom(data: Uint8Array): readonly number[] | null {
  const whole = new VectorReader(data);
  const list = new VectorReader(whole.vector(1));
  if (whole.isBroken || !whole.isAtEnd || list.isAtEnd) return null;
  const versions: number[] = [];
  while (!list.isAtEnd) versions.push(list.number(2));
  return list.isBroken ? null : versions;
}

/** One character for each byte. */
function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

function fault(alert: number, reason: string): HelloFault {
  return { alert, reason };
}

/**
 * Reads numbers, and vectors with their length in front, from the first byte to the last. It never reads beyond the end: a value that is not there whole
 * makes the reader broken, and counts as 0 or empty.
 */
class VectorReader {
  isBroken = false;
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** The next `count` bytes; none if there are fewer. A reader that is broken is at its end. */
  take(count: number): Uint8Array {
    const end = this.#at + count;
    if (end > this.#bytes.length) {
      this.isBroken = true;
      this.#at = this.#bytes.length;
      return this.#bytes.subarray(this.#at);
    }
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  /** A number in network byte order. */
  number(byteLength: number): number {
    return this.take(byteLength).reduce((value, byte) => value * 256 + byte, 0);
  }

  vector(lengthBytes: number): Uint8Array {
    return this.take(this.number(lengthBytes));
  }
}
