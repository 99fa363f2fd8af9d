/**
 * ServerNames: what belongs to the name that a client asks for: its certificate. Pure.
 *
 * A name is found as it is, or by a pattern such as `*.example.com`, which stands for one label: it is for `a.example.com`, and neither for
 * `example.com` nor for `a.b.example.com`. Certificates follow the same rule (RFC 9525 section 6.3), so a client accepts what is found
 * here. Names are compared as DNS writes them: in lower case, and names with other letters than those of ASCII as `xn--...`.
 *
 * A look-up is at most two look-ups in a map, whatever the name: strangers choose it.
 *
 * Next: der.ts
 */

import { domainToASCII } from 'node:url';

export class ServerNames<Value> {
  readonly #exact = new Map<string, Value>();
  /** By what stands behind the `*.` of a pattern. */
  readonly #patterns = new Map<string, Value>();

  /** Throws RangeError for what is not a name, and for a name that comes twice. */
  constructor(entries: Iterable<readonly [name: string, value: Value]>) {
    for (const [name, value] of entries) {
      const isPattern = name.startsWith('*.');
      const values = isPattern ? this.#patterns : this.#exact;
      const key = canonicalName(isPattern ? name.slice(2) : name, name);
      if (values.has(key)) throw new RangeError(`the server name '${name}' comes twice`);
      values.set(key, value);
    }
  }

  /** `name`: in lower case, as decodeClientHello returns it. Returns null if nothing belongs to it. */
  find(name: string): Value | null {
    const exact = this.#exact.get(name);
    if (exact !== undefined) return exact;
    const dot = name.indexOf('.');
    return (dot === -1 ? undefined : this.#patterns.get(name.slice(dot + 1))) ?? null;
  }
}

/** As DNS writes it. `given` is what the program has written, for the error. */
function canonicalName(name: string, given: string): string {
  // domainToASCII cuts a URL at the end of its host, decodes percent signs, and returns an address for an address.
  const ascii = /[/?#%\\]/.test(name) ? '' : domainToASCII(name.replace(/\.$/, ''));
  const isName = /^[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/.test(ascii) && !/(?:^|\.)\d+$/.test(ascii);
  if (isName && ascii.length <= 253) return ascii;
  const advice =
    given === '*' ? 'cert and key of tls are for all other names' : "write 'example.com' or '*.example.com'";
  throw new RangeError(`'${given}' is not a server name: ${advice}`);
}
