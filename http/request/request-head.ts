/**
 * RequestHead: what a request line and its fields mean together. HeadParser checks the syntax, RequestHead checks the rules.
 *
 * The rules: the host (RFC 9112 section 3.2), the form of the target (section 3.2), whether the connection persists (section 9.3), where
 * the body ends (body-framing.ts), and Expect. A head that breaks a rule is refused with a status and a reason. No other file checks
 * an accepted head again.
 *
 * The file is pure but for one cache: the Host that was valid last.
 *
 * Next: body-decoder.ts
 */

import { isHost, tokensOf } from '../grammar.ts';
import { HttpError } from '../http-error.ts';
import { type Framing, framingOf, isRefusal, NO_BODY } from './body-framing.ts';
import { OFFSETS_PER_FIELD } from './field-parser.ts';
import type { HeadParser } from './head-parser.ts';

/** The fields that decide how the message is read. They all differ in length, so a field of another length is skipped at once. */
const controlFields = ['host', 'expect', 'connection', 'content-length', 'transfer-encoding'] as const;
type ControlField = (typeof controlFields)[number];

const controlFieldOfLength: readonly (ControlField | undefined)[] = (() => {
  const byLength: (ControlField | undefined)[] = [];
  for (const name of controlFields) byLength[name.length] = name;
  return byLength;
})();

const MAX_CONTROL_FIELD_LENGTH = 'transfer-encoding'.length;

/** This bit turns an upper-case letter into its lower-case one. */
const LOWER_CASE_BIT = 0x20;

/** The cache. It nearly always hits, because most requests to a server name the same host. */
let lastValidHost: string | null = null;

export class RequestHead {
  readonly method: string;
  /** As it was received. */
  readonly target: string;
  readonly minorVersion: number;
  /** The path of the target, still percent-encoded; `*` for `OPTIONS *`. */
  path: string;
  /** The part of the target after the `?`; '' if there is none. */
  search = '';
  /** The host of the request, with its port: `example.org:8080`. '' if an HTTP/1.0 client sent no Host. */
  authority = '';
  /** The target contains the host, which then replaces Host. */
  isAbsolute = false;
  /** A length, NO_BODY or CHUNKED. */
  framing = NO_BODY;
  /** RFC 9112 section 9.3: `close` takes precedence. HTTP/1.0 persists only if the client asks for it. */
  keepAlive = true;
  /** Connection names keep-alive, which HTTP/1.1 clients need not do. */
  asksKeepAlive = false;
  /** The client waits for `100 Continue` before it sends the body. */
  expectsContinue = false;
  /** Connection names Upgrade. */
  hasConnectionUpgrade = false;
  /** The whole head, from the first byte that the parser read. */
  readonly text: string;
  /** The offset of the field lines. */
  readonly fieldsAt: number;

  /** Throws HttpError for a head that breaks a rule. CONNECT is one, unless the program opens tunnels. */
  constructor(text: string, parser: HeadParser, bodyBytes: number, opensTunnels = false) {
    this.text = text;
    this.fieldsAt = parser.fieldsAt;
    this.method = text.slice(parser.lineStart, parser.methodEnd);
    this.target = text.slice(parser.targetStart, parser.targetEnd);
    this.minorVersion = parser.minorVersion;
    this.path = this.target;
    this.#readFields(parser, bodyBytes);
    this.#readTarget(opensTunnels);
  }

  #readFields(parser: HeadParser, bodyBytes: number): void {
    const { count, offsets } = parser.fields;
    let hosts = 0;
    let connection = '';
    let contentLengths: string[] | null = null;
    let transferEncodings: string[] | null = null;
    for (let i = 0; i < count; i++) {
      const slot = i * OFFSETS_PER_FIELD;
      const start = offsets[slot] as number;
      const length = (offsets[slot + 1] as number) - start;
      if (length > MAX_CONTROL_FIELD_LENGTH) continue;
      const name = controlFieldOfLength[length];
      if (name === undefined || !this.#isAt(start, name)) continue;
      const value = this.text.slice(offsets[slot + 2], offsets[slot + 3]);
      switch (name) {
        case 'host':
          if (++hosts > 1) throw new HttpError(400, 'more than one Host');
          this.#readHost(value);
          break;
        case 'connection':
          if (value === 'keep-alive')
            this.asksKeepAlive = true; // as most clients that say it write it
          else connection += `,${value}`;
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
    if (this.minorVersion === 0 && !this.asksKeepAlive) this.keepAlive = false;
    if (hosts === 0 && this.minorVersion > 0) throw new HttpError(400, 'Host is missing');
    if (contentLengths === null && transferEncodings === null) return;
    const framing: Framing = framingOf(contentLengths ?? [], transferEncodings ?? [], this.minorVersion, bodyBytes);
    if (isRefusal(framing)) throw new HttpError(framing.status, framing.reason);
    this.framing = framing;
  }

  /** Whether the text has that name at that offset, in upper or lower case. The name consists of letters and hyphens. */
  #isAt(start: number, name: string): boolean {
    for (let i = 0; i < name.length; i++) {
      // The bit turns no other token byte into a letter or a hyphen.
      if ((this.text.charCodeAt(start + i) | LOWER_CASE_BIT) !== name.charCodeAt(i)) return false;
    }
    return true;
  }

  #readHost(value: string): void {
    if (value !== lastValidHost) {
      if (!isHost(value)) throw new HttpError(400, 'Host is not a valid host');
      lastValidHost = value;
    }
    this.authority = value;
  }

  #readConnection(tokens: readonly string[]): void {
    if (tokens.includes('keep-alive')) this.asksKeepAlive = true;
    if (tokens.includes('close')) this.keepAlive = false;
    if (tokens.includes('upgrade') && this.minorVersion > 0) this.hasConnectionUpgrade = true;
  }

  #readExpect(value: string): void {
    if (this.minorVersion === 0) return; // RFC 9110 section 10.1.1: Expect is ignored in HTTP/1.0
    if (value.toLowerCase() !== '100-continue') throw new HttpError(417, 'an unknown expectation');
    this.expectsContinue = true;
  }

  /** RFC 9112 section 3.2: origin-form, absolute-form, the asterisk of OPTIONS, and the authority-form of CONNECT. */
  #readTarget(opensTunnels: boolean): void {
    if (this.method === 'CONNECT') {
      if (!opensTunnels) throw new HttpError(501, 'this server opens no tunnels');
      this.#readAuthority();
      return;
    }
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

  /** Reads the target of CONNECT: a host and a port, which is never left out (RFC 9112 section 3.2.3). The host replaces Host. */
  #readAuthority(): void {
    if (!isHost(this.target) || !/:\d+$/.test(this.target))
      throw new HttpError(400, 'the target is not a host and a port');
    this.authority = this.target;
    this.isAbsolute = true;
  }

  /** Reads the host of an absolute target, which replaces Host (RFC 9112 section 3.2.2). Returns the rest of the target. */
  #readAbsolute(target: string): string {
    const match = /^https?:\/\/([^/?]*)(.*)$/i.exec(target);
    if (match === null) throw new HttpError(400, 'the target is not a path');
    const [, authority = '', rest = ''] = match;
    // RFC 9110 section 4.2.4: a user name before the host can make one host look like another.
    if (authority.includes('@')) throw new HttpError(400, 'user information in the target');
    if (!isHost(authority)) throw new HttpError(400, 'the host of the target is not a valid host');
    this.authority = authority;
    this.isAbsolute = true;
    return rest;
  }
}

const SLASH = 0x2f;
