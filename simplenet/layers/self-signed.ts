/**
 * selfSigned: a certificate that vouches for itself, and its key (RFC 5280).
 *
 * The certificate is written by hand (der.ts): it shows what one is. With OpenSSL's X509_* it would take some twenty more functions in the table, more lines than der.ts has, and four of them
 * return pointers into a certificate (X509_get_subject_name, X509_getm_notBefore ...), which the rule of one owner for each pointer does not cover. What takes
 * cryptography is left to OpenSSL, by node:crypto: the key, on the curve P-256, and the signature.
 *
 * It says that it is no authority (CA:FALSE). Whoever installs it as trusted trusts one server by that; with a certificate that may sign others, anybody who
 * gets hold of the key could be every site of the web.
 *
 * Next: development-certificate.ts
 */

import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { parseIPv4, parseIPv6 } from '../kernel/ip-address.ts';
import * as der from './der.ts';

export interface SelfSigned {
  /** The certificate, in PEM. */
  readonly cert: string;
  /** Its key, in PEM (PKCS #8), not encrypted. */
  readonly key: string;
}

export interface SelfSignedOptions {
  /** What the certificate is for: host names and IP addresses. */
  readonly hosts: readonly string[];
  /** Since 1970, in milliseconds. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Whom it makes known: a server unless given. */
  readonly purpose?: 'server' | 'client';
}

// Names of things, as numbers (RFC 5280, RFC 5758).
const COMMON_NAME = '2.5.4.3';
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';
const SUBJECT_KEY_IDENTIFIER = '2.5.29.14';
const KEY_USAGE = '2.5.29.15';
const SUBJECT_ALTERNATIVE_NAME = '2.5.29.17';
const BASIC_CONSTRAINTS = '2.5.29.19';
const EXTENDED_KEY_USAGE = '2.5.29.37';
const purposes = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' } as const;

const VERSION_3 = Buffer.of(2);
/** RFC 5280 section 4.1.2.2: at most 20. With 16 random ones no two certificates have the same. */
const SERIAL_BYTES = 16;
/** Tags of GeneralName: RFC 5280 section 4.2.1.6. */
const DNS_NAME = 2;
const IP_ADDRESS = 7;
/** The first bit of a key usage: the key signs handshakes, and nothing else. */
const DIGITAL_SIGNATURE = der.bitString(Buffer.of(0x80), 7);

const SUBJECT = 'simplenet development certificate';

export function selfSigned({ hosts, notBefore, notAfter, purpose = 'server' }: SelfSignedOptions): SelfSigned {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const algorithm = der.sequence(der.objectIdentifier(ECDSA_WITH_SHA256));
  const name = der.sequence(der.set(der.sequence(der.objectIdentifier(COMMON_NAME), der.utf8String(SUBJECT))));
  const toBeSigned = der.sequence(
    der.explicit(0, der.integer(VERSION_3)),
    der.integer(randomBytes(SERIAL_BYTES)),
    algorithm,
    name,
    der.sequence(der.time(notBefore), der.time(notAfter)),
    name,
    spki,
    der.explicit(3, extensionsFor(hosts, spki, purposes[purpose])),
  );
  const certificate = der.sequence(toBeSigned, algorithm, der.bitString(sign('sha256', toBeSigned, privateKey)));
  return { cert: pemOf(certificate), key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string };
}

function extensionsFor(hosts: readonly string[], spki: Buffer, purpose: string): Buffer {
  const isCritical = true;
  return der.sequence(
    extension(BASIC_CONSTRAINTS, der.sequence(), isCritical), // CA is FALSE by default, and DER writes no default
    extension(KEY_USAGE, DIGITAL_SIGNATURE, isCritical),
    extension(EXTENDED_KEY_USAGE, der.sequence(der.objectIdentifier(purpose))),
    extension(SUBJECT_ALTERNATIVE_NAME, der.sequence(...hosts.map(generalName))),
    // Any number that tells keys apart (RFC 7093 section 2).
    extension(SUBJECT_KEY_IDENTIFIER, der.octetString(createHash('sha256').update(spki).digest().subarray(0, 20))),
  );
}

/** A program that does not know a critical extension must refuse the certificate. */
function extension(identifier: string, content: Uint8Array, isCritical = false): Buffer {
  const critical = isCritical ? [der.boolean(true)] : [];
  return der.sequence(der.objectIdentifier(identifier), ...critical, der.octetString(content));
}

function generalName(host: string): Buffer {
  const address = parseIPv4(host) ?? parseIPv6(host)?.bytes;
  return address === undefined ? der.implicit(DNS_NAME, Buffer.from(host)) : der.implicit(IP_ADDRESS, address);
}

function pemOf(certificate: Buffer): string {
  const lines = certificate.toString('base64').match(/.{1,64}/g) as string[];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
