/**
 * How a trace prints the calls of openssl.ts, among the system calls:
 *
 *     recv(19, "\27\3\3\0`\310L\2"..., 65536, 0) = 101
 *     BIO_write(0x2f0b6c0, "\27\3\3\0`\310L\2"..., 101) = 101
 *     SSL_read(0x2f41a80, "GET / HTTP/1.1\r\nHost: localhost:"..., 98304) = 79
 *     SSL_do_handshake(0x2f41a80) = -2 SSL_ERROR_WANT_READ
 *
 * It prints no passphrase and no key of tickets.
 *
 * Next: openssl.ts
 */

import { quote } from '../kernel/trace-formatters.ts';
import { joinTrace } from '../kernel/tracing.ts';
import { type BioPair, Handle } from './openssl-handles.ts';

/** Their last argument is a secret. */
const withSecret = ['PEM_read_bio_X509', 'PEM_read_bio_PrivateKey', 'SSL_CTX_set_tlsext_ticket_keys'];

/** They put as many bytes into the buffer as their result says. */
const fillsBuffer = ['SSL_read', 'BIO_read'];

/** What they return is a secret. */
const silent = ['takeKeyLog'];

/** ssl.h. Others do not occur with memory BIOs. */
const errorNames: Readonly<Record<number, string>> = {
  1: 'SSL_ERROR_SSL',
  2: 'SSL_ERROR_WANT_READ',
  3: 'SSL_ERROR_WANT_WRITE',
  6: 'SSL_ERROR_ZERO_RETURN',
};

export function traceOpenSsl(table: object): void {
  const names = Object.keys(table).filter((name) => !silent.includes(name));
  joinTrace({ table, names, describe });
}

function describe(name: string, args: readonly unknown[], result: unknown): string {
  const shown = args.map((argument, i) => formatArgument(name, args, i, argument, result));
  const call = `${name}(${shown.filter((text) => text !== null).join(', ')})`;
  if (result === undefined) return call;
  const errorName = name.startsWith('SSL_') ? errorNames[-(result as number)] : undefined;
  return `${call} = ${formatValue(result)}${errorName === undefined ? '' : ` ${errorName}`}`;
}

/** Null for an offset: the bytes are shown from there on. */
function formatArgument(
  name: string,
  args: readonly unknown[],
  i: number,
  argument: unknown,
  result: unknown,
): string | null {
  if (i === args.length - 1 && withSecret.includes(name)) return '(secret)';
  if (args[i - 1] instanceof Uint8Array) return null;
  if (isPair(argument) && name === 'BIO_nread')
    return `${formatValue(argument)}, ${quote(argument.memory, 0, result as number)}`;
  if (!(argument instanceof Uint8Array)) return formatValue(argument);
  const [offset, length] = [args[i + 1] as number, args[i + 2] as number];
  if (offset === undefined) return `(${argument.length} bytes)`;
  return quote(argument, offset, fillsBuffer.includes(name) ? Math.max(0, result as number) : length);
}

function formatValue(value: unknown): string {
  if (value instanceof Handle) return Handle.label(value);
  if (isPair(value)) return Handle.label(value.near);
  if (value instanceof Uint8Array) return `(${value.length} bytes)`;
  if (typeof value === 'string') return JSON.stringify(value);
  return String(value);
}

function isPair(value: unknown): value is BioPair {
  return typeof value === 'object' && value !== null && 'near' in value;
}
