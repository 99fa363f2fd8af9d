/**
 * Set-Cookie: the value of that field for one cookie. RFC 6265bis (draft-ietf-httpbis-rfc6265bis) sections 4.1 and 5.
 *
 * A browser ignores a cookie that breaks a rule, and tells nobody. So each rule is checked here, and a broken one throws: the grammar, the
 * prefixes `__Host-` and `__Secure-`, `SameSite=None` and `Partitioned` without `Secure`, and the sizes above which browsers drop a cookie.
 *
 * The defaults are the safe ones: `Path=/`, `HttpOnly` and `SameSite=Lax`. `Secure` is set by default only where the name or another
 * attribute needs it, because a browser drops a Secure cookie that comes over plain HTTP from another host than localhost.
 *
 * Next: ../response/date-field.ts
 */

import { isToken } from '../grammar.ts';
import { adviceFor } from '../nearest-name.ts';

/**
 * The attributes of a cookie.
 *
 * ```ts
 * import { type CookieOptions, Router } from 'simplenet/http';
 *
 * const options: CookieOptions = { maxAge: 3_600, sameSite: 'strict', secure: true };
 * new Router().post('/login', (_request, response) => response.cookie('session', 'x', options).empty());
 * ```
 */
export interface CookieOptions {
  /** Seconds from now; 0 deletes the cookie. Without `maxAge` and `expires` it lives as long as the browser's session. */
  readonly maxAge?: number;
  /** When it ends. Browsers prefer `maxAge`, because clocks differ. */
  readonly expires?: Date;
  /** The paths below this one get the cookie: `/` unless given. */
  readonly path?: string;
  /** This host and all below it get the cookie. Without it only the host that sent it does, which is safer. */
  readonly domain?: string;
  /** Sent over https only. Set by default if the name, `sameSite: 'none'` or `partitioned` needs it. */
  readonly secure?: boolean;
  /** Hidden from scripts of the page: true unless given. */
  readonly httpOnly?: boolean;
  /** Which requests from other sites carry the cookie: `lax` unless given. */
  readonly sameSite?: 'strict' | 'lax' | 'none';
  /** One cookie for each site that embeds this one (CHIPS). */
  readonly partitioned?: boolean;
}

/** RFC 6265bis section 5.6: browsers ignore a cookie whose name and value are longer together, in bytes. */
const MAX_PAIR_BYTES = 4_096;

/** The same section: browsers ignore a longer attribute. */
const MAX_ATTRIBUTE_BYTES = 1_024;

/** RFC 6265bis section 5.1.1: the first year that browsers accept. toUTCString writes years above 9999 with five digits. */
const MIN_YEAR = 1601;
const MAX_YEAR = 9999;

