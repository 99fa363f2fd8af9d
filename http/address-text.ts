/**
 * The address of a socket as text: what programs read of a peer, and what a URL says.
 *
 * Next: gate.ts
 */

/** What the address of a socket has. */
type Address = { readonly address: string; readonly port: number } | { readonly path: string };

/** The IP address, or the path of a Unix socket. */
export function addressText(address: Address): string {
  return 'path' in address ? address.path : address.address;
}

/** The host and port for a URL. */
export function urlHost(address: Address): string {
  if ('path' in address) return 'localhost';
  const host = address.address.includes(':') ? `[${address.address}]` : address.address;
  return `${host}:${address.port}`;
}
