/**
 * The errors of OpenSSL as sentences. They wait in a queue of the thread, and what is left in it would be taken for the error of a later
 * call. So `takeErrors` always empties it.
 *
 * Next: machine-code.ts
 */

import type { OpenSslFunctions } from './openssl-functions.ts';
import type { TlsFailure } from './tls-counts.ts';

/** How many errors are read at most. OpenSSL itself keeps 16. */
const MAX_ERRORS = 64;

/** err.h: where the number of the library stands in an error, and the number of the SSL library. */
const LIBRARY_SHIFT = 23;
const LIBRARY_MASK = 0xff;
const ERR_LIB_SSL = 20;

/** A PEM file has no further block of the kind that is looked for. */
export const NO_BLOCK = 'there is no such block of PEM in it';

export const WRONG_PASSPHRASE = 'the passphrase is wrong';

/** What the terse texts of OpenSSL mean for somebody who runs a server. Texts that are missing here are clear enough. */
const sentences: Readonly<Record<string, string>> = {
  'key values mismatch': 'the key does not belong to the certificate',
  'key type mismatch': 'the key does not belong to the certificate: they are of different kinds',
  'no certificate assigned': 'the key does not belong to the certificate: they are of different kinds',
  'no start line': NO_BLOCK,
  'bad end line': 'a block of PEM is cut off',
  'bad base64 decode': 'a block of PEM is damaged',
  'wrong tag': 'a block of PEM is damaged',
  'header too long': 'a block of PEM is damaged',
  'too long': 'a block of PEM is damaged',
  'not enough data': 'a block of PEM is damaged',
  'bad decrypt': WRONG_PASSPHRASE,
  'maybe wrong password': WRONG_PASSPHRASE,
  'ee key too small': 'the key of the certificate is too short to be safe',
  'ca md too weak': 'the certificate is signed with a hash that is not safe any more',
  'no cipher match': 'OpenSSL knows none of these ciphers',
  'unsupported protocol': 'the peer offers no version of TLS that is allowed here',
  'version too low': 'the peer offers no version of TLS that is allowed here',
  'no shared cipher': 'the peer offers no cipher that is allowed here',
  'no suitable signature algorithm': 'no certificate has a kind of key that the peer can use',
  'no application protocol': 'the peer speaks no HTTP/1.1: it offers other protocols by ALPN',
  'wrong version number': 'the peer does not speak TLS',
  'http request': 'the peer does not speak TLS, but plain HTTP',
  'unexpected eof while reading': 'the connection has ended without close_notify',
  'peer did not return a certificate': 'the peer has no certificate, and must have one',
  'certificate verify failed': 'the certificate of the peer is not signed by a known authority',
  'decryption failed or bad record mac': 'a record has been damaged or forged',
};

/** Which kind of failure a reason is. Those that are missing here are `other`. */
const kinds: Readonly<Record<string, TlsFailure>> = {
  'unsupported protocol': 'version',
  'version too low': 'version',
  'no shared cipher': 'cipher',
  'no suitable signature algorithm': 'cipher',
  'no suitable key share': 'cipher',
  'no application protocol': 'alpn',
  'peer did not return a certificate': 'clientCertificate',
  'certificate verify failed': 'clientCertificate',
};
const kindOfSentence = new Map(Object.entries(kinds).map(([reason, kind]) => [sentences[reason] ?? reason, kind]));

/** "tlsv1 alert unknown ca", "sslv3 alert bad certificate", "ssl/tls alert ...": the peer has sent an alert. */
const ALERT_SENTENCE = 'the peer has sent the alert ';
const ALERT = /^(?:tlsv1|tlsv13|tlsv1\.3|sslv3|ssl\/tls) alert (.+)$/;

export function sentenceOf(reason: string): string {
  const alert = ALERT.exec(reason)?.[1];
  if (alert !== undefined) return `${ALERT_SENTENCE}'${alert}'`;
  return sentences[reason] ?? reason;
}

/** What kind of failure a sentence of `takeErrors` is. */
export function failureOf(sentence: string): TlsFailure {
  if (sentence.startsWith(ALERT_SENTENCE)) return 'alert';
  return kindOfSentence.get(sentence) ?? 'other';
}

/**
 * Empties the queue of this thread. Returns the most telling error as a sentence: the first one of the SSL library, else the first one. Null if the queue
 * was empty. Other code of the thread, such as node:crypto, may have left errors there; `isOwn` says whether an error of the SSL library was among them.
 */
export function takeErrors(c: OpenSslFunctions): { readonly text: string; readonly isOwn: boolean } | null {
  let first: string | null = null;
  for (let i = 0; i < MAX_ERRORS; i++) {
    const error = c.ERR_get_error();
    if (error === 0) break;
    const reason = c.ERR_reason_error_string(error) ?? `error 0x${error.toString(16)}`;
    if (((error >>> LIBRARY_SHIFT) & LIBRARY_MASK) === ERR_LIB_SSL) {
      c.ERR_clear_error();
      return { text: sentenceOf(reason), isOwn: true };
    }
    first ??= reason;
  }
  return first === null ? null : { text: sentenceOf(first), isOwn: false };
}
