/**
 * secureHeaders: a middleware that sets the fields by which a browser protects the users of a site. Each can be replaced, or switched off with false.
 *
 * The fields are set before the handler runs: it may replace one for its own answer, and error answers have them too. docs/api.md says what each field is
 * for. Fields for browsers that are gone are left out: X-XSS-Protection, X-Download-Options and X-Permitted-Cross-Domain-Policies.
 *
 * Next: etag.ts
 */

import { randomFillSync } from 'node:crypto';
import { type PolicyDirectives, securityPolicyFrom } from '../content/security-policy.ts';
import { isFieldValue } from '../grammar.ts';
import type { HttpRequest, Middleware } from '../handler.ts';
import { checkOptionNames, described } from '../nearest-name.ts';
import { StateKey } from '../request/request-state.ts';
import type { FieldLine } from '../response/response-fields.ts';

/**
 * The fields of `secureHeaders`: the value of each, or false for none.
 *
 * ```ts
 * import { Router, type SecureHeadersOptions, secureHeaders } from 'simplenet/http';
 *
 * const options: SecureHeadersOptions = { xFrameOptions: 'DENY', crossOriginResourcePolicy: false };
 * new Router().use(secureHeaders(options));
 * ```
 */
export interface SecureHeadersOptions {
  /** Directives that are added to the default ones or replace them; false sends no policy. */
  readonly contentSecurityPolicy?: PolicyDirectives | false;
  /** Each request gets a nonce for its scripts and styles: `request.state.get(CSP_NONCE)`. False unless given. */
  readonly nonce?: boolean;
  /** The browser reports what the policy would have blocked, and blocks nothing. False unless given. */
  readonly reportOnly?: boolean;
  /** The site is reached by https alone from now on. Sent over https alone, unless a value is given: a proxy in front may be what speaks TLS. */
  readonly strictTransportSecurity?: string | false;
  /** The browser believes Content-Type, and does not guess. */
  readonly xContentTypeOptions?: string | false;
  /** Other sites are not told where their visitors come from. */
  readonly referrerPolicy?: string | false;
  /** Windows of other origins do not get a handle on those of this site. */
  readonly crossOriginOpenerPolicy?: string | false;
  /** Pages of other origins cannot embed what this site serves. */
  readonly crossOriginResourcePolicy?: string | false;
  /** None unless given: a page that is isolated can embed only what allows it. */
  readonly crossOriginEmbedderPolicy?: string | false;
  /** Pages of this origin do not share a process with other origins of the same site. */
  readonly originAgentCluster?: string | false;
  /** As `frame-ancestors` of the policy, for browsers without it. */
  readonly xFrameOptions?: string | false;
  /** Which features of the browser a page may use. None unless given. */
  readonly permissionsPolicy?: string | false;
}

type PlainName = Exclude<keyof SecureHeadersOptions, 'contentSecurityPolicy' | 'nonce' | 'reportOnly'>;

/** By option: the field, and its value unless given. */
const plainFields: { readonly [Name in PlainName]: readonly [field: string, value: string | false] } = {
  strictTransportSecurity: ['Strict-Transport-Security', 'max-age=31536000; includeSubDomains'],
  xContentTypeOptions: ['X-Content-Type-Options', 'nosniff'],
  // Not `no-referrer`: with it a browser sends `Origin: null` for a form of this very site, and checks against forged requests fail.
  referrerPolicy: ['Referrer-Policy', 'same-origin'],
  crossOriginOpenerPolicy: ['Cross-Origin-Opener-Policy', 'same-origin'],
  crossOriginResourcePolicy: ['Cross-Origin-Resource-Policy', 'same-origin'],
  crossOriginEmbedderPolicy: ['Cross-Origin-Embedder-Policy', false],
  originAgentCluster: ['Origin-Agent-Cluster', '?1'],
  xFrameOptions: ['X-Frame-Options', 'SAMEORIGIN'],
  permissionsPolicy: ['Permissions-Policy', false],
};

const optionNames: { readonly [Name in keyof Required<SecureHeadersOptions>]: unknown } = {
  ...plainFields,
  contentSecurityPolicy: true,
  nonce: true,
  reportOnly: true,
};

