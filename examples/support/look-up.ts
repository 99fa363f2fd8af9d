/**
 * Addresses as people type them: `127.0.0.1:80`, `[::1]:80`, `unix:/run/a.sock`, and with a name, `localhost:80`.
 *
 * simplenet looks up no names. That waits for other machines, and may bring several addresses, of which some need not work:
 * what becomes of those is for each program to say.
 */

import { lookup } from 'node:dns/promises';
import { parseSocketAddress, type SocketAddress } from '../../simplenet/index.ts';

const LAST_PORT = 65_535;

type OneOrMore = [SocketAddress, ...SocketAddress[]];

/** Those of IPv4 first: what somebody started by hand listens there. */
export async function lookUp(text: string): Promise<OneOrMore> {
  const address = parseSocketAddress(text);
  if (address !== null) return [address];
  const [, name, port] = /^([^:[\]]+):(\d{1,5})$/.exec(text) ?? [];
  if (name === undefined || Number(port) > LAST_PORT) {
    throw new Error(`'${text}' is no address such as 127.0.0.1:80, [::1]:80 or localhost:80`);
  }
  const found = await lookup(name, { all: true, verbatim: false });
  return found.map(({ address }) => ({ address, port: Number(port) })) as OneOrMore;
}
