/**
 * Addresses as people type them: `127.0.0.1:80`, `[::1]:80`, `unix:/run/a.sock`, and with a name, `localhost:80`.
 *
 * simplenet does not look up names. A look-up waits for other machines, and may return several addresses, some of which may not work.
 * Each program decides what to do then.
 */

import { lookup } from 'node:dns/promises';
import { parseSocketAddress, type SocketAddress } from '../../simplenet/index.ts';

const MAX_PORT = 65_535;

type OneOrMore = [SocketAddress, ...SocketAddress[]];

/** IPv4 addresses come first, because a server that was started by hand usually listens on 127.0.0.1. */
export async function lookUp(text: string): Promise<OneOrMore> {
  const address = parseSocketAddress(text);
  if (address !== null) return [address];
  const [, name, port] = /^([^:[\]]+):(\d{1,5})$/.exec(text) ?? [];
  if (name === undefined || Number(port) > MAX_PORT) {
    throw new Error(`'${text}' is not an address such as 127.0.0.1:80, [::1]:80 or localhost:80`);
  }
  const found = await lookup(name, { all: true, verbatim: false });
  return found.map(({ address }) => ({ address, port: Number(port) })) as OneOrMore;
}
