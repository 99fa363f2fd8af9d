/**
 * TrustedProxies: who the client of a request is, if proxies in front of the server say so and are believed.
 *
 *     client --> proxy B --> proxy A --> server        X-Forwarded-For: <anything>, client, B
 *
 * The server sees A. If A is trusted, its word counts: the request came from B. If B is trusted too, its word counts: it came from the client. That one is not trusted, so the
 * walk ends there, and what the client itself has sent at the left is never read. Where a proxy does not say an address (`unknown`, `_hidden`, something damaged), the
 * walk ends at the proxy.
 *
 * Only the fields are read that the program has named. A proxy passes on the fields that it does not know, so a client could send the other ones through it.
 *
 * Next: http-request.ts
 */

import type { AddressRanges, SocketAddress } from '../../simplenet/index.ts';
import { addressOfNode, forwardedFromRight, hostOf, membersFromRight, schemeOf } from '../content/forwarded.ts';
import type { HeaderList } from './header-list.ts';

/**
 * A field in which a proxy says for whom it asks.
 *
 * ```ts
 * import { type ForwardedField, Router, serve } from 'simplenet/http';
 *
 * const fields: ForwardedField[] = ['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host'];
 * serve(new Router(), { trustProxy: { from: '10.0.0.0/8', fields } });
 * ```
 */
export type ForwardedField = 'forwarded' | 'x-forwarded-for' | 'x-forwarded-proto' | 'x-forwarded-host';

/** What trusted proxies say of the client of a request. Null for what none of them says. */
export interface ProxiedClient {
  readonly address: string | null;
  readonly scheme: 'http' | 'https' | null;
  readonly host: string | null;
}

const nothingSaid: ProxiedClient = { address: null, scheme: null, host: null };

export class TrustedProxies {
  readonly #ranges: AddressRanges;
  readonly #fields: ReadonlySet<ForwardedField>;
  readonly #canonical: (text: string) => string | null;

  constructor(ranges: AddressRanges, fields: readonly ForwardedField[], canonical: (text: string) => string | null) {
    this.#ranges = ranges;
    this.#fields = new Set(fields);
    this.#canonical = canonical;
  }

  /** `peer` is the other end of the connection. */
  clientOf(headers: HeaderList, peer: SocketAddress): ProxiedClient {
    if (!this.#ranges.has(peer)) return nothingSaid;
    return this.#fields.has('forwarded') ? this.#fromForwarded(headers) : this.#fromFields(headers);
  }

  /** The scheme and the host are those that the last trusted proxy on the way to the client has seen. */
  #fromForwarded(headers: HeaderList): ProxiedClient {
    let client = nothingSaid;
    for (const { address, scheme, host } of forwardedFromRight(headers.get('forwarded') ?? '')) {
      const next = address === null ? null : this.#canonical(address);
      client = { address: next ?? client.address, scheme, host };
      if (next === null || !this.#ranges.has(next)) break;
    }
    return client;
  }

  #fromFields(headers: HeaderList): ProxiedClient {
    let address: string | null = null;
    let hops = 0;
    for (const member of membersFromRight(this.#value(headers, 'x-forwarded-for'))) {
      hops++;
      const node = addressOfNode(member);
      const next = node === null ? null : this.#canonical(node);
      if (next === null) break;
      address = next;
      if (!this.#ranges.has(next)) break;
    }
    return {
      address,
      scheme: schemeOf(memberAt(this.#value(headers, 'x-forwarded-proto'), hops)),
      host: hostOf(memberAt(this.#value(headers, 'x-forwarded-host'), hops)),
    };
  }

  #value(headers: HeaderList, field: ForwardedField): string {
    return this.#fields.has(field) ? (headers.get(field) ?? '') : '';
  }
}

/**
 * The member that the proxy of hop `hops` has written, counted from the right; the leftmost if there are fewer, because most proxies replace the value of the
 * one before; '' if there is none.
 */
function memberAt(value: string, hops: number): string {
  let found = '';
  let count = 0;
  for (const member of membersFromRight(value)) {
    found = member;
    if (++count >= hops) break;
  }
  return found;
}
