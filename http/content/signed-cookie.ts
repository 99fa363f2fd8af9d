/**
 * CookieSigner: signs the values of cookies, so that a client can keep them and cannot change them.
 *
 *     session=ada.Kq3...    the value, a dot, and HMAC-SHA-256 of `session=ada` (RFC 2104) in 43 characters of base64url
 *
 * The name of the cookie is in what is signed: otherwise a client could send the value of one cookie under the name of another, such as a theme that
 * it may choose as the user that it is. The first key signs, and all keys verify. To change keys, put a new one in front, and drop the old one when the last
 * cookie that it has signed is too old.
 *
 * A signed value is not secret, and it never ends: write into it until when it counts. What is signed is compared in constant time and as text, so that there is exactly one
 * signature for each value.
 *
 * Next: client-network.ts
 */

import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import { isToken } from '../grammar.ts';
import { described } from '../nearest-name.ts';

/** RFC 2104 section 3: a key shorter than the hash makes the signature weaker. */
const MIN_KEY_BYTES = 32;

/** A forged cookie costs one HMAC for each key. */
const MAX_KEYS = 16;

/** 32 bytes in base64url. */
const SIGNATURE_LENGTH = 43;

/**
 * Signs and verifies the values of cookies.
 *
 * ```ts
 * import { CookieSigner, Router } from 'simplenet/http';
 *
 * const signer = new CookieSigner([process.env.NEW_SECRET ?? 'a secret of at least 32 bytes ...']);
 * new Router()
 *   .post('/login', (_request, response) => response.cookie('user', signer.sign('user', 'ada')).empty())
 *   .get('/', ({ cookies }, response) => response.json({ user: signer.verify('user', cookies.get('user')) }));
 * ```
 */
export class CookieSigner {
  readonly #keys: readonly KeyObject[];

  /** From 1 to 16 keys of at least 32 bytes, text or bytes. The first one signs, and all verify. */
  constructor(keys: readonly (string | Uint8Array)[]) {
    if (!Array.isArray(keys) || keys.length === 0 || keys.length > MAX_KEYS) {
      throw new RangeError(`a CookieSigner takes an array of 1 to ${MAX_KEYS} keys`);
    }
    this.#keys = keys.map(keyFrom);
  }

  /** Returns what to send as the value of the cookie of this name. */
  sign(name: string, value: string): string {
    if (!isToken(name)) throw new TypeError(`'${name}' is not a valid cookie name`);
    if (typeof value !== 'string') throw new TypeError(`the value of cookie ${name} must be a string`);
    return `${value}.${signatureOf(this.#keys[0] as KeyObject, name, value)}`;
  }

  /** Returns the value that was signed for this name, or null if it is missing, was changed, or was signed with no key of these. */
  verify(name: string, signed: string | undefined): string | null {
    if (signed === undefined) return null;
    const dot = signed.length - SIGNATURE_LENGTH - 1;
    if (dot < 0 || signed[dot] !== '.') return null;
    const value = signed.slice(0, dot);
    const given = Buffer.from(signed.slice(dot + 1));
    if (given.length !== SIGNATURE_LENGTH) return null; // characters of more than one byte
    for (const key of this.#keys) {
      if (timingSafeEqual(given, Buffer.from(signatureOf(key, name, value)))) return value;
    }
    return null;
  }
}

/** A name has no `=`, so no other name and value make the same text. */
function signatureOf(key: KeyObject, name: string, value: string): string {
  return createHmac('sha256', key).update(`${name}=${value}`).digest('base64url');
}

function keyFrom(key: unknown): KeyObject {
  if (typeof key !== 'string' && !(key instanceof Uint8Array)) {
    throw new TypeError(`a key must be a string or bytes, not ${described(key)}`);
  }
  const bytes = Buffer.from(key as string);
  if (bytes.byteLength < MIN_KEY_BYTES) {
    throw new RangeError(`a key must have at least ${MIN_KEY_BYTES} bytes, not ${bytes.byteLength}`);
  }
  return createSecretKey(bytes);
}