/** What cookie-octet does not contain, and `%`, so that decoding returns the same text. */
const ENCODED = /[^!#$&-+\--:<-[\]-~]+/gu;

/** Path is a text without control characters and semicolons, which would begin another attribute. */
const PATH = /^\/[\x20-\x3a\x3c-\x7e]*$/;

/** Labels of letters, digits and hyphens. Browsers ignore a dot in front. */
const DOMAIN = /^\.?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/i;

/** The compiler compares it with the interface. */
const optionNames: { readonly [Name in keyof Required<CookieOptions>]: true } = {
  maxAge: true,
  expires: true,
  path: true,
  domain: true,
  secure: true,
  httpOnly: true,
  sameSite: true,
  partitioned: true,
};

const sameSiteWords = { strict: 'Strict', lax: 'Lax', none: 'None' };

/** Returns the value of Set-Cookie. Characters that a cookie cannot contain are percent-encoded in its value, as `%` is. */
export function setCookie(name: string, value: string, options: CookieOptions = {}): string {
  if (!isToken(name)) throw new TypeError(`'${name}' is not a valid cookie name`);
  if (typeof value !== 'string')
    throw new TypeError(`the value of cookie ${name} must be a string, not ${typeof value}`);
  const pair = `${name}=${encoded(name, value)}`;
  if (pair.length - 1 > MAX_PAIR_BYTES) {
    throw new RangeError(
      `cookie ${name} is too long: browsers ignore more than ${MAX_PAIR_BYTES} bytes of name and value`,
    );
  }
  checkNames(name, options);
  const { maxAge, expires, path = '/', domain, httpOnly = true, sameSite = 'lax', partitioned = false } = options;
  const secure = options.secure ?? needsSecure(name, sameSite, partitioned);
  checkPrefix(name, secure, path, domain);
  if (!Object.hasOwn(sameSiteWords, sameSite)) {
    throw new TypeError(`sameSite of cookie ${name} must be 'strict', 'lax' or 'none', not '${String(sameSite)}'`);
  }
  if (sameSite === 'none' && !secure) throw new TypeError(`cookie ${name} has sameSite 'none', so it must be secure`);
  if (partitioned && !secure) throw new TypeError(`cookie ${name} is partitioned, so it must be secure`);
  let text = pair;
  if (maxAge !== undefined) text += `; Max-Age=${checkedSeconds(name, maxAge)}`;
  if (expires !== undefined) text += `; Expires=${checkedDate(name, expires)}`;
  if (domain !== undefined) text += `; Domain=${checkedAttribute(name, 'domain', domain, DOMAIN)}`;
  text += `; Path=${checkedAttribute(name, 'path', path, PATH)}`;
  if (secure) text += '; Secure';
  if (httpOnly) text += '; HttpOnly';
  text += `; SameSite=${sameSiteWords[sameSite]}`;
  if (partitioned) text += '; Partitioned';
  return text;
}

/**
 * Whether two values of Set-Cookie are for the same cookie: its name, domain and path are equal. RFC 6265bis section 4.1.1: a response
 * should not set one cookie twice.
 */
export function isSameCookie(one: string, other: string): boolean {
  return identityOf(one) === identityOf(other);
}

function identityOf(value: string): string {
  const name = value.slice(0, Math.max(0, value.indexOf('=')));
  const domain = /; *domain=\.?([^;]*)/i.exec(value)?.[1] ?? '';
  const path = /; *path=([^;]*)/i.exec(value)?.[1] ?? '';
  return `${name};${domain.toLowerCase()};${path}`;
}

/** A misspelt `secure` or `httpOnly` would leave the cookie open, without a word. */
function checkNames(name: string, options: CookieOptions): void {
  for (const given of Object.keys(options)) {
    if (Object.hasOwn(optionNames, given)) continue;
    throw new RangeError(`unknown option '${given}' of cookie ${name}: ${adviceFor(given, Object.keys(optionNames))}`);
  }
}

function encoded(name: string, value: string): string {
  try {
    return value.replace(ENCODED, encodeURIComponent);
  } catch (error) {
    throw new TypeError(`the value of cookie ${name} has half a character`, { cause: error });
  }
}

/** Browsers compare the prefixes without regard to case (RFC 6265bis section 5.4). */
function hasPrefix(name: string, prefix: string): boolean {
  return name.slice(0, prefix.length).toLowerCase() === prefix;
}

function needsSecure(name: string, sameSite: string, partitioned: boolean): boolean {
  return sameSite === 'none' || partitioned || hasPrefix(name, '__secure-') || hasPrefix(name, '__host-');
}

/** RFC 6265bis section 4.1.3. */
function checkPrefix(name: string, secure: boolean, path: string, domain: string | undefined): void {
  const isHost = hasPrefix(name, '__host-');
  if (!isHost && !hasPrefix(name, '__secure-')) return;
  if (!secure) throw new TypeError(`cookie ${name} must be secure: its name promises it`);
  if (isHost && domain !== undefined)
    throw new TypeError(`cookie ${name} must not have a domain: its name promises one host`);
  if (isHost && path !== '/')
    throw new TypeError(`cookie ${name} must have the path '/': its name promises the whole host`);
}

function checkedSeconds(name: string, maxAge: number): number {
  if (Number.isSafeInteger(maxAge)) return maxAge;
  throw new RangeError(`maxAge of cookie ${name} must be a whole number of seconds, not ${String(maxAge)}`);
}

function checkedDate(name: string, expires: Date): string {
  const year = expires instanceof Date ? expires.getUTCFullYear() : Number.NaN;
  if (year >= MIN_YEAR && year <= MAX_YEAR) return expires.toUTCString();
  throw new RangeError(
    `expires of cookie ${name} must be a Date from ${MIN_YEAR} to ${MAX_YEAR}, not ${String(expires)}`,
  );
}

function checkedAttribute(name: string, attribute: string, value: string, pattern: RegExp): string {
  if (typeof value !== 'string' || !pattern.test(value)) {
    throw new TypeError(`'${String(value)}' is not a valid ${attribute} of cookie ${name}`);
  }
  if (value.length <= MAX_ATTRIBUTE_BYTES) return value;
  throw new RangeError(
    `the ${attribute} of cookie ${name} is too long: browsers ignore more than ${MAX_ATTRIBUTE_BYTES} bytes`,
  );
}
