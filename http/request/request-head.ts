/**
 * RequestHead: what a request line and its fields mean together. The parser knows the syntax; here are the rules.
 *
 * Which host is meant (RFC 9112 section 3.2), which of the four forms the target has, whether the connection persists
 * (section 9.3), where the body ends (body-framing.ts), what the client expects. A head that breaks a rule is refused with a
 * status and a reason; what is accepted here needs no second look.
 *
 * Next: body-decoder.ts
 */

import { isHost, tokensOf } from '../grammar.ts';
import { HttpError } from '../http-error.ts';
import { type Framing, framingOf, isRefusal, NO_BODY } from './body-framing.ts';
import { OFFSETS } from './field-parser.ts';
import type { HeadParser } from './head-parser.ts';

/** Fields that say how the message is to be read, by their length: only these are looked at here. */
const controlFields = ['host', 'expect', 'connection', 'content-length', 'transfer-encoding'] as const;
type ControlField = (typeof controlFields)[number];

const controlFieldOfLength: readonly (ControlField | undefined)[] = (() => {
  const byLength: (ControlField | undefined)[] = [];
  for (const name of controlFields) byLength[name.length] = name;
  return byLength;
})();

const LONGEST_CONTROL_FIELD = 'transfer-encoding'.length;

/** The bit that makes a lower-case letter of any. */
const LOWER_CASE = 0x20;

/** The host that was valid last: a server mostly hears its own name, and then need not check it again. */
let lastValidHost: string | null = null;

export class RequestHead {
  readonly method: string;
  /** As it was sent. */
  readonly target: string;
  readonly minorVersion: number;
  /** The path of the target, still percent-encoded; `*` for `OPTIONS *`. */
  path: string;
  /** What follows the `?`, without it; '' where there is none. */
  search = '';
  /** Whom the request is for: `example.org:8080`. '' where an HTTP/1.0 client did not say. */
  authority = '';
  /** The target named the host itself, and Host does not count. */
  isAbsolute = false;
  /** A length, NO_BODY or CHUNKED. */
  framing = NO_BODY;
  keepAlive: boolean;
  /** The client waits for `100 Continue` before it sends the body. */
  expectsContinue = false;
  /** Connection names Upgrade: the client would like another protocol. */
  wantsUpgrade = false;
  /** The whole head, from the first byte that the parser saw. */
  readonly text: string;
  /** Where its fields begin. */
  readonly fieldsAt: number;

  /** Throws HttpError for a head that breaks a rule. */
  constructor(text: string, parser: HeadParser, bodyBytes: number) {
    this.text = text;
    this.fieldsAt = parser.fieldsAt;
    this.method = text.slice(parser.lineStart, parser.methodEnd);
    this.target = text.slice(parser.targetStart, parser.targetEnd);
    this.minorVersion = parser.minorVersion;
    this.keepAlive = parser.minorVersion > 0;
    this.path = this.target;
    this.#readFields(parser, bodyBytes);
    this.#readTarget();
  }

  #readFields(parser: HeadParser, bodyBytes: number): void {
    const { count, offsets } = parser.fields;
    let hosts = 0;
    let connection = '';
    let contentLengths: string[] | null = null;
    let transferEncodings: string[] | null = null;
    for (let i = 0; i < count; i++) {
      const slot = i * OFFSETS;
      const start = offsets[slot] as number;
      const length = (offsets[slot + 1] as number) - start;
      if (length > LONGEST_CONTROL_FIELD) continue;
      const name = controlFieldOfLength[length];
      if (name === undefined || !this.#isAt(start, name)) continue;
      const value = this.text.slice(offsets[slot + 2], offsets[slot + 3]);
      switch (name) {
        case 'host':
          if (++hosts > 1) throw new HttpError(400, 'more than one Host');
          this.#readHost(value);
          break;
        case 'connection':
          if (value !== 'keep-alive' || this.minorVersion === 0) connection += `,${value}`; // what 1.1 does anyway
          break;
        case 'content-length':
          contentLengths = [...(contentLengths ?? []), value];
          break;
        case 'transfer-encoding':
          transferEncodings = [...(transferEncodings ?? []), value];
          break;
        default:
          this.#readExpect(value);
      }
    }
    if (connection !== '') this.#readConnection(tokensOf(connection));
    if (hosts === 0 && this.minorVersion > 0) throw new HttpError(400, 'Host is missing');
    if (contentLengths === null && transferEncodings === null) return;
    const framing: Framing = framingOf(contentLengths ?? [], transferEncodings ?? [], this.minorVersion, bodyBytes);
    if (isRefusal(framing)) throw new HttpError(framing.status, framing.reason);
    this.framing = framing;
  }

  /** Whether that name of letters and hyphens is there in the text, in any case. */
  #isAt(start: number, name: string): boolean {
    for (let i = 0; i < name.length; i++) {
      // No other byte of a token becomes a letter or a hyphen so.
      if ((this.text.charCodeAt(start + i) | LOWER_CASE) !== name.charCodeAt(i)) return false;
    }
    return true;
  }

  #readHost(value: string): void {
    if (value !== lastValidHost) {
      if (!isHost(value)) throw new HttpError(400, 'Host is no host');
      lastValidHost = value;
    }
    this.authority = value;
  }

  #readConnection(tokens: readonly string[]): void {
    // RFC 9112 section 9.3: close wins over all; 1.0 persists only where the client asks for it.
    if (this.minorVersion === 0) this.keepAlive = tokens.includes('keep-alive');
    if (tokens.includes('close')) this.keepAlive = false;
    if (tokens.includes('upgrade') && this.minorVersion > 0) this.wantsUpgrade = true;
  }

  #readExpect(value: string): void {
    if (this.minorVersion === 0) return; // RFC 9110 section 10.1.1: HTTP/1.0 knows no expectations
    if (value.toLowerCase() !== '100-continue') throw new HttpError(417, 'an unknown expectation');
    this.expectsContinue = true;
  }

  /** RFC 9112 section 3.2: origin-form, absolute-form, and the asterisk of OPTIONS. CONNECT has no place here. */
  #readTarget(): void {
    if (this.method === 'CONNECT') throw new HttpError(501, 'this server opens no tunnels');
    let target = this.target;
    if (target.charCodeAt(0) !== SLASH) {
      if (target === '*' && this.method === 'OPTIONS') return;
      target = this.#readAbsolute(target);
      if (target === '' && this.method === 'OPTIONS') target = '*';
      else if (!target.startsWith('/')) target = `/${target}`;
    }
    const query = target.indexOf('?');
    this.path = query === -1 ? target : target.slice(0, query);
    if (query !== -1) this.search = target.slice(query + 1);
  }

  /** An absolute target names the host itself, and its word counts, RFC 9112 section 3.2.2. Answers the rest of it. */
  #readAbsolute(target: string): string {
    const match = /^https?:\/\/([^/?]*)(.*)$/i.exec(target);
    if (match === null) throw new HttpError(400, 'the target is no path');
    const [, authority = '', rest = ''] = match;
    // User names and passwords there are a way to make one host look like another, RFC 9110 section 4.2.4.
    if (authority.includes('@')) throw new HttpError(400, 'user information in the target');
    if (!isHost(authority)) throw new HttpError(400, 'the host of the target is no host');
    this.authority = authority;
    this.isAbsolute = true;
    return rest;
  }
}

const SLASH = 0x2f;
