/**
 * What the fuzzer of TLS begins with: hellos of real clients, hellos whose parts were changed and whose lengths are right, and scripts of conversations (tls-conversation.ts).
 */

import { encodeBody, inRecords, messageOf, number, vector } from '../simplenet/layers/hello-encoder.ts';
import * as recorded from '../simplenet/layers/recorded-hellos.ts';
import { Random } from '../simulation/random.ts';
import type { Inputs } from './fuzzer.ts';
import { SCRIPT } from './tls-conversation.ts';

const hellos = Object.values(recorded).map((text) => Buffer.from(text, 'base64'));

/** Records, and pieces of extensions, that have mattered before. */
const spices = [
  '1603010200010001fc0303', // the beginning of a hello
  '16030300040e000000', // server_hello_done: a message of the other side
  '1603030004 00000000', // hello_request
  '160303002514000020', // finished, not encrypted
  '1603030005 1800000101', // key_update, not encrypted
  '140303000101', // change_cipher_spec
  '140303000102',
  '15030300020228', // alerts: fatal, close_notify, a level that does not exist
  '15030300020100',
  '15030300020528',
  '1703030001 00',
  '17030300110000000000000000000000000000000000',
  '17030340010000', // longer than allowed
  '1803030003014000', // Heartbleed
  '802e0100020015000000100100800000', // SSL 2
  '16030100', // versions of records
  '16030400',
  '16fefd00',
  '0000', // server_name, ALPN, supported_versions, pre_shared_key, early_data, key_share, cookie
  '0010',
  '002b',
  '0029',
  '002a00',
  '0033',
  '002c',
  '0a0a', // GREASE
  'ffff',
  '00',
  'ff',
].map((hex) => Buffer.from(hex.replaceAll(' ', ''), 'hex'));

/** RFC 8446 section 4.2, and some that only OpenSSL or browsers know. */
const EXTENSIONS = [
  0, 1, 5, 10, 11, 13, 14, 15, 16, 18, 21, 22, 23, 27, 28, 35, 41, 42, 43, 44, 45, 47, 48, 49, 50, 51,
];

const MAX_EXTENSION_BYTES = 40;
const MAX_SCRIPT_BYTES = 60;
const SHARE_OF_SCRIPTS = 0.3;

function randomBytes(random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.below(256)));
}

type Extension = readonly [type: number, data: Buffer];

/** The extensions of a recorded hello, which are well formed. */
function extensionsOf(hello: Buffer): { readonly head: Buffer; readonly extensions: readonly Extension[] } {
  const body = hello.subarray(9);
  let at = 34;
  at += 1 + body.readUInt8(at);
  at += 2 + body.readUInt16BE(at);
  at += 1 + body.readUInt8(at);
  const head = body.subarray(0, at);
  const extensions: Extension[] = [];
  for (at += 2; at < body.length; ) {
    const length = body.readUInt16BE(at + 2);
    extensions.push([body.readUInt16BE(at), body.subarray(at + 4, at + 4 + length)]);
    at += 4 + length;
  }
  return { head, extensions };
}

/** A hello with other extensions. All lengths are right, so what is wrong is deeper. */
function rebuilt(random: Random, hello: Buffer): Buffer {
  const { head, extensions } = extensionsOf(hello);
  const changed = random.shuffle(extensions).flatMap(([type, data]): Extension[] => {
    const what = random.below(12);
    if (what === 0) return [];
    if (what === 1) return [[random.pick(EXTENSIONS), data]];
    if (what === 2) return [[type, randomBytes(random, random.below(MAX_EXTENSION_BYTES))]];
    if (what === 3 && data.length > 0) {
      const copy = Buffer.from(data);
      copy[random.below(copy.length)] = random.below(256);
      return [[type, copy]];
    }
    return [[type, data]];
  });
  if (random.chance(0.3))
    changed.push([random.pick(EXTENSIONS), randomBytes(random, random.below(MAX_EXTENSION_BYTES))]);
  // RFC 8446 section 4.2.11: the pre-shared key is the last one.
  changed.sort(([one], [other]) => Number(one === 41) - Number(other === 41));
  const body = Buffer.concat([
    head,
    vector(2, ...changed.flatMap(([type, data]) => [number(type, 2), vector(2, data)])),
  ]);
  const sizes = random.chance(0.2) ? [1 + random.below(50), 1 + random.below(500)] : [];
  return inRecords(messageOf(body), sizes);
}

/** What a client may say in the first hello, with nothing that OpenSSL could use. */
function madeUp(random: Random): Buffer {
  const names = ['a.example', 'A.Example.', '127.0.0.1', '*', 'xn--bcher-kva.example', 'a..b', `${'a'.repeat(63)}.b`];
  const body = encodeBody({
    serverName: random.pick([null, ...names]),
    protocols: random.pick([[], ['http/1.1'], ['h2'], ['h2', 'http/1.1'], ['x'.repeat(255)]]),
    versions: random.pick([null, [0x0304], [0x0303], [0x0a0a, 0x0304, 0x0303], [0x0301]]),
    sessionId: randomBytes(random, random.pick([0, 32, 33])),
    more: [[random.pick(EXTENSIONS), randomBytes(random, random.below(MAX_EXTENSION_BYTES))]],
  });
  return inRecords(messageOf(body));
}

export const tlsInputs: Inputs = {
  spices,
  shareOfSingleBytes: 0.01,
  written: () => hellos,
  made: (seed, count) => {
    const random = new Random(seed);
    return Array.from({ length: count }, () => {
      if (random.chance(SHARE_OF_SCRIPTS)) {
        return Buffer.concat([Buffer.of(SCRIPT), randomBytes(random, random.below(MAX_SCRIPT_BYTES))]);
      }
      return random.chance(0.8) ? rebuilt(random, random.pick(hellos)) : madeUp(random);
    });
  },
};