/** As `FieldLine` has it. */
const HSTS = 'strict-transport-security';

/** CSP level 3 section 7.1: at least 128 bits that cannot be guessed. */
const NONCE_BYTES = 16;

/** Random bytes cost less if they are asked for in large pieces: a nonce takes 0.2 us instead of 3. */
const pool = Buffer.alloc(256 * NONCE_BYTES);
let poolAt = pool.length;

/**
 * The nonce of a request, for the scripts and styles of its page. `secureHeaders({ nonce: true })` sets it.
 *
 * ```ts
 * import { CSP_NONCE, Router, secureHeaders } from 'simplenet/http';
 *
 * new Router().use(secureHeaders({ nonce: true })).get('/', ({ state }, response) => {
 *   response.html(`<script nonce="${state.require(CSP_NONCE)}">document.title = 'hello'</script>`);
 * });
 * ```
 */
export const CSP_NONCE: StateKey<string> = new StateKey<string>('cspNonce');

/**
 * Returns a middleware that sets the fields.
 *
 * ```ts
 * import { Router, secureHeaders } from 'simplenet/http';
 *
 * new Router().use(secureHeaders()).get('/', (_request, response) => response.html('<p>hello</p>'));
 * ```
 */
export function secureHeaders(options: SecureHeadersOptions = {}): Middleware<unknown> {
  checkOptionNames('secureHeaders', options, optionNames);
  const { contentSecurityPolicy = {}, nonce = false, reportOnly = false } = options;
  if (nonce && contentSecurityPolicy === false) throw new TypeError('a nonce needs a contentSecurityPolicy');
  const ofHttps = fieldsFrom(options);
  // RFC 6797 section 7.2: never over plain HTTP. A program that gives a value knows of a proxy that speaks TLS.
  const isAlways = typeof options.strictTransportSecurity === 'string';
  const ofHttp = isAlways ? ofHttps : ofHttps.filter(([field]) => field !== HSTS);
  const fieldsFor = ({ scheme }: HttpRequest<unknown>) => (scheme === 'https' ? ofHttps : ofHttp);
  if (contentSecurityPolicy === false) return setting(fieldsFor);
  const pieces = securityPolicyFrom(contentSecurityPolicy, nonce);
  const policy = reportOnly ? 'Content-Security-Policy-Report-Only' : 'Content-Security-Policy';
  if (!nonce) {
    const line = lineOf(policy, pieces.join(''));
    const [allOfHttps, allOfHttp] = [
      [...ofHttps, line],
      [...ofHttp, line],
    ];
    return setting(({ scheme }) => (scheme === 'https' ? allOfHttps : allOfHttp));
  }
  if (pieces.length === 1) throw new TypeError('a nonce needs script-src or style-src in the policy');
  return setting((request) => {
    const own = nextNonce();
    request.state.set(CSP_NONCE, own);
    return [...fieldsFor(request), lineOf(policy, pieces.join(own))];
  });
}

function setting(linesFor: (request: HttpRequest<unknown>) => readonly FieldLine[]): Middleware<unknown> {
  return (request, response, next) => {
    response.checkedFields(linesFor(request));
    return next();
  };
}

function lineOf(field: string, value: string): FieldLine {
  return [field.toLowerCase(), `${field}: ${value}\r\n`];
}

function nextNonce(): string {
  if (poolAt === pool.length) {
    randomFillSync(pool);
    poolAt = 0;
  }
  poolAt += NONCE_BYTES;
  return pool.toString('base64', poolAt - NONCE_BYTES, poolAt);
}

function fieldsFrom(options: SecureHeadersOptions): readonly FieldLine[] {
  const fields: FieldLine[] = [];
  for (const [option, [field, byDefault]] of Object.entries(plainFields)) {
    const value: unknown = options[option as PlainName] ?? byDefault;
    if (value === false) continue;
    if (typeof value !== 'string' || value === '' || !isFieldValue(value)) {
      throw new TypeError(`${option} of secureHeaders must be the value of ${field} or false, not ${described(value)}`);
    }
    fields.push(lineOf(field, value));
  }
  return fields;
}
