/**
 * FetchHeaders: the fields of a request as the `Headers` of Fetch. Most apps read one or two of them.
 *
 * `get` and `has` read our own list. Everything else first makes a `Headers` of the platform from all fields, and from then on that one
 * answers. So only an app that changes or walks through the fields pays for it.
 *
 * A FetchHeaders is `instanceof Headers`, and all that takes a `Headers` takes it, because it is iterable.
 *
 * Next: fetch-request.ts
 */

import { inspect } from 'node:util';
import { isToken } from '../grammar.ts';
import type { HeaderList } from '../request/header-list.ts';

export class FetchHeaders implements Iterable<[string, string]> {
  readonly #list: HeaderList;
  #native: Headers | null = null;

  constructor(list: HeaderList) {
    this.#list = list;
  }

  /** The `Headers` of the platform. Made once, so that changes are never lost. */
  get native(): Headers {
    if (this.#native === null) {
      this.#native = new Headers();
      for (const [name, value] of this.#list) this.#native.append(name, value);
    }
    return this.#native;
  }

  get(name: string): string | null {
    if (!this.#canLookUp(name)) return this.native.get(name);
    // The Fetch standard joins cookies as RFC 6265 section 4.2.1 writes them.
    return isCookie(name) && this.#list.has(name) ? this.#list.getAll(name).join('; ') : this.#list.get(name);
  }

  has(name: string): boolean {
    return this.#canLookUp(name) ? this.#list.has(name) : this.native.has(name);
  }

  append(name: string, value: string): void {
    this.native.append(name, value);
  }

  set(name: string, value: string): void {
    this.native.set(name, value);
  }

  delete(name: string): void {
    this.native.delete(name);
  }

  getSetCookie(): string[] {
    return this.native.getSetCookie();
  }

  forEach(callback: (value: string, name: string, headers: Headers) => void, thisArg?: unknown): void {
    this.native.forEach((value, name) => {
      callback.call(thisArg, value, name, this as unknown as Headers);
    });
  }

  keys() {
    return this.native.keys();
  }

  values() {
    return this.native.values();
  }

  entries() {
    return this.native.entries();
  }

  [Symbol.iterator]() {
    return this.native.entries();
  }

  [inspect.custom](depth: number, options: object): string {
    return inspect(this.native, { ...options, depth });
  }

  /** The platform throws for a name that is not a token, and its error is the one that apps know. */
  #canLookUp(name: unknown): boolean {
    return this.#native === null && typeof name === 'string' && isToken(name);
  }
}

const COOKIE = 'cookie';

function isCookie(name: string): boolean {
  return name.length === COOKIE.length && name.toLowerCase() === COOKIE;
}
