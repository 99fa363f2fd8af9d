/**
 * Conformance: what a client sends, and what an echo server must send back, for each section of the Autobahn test suite, in our own words. The numbers of the sections are those of that suite.
 *
 * A case is a list of frames and a list of events. Where the events do not end with a close, the client closes with 1000 and the server answers.
 */

import { BINARY, CLOSE, CONTINUATION, clientFrame, PING, PONG, TEXT } from '../../support/web-socket-frames.ts';

export interface ConformanceCase {
  /** The section, and what is special. */
  readonly name: string;
  readonly sends: readonly Buffer[];
  /** What comes: `text <hex>`, `binary <hex>`, `pong <hex>`, `close <code>`. */
  readonly events: readonly string[];
}

const cases: ConformanceCase[] = [];

function add(name: string, sends: readonly Buffer[], ...events: readonly string[]): void {
  const closes = events.at(-1)?.startsWith('close ') === true;
  if (closes) cases.push({ name, sends, events });
  else cases.push({ name, sends: [...sends, closing(1000)], events: [...events, 'close 1000'] });
}

/** The beginning of its bytes and their number are enough to recognize a payload. */
export function eventOf(kind: string, payload: string | Uint8Array): string {
  const bytes = Buffer.from(payload as string);
  return `${kind} ${bytes.length} ${bytes.subarray(0, 40).toString('hex')} ${bytes.subarray(-4).toString('hex')}`;
}

const text = (payload: string | Uint8Array) => eventOf('text', payload);
const binary = (payload: string | Uint8Array) => eventOf('binary', payload);
const pong = (payload: string | Uint8Array) => eventOf('pong', payload);

function closing(code: number, reason: string | Uint8Array = ''): Buffer {
  return clientFrame(CLOSE, Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason as string)]));
}

/** Cuts a payload into frames of so many bytes. */
function fragments(
  opcode: number,
  payload: string | Uint8Array,
  bytes: number,
  between: readonly Buffer[] = [],
): Buffer[] {
  const whole = Buffer.from(payload as string);
  const found: Buffer[] = [];
  let at = 0;
  do {
    const end = Math.min(whole.length, at + bytes);
    const isFinal = end === whole.length;
    found.push(clientFrame(at === 0 ? opcode : CONTINUATION, whole.subarray(at, end), { isFinal }));
    if (!isFinal) found.push(...between);
    at = end;
  } while (at < whole.length);
  return found;
}

// 1: framing.
for (const length of [0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537]) {
  const payload = Buffer.alloc(length, '*');
  add(`1.1 a text of ${length} bytes`, [clientFrame(TEXT, payload)], text(payload));
  add(`1.2 ${length} bytes`, [clientFrame(BINARY, Buffer.alloc(length, 0xfe))], binary(Buffer.alloc(length, 0xfe)));
}

// 2: ping and pong.
for (const payload of ['', 'hello', Buffer.from([0, 0xff, 0xfe, 0xfd]), Buffer.alloc(125, 0xfe)]) {
  add(`2.1 a ping with ${payload.length} bytes`, [clientFrame(PING, payload)], pong(payload));
}
add('2.5 a ping with 126 bytes', [clientFrame(PING, Buffer.alloc(126))], 'close 1002');
add('2.5 a pong with 126 bytes', [clientFrame(PONG, Buffer.alloc(126))], 'close 1002');
add('2.7 a pong that nobody has asked for', [clientFrame(PONG)]);
add('2.8 the same with a payload', [clientFrame(PONG, 'surprise')]);
add('2.9 such a pong, then a ping', [clientFrame(PONG, 'surprise'), clientFrame(PING, 'real')], pong('real'));
add(
  '2.10 ten pings, answered in order',
  Array.from({ length: 10 }, (_, i) => clientFrame(PING, `ping ${i}`)),
  ...Array.from({ length: 10 }, (_, i) => pong(`ping ${i}`)),
);

// 3: reserved bits. Without an extension none may be set.
for (let reserved = 1; reserved < 8; reserved++) {
  for (const [kind, opcode] of Object.entries({ TEXT, BINARY, PING, PONG, CLOSE })) {
    add(`3 the reserved bits ${reserved} in ${kind}`, [clientFrame(opcode, 'xy', { reserved })], 'close 1002');
  }
  add(
    `3 the reserved bits ${reserved} between two messages`,
    [clientFrame(TEXT, 'one'), clientFrame(TEXT, 'two', { reserved }), clientFrame(PING)],
    text('one'),
    'close 1002',
  );
  add(
    `3 the reserved bits ${reserved} in a continuation`,
    [clientFrame(TEXT, 'a', { isFinal: false }), clientFrame(CONTINUATION, 'b', { reserved })],
    'close 1002',
  );
}

// 4: opcodes that nobody has defined.
for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) {
  add(`4 the opcode ${opcode}`, [clientFrame(opcode)], 'close 1002');
  add(`4 the opcode ${opcode} with a payload`, [clientFrame(opcode, 'reserved')], 'close 1002');
  add(
    `4 the opcode ${opcode} between two messages`,
    [clientFrame(TEXT, 'one'), clientFrame(opcode, 'x'), clientFrame(TEXT, 'two'), clientFrame(PING)],
    text('one'),
    'close 1002',
  );
}

// 5: fragmentation.
for (const [kind, opcode] of Object.entries({ PING, PONG, CLOSE })) {
  add(`5.1 ${kind} in two fragments`, fragments(opcode, 'fragment', 4), 'close 1002');
}
for (const opcode of [TEXT, BINARY]) {
  const echo = opcode === TEXT ? text : binary;
  const kind = opcode === TEXT ? 'text' : 'bytes';
  add(`5.3 ${kind} in two fragments`, fragments(opcode, 'fragment1fragment2', 9), echo('fragment1fragment2'));
  add(`5.3 ${kind} in fragments of one byte`, fragments(opcode, 'fragment', 1), echo('fragment'));
  add(
    `5.6 ${kind} with a ping between two fragments`,
    fragments(opcode, 'fragment1fragment2', 9, [clientFrame(PING, 'between')]),
    pong('between'),
    echo('fragment1fragment2'),
  );
  add(
    `5.19 ${kind} with many pings between five fragments`,
    fragments(opcode, 'abcde', 1, [clientFrame(PING, 'x'), clientFrame(PONG, 'y'), clientFrame(PING, 'z')]),
    ...Array.from({ length: 4 }, () => [pong('x'), pong('z')]).flat(),
    echo('abcde'),
  );
  add(
    `5.15 ${kind} in empty fragments`,
    [
      clientFrame(opcode, '', { isFinal: false }),
      clientFrame(CONTINUATION, '', { isFinal: false }),
      clientFrame(CONTINUATION, ''),
    ],
    echo(''),
  );
  add(
    `6.1 ${kind} with an empty fragment before, within and after`,
    [
      clientFrame(opcode, '', { isFinal: false }),
      clientFrame(CONTINUATION, 'middle', { isFinal: false }),
      clientFrame(CONTINUATION, '', { isFinal: true }),
    ],
    echo('middle'),
  );
  add(
    `5.18 ${kind} inside a message`,
    [clientFrame(TEXT, 'one', { isFinal: false }), clientFrame(opcode, 'two')],
    'close 1002',
  );
}
for (const isFinal of [true, false]) {
  const last = isFinal ? 'the last' : 'not the last';
  add(`5.9 a continuation of nothing, ${last}`, [clientFrame(CONTINUATION, 'x', { isFinal })], 'close 1002');
  add(
    `5.12 a continuation after a whole message, ${last}`,
    [clientFrame(TEXT, 'whole'), clientFrame(CONTINUATION, 'x', { isFinal })],
    text('whole'),
    'close 1002',
  );
}

// 6: UTF-8. What is valid comes back, also when each byte is a fragment. What is not gets 1007.
const valid: Readonly<Record<string, string>> = {
  '6.2 Hello-µ@ßöäüàá': 'Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!',
  '6.5 Greek': '\u03ba\u1f79\u03c3\u03bc\u03b5',
  '6.6 the first and the last of two bytes': '\u0080\u07ff',
  '6.6 the first and the last of three bytes': '\u0800\uffff',
  '6.6 the first and the last of four bytes': '\u{10000}\u{10ffff}',
  '6.8 beside the surrogates': '\ud7ff\ue000\ufffd',
  '6.22 characters that are none': '\ufdd0\ufffe\uffff\u{1fffe}\u{10ffff}',
  '6.23 the replacement character': '\ufffd',
  '6.22 NUL': '\0',
};
for (const [name, payload] of Object.entries(valid)) {
  add(name, [clientFrame(TEXT, payload)], text(payload));
  add(`${name}, each byte a fragment`, fragments(TEXT, payload, 1), text(payload));
}
const invalid: Readonly<Record<string, string>> = {
  '6.3 a surrogate in the middle': 'cebae1bdb9cf83cebcceb5eda080656469746564',
  '6.4 above U+10FFFF': 'cebae1bdb9cf83cebcceb5f4908080656469746564',
  '6.9 above the last character': 'f4908080',
  '6.10 five bytes': 'f888808080',
  '6.10 six bytes': 'fc8480808080',
  '6.11 a continuation without its first byte': '80',
  '6.11 many of them': '80bf80bf80bf80',
  '6.12 first bytes alone': 'c020c120df20',
  '6.13 a character of three bytes that is cut': 'e080',
  '6.13 a character of four bytes that is cut': 'f09f98',
  '6.13 a character of two bytes that is cut': 'c3',
  '6.14 impossible bytes': 'fefeffff',
  '6.15 a slash in two bytes': 'c0af',
  '6.15 a slash in three bytes': 'e080af',
  '6.15 a slash in four bytes': 'f08080af',
  '6.16 the longest overlong forms': 'c1bf',
  '6.16 of three bytes': 'e09fbf',
  '6.16 of four bytes': 'f08fbfbf',
  '6.17 NUL in two bytes': 'c080',
  '6.18 the first surrogate': 'eda080',
  '6.18 the last surrogate': 'edbfbf',
  '6.19 a pair of surrogates': 'eda080edb080',
};
for (const [name, hex] of Object.entries(invalid)) {
  const payload = Buffer.from(hex, 'hex');
  add(name, [clientFrame(TEXT, payload)], 'close 1007');
  add(`${name}, after text`, [clientFrame(TEXT, Buffer.concat([Buffer.from('abc'), payload]))], 'close 1007');
  add(`${name}, each byte a fragment`, fragments(TEXT, payload, 1), 'close 1007');
  add(`${name}, as bytes`, [clientFrame(BINARY, payload)], binary(payload));
}
// At once, although the message and even its frame go on: nothing more is sent.
const WRONG = Buffer.from('cebae1bdb9cf83cebcceb5f4908080', 'hex');
add('6.4.1 a wrong fragment that is not the last', [clientFrame(TEXT, WRONG, { isFinal: false })], 'close 1007');
add('6.4.3 a wrong byte in a frame that is not complete', [clientFrame(TEXT, WRONG, { declared: 50n })], 'close 1007');
add(
  '6.4.4 a wrong byte that ends what was right so far',
  [clientFrame(TEXT, WRONG.subarray(0, 12), { declared: 21n }), Buffer.from([0x90 ^ 0x37])],
  'close 1007',
);

// 7: close.
add('7.1.1 a message, then the close', [clientFrame(TEXT, 'hello')], text('hello'));
add('7.1.2 two closes', [closing(1000), closing(1000)], 'close 1000');
add('7.1.3 a ping after the close', [closing(1000), clientFrame(PING)], 'close 1000');
add('7.1.4 a message after the close', [closing(1000), clientFrame(TEXT, 'late')], 'close 1000');
add(
  '7.1.5 a close in the middle of a message',
  [clientFrame(TEXT, 'one', { isFinal: false }), closing(1000), clientFrame(CONTINUATION, 'two')],
  'close 1000',
);
add(
  '7.1.6 256 KiB, a message, a close and a ping',
  [clientFrame(TEXT, 'B'.repeat(262_144)), clientFrame(TEXT, 'hello'), closing(1000), clientFrame(PING)],
  text('B'.repeat(262_144)),
  text('hello'),
  'close 1000',
);
add('7.3.1 a close without a code', [clientFrame(CLOSE)], 'close 1005');
add('7.3.2 a close with one byte', [clientFrame(CLOSE, 'a')], 'close 1002');
add('7.3.4 a close with a reason', [closing(1000, 'Hello World!')], 'close 1000');
add('7.3.5 the longest reason', [closing(1000, '*'.repeat(123))], 'close 1000');
add('7.3.6 a reason that is too long', [closing(1000, '*'.repeat(124))], 'close 1002');
add('7.5.1 a reason that is not UTF-8', [closing(1000, WRONG)], 'close 1007');
for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]) {
  add(`7.7 the code ${code}`, [closing(code)], `close ${code}`);
}
for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535]) {
  add(`7.9 the code ${code}`, [closing(code)], 'close 1002');
  add(`7.9 the code ${code} with a reason`, [closing(code, 'why')], 'close 1002');
}

// 9: limits. The server takes 4 MiB.
export const MAX_MESSAGE_BYTES = 4_194_304;
for (const length of [65_536, 262_144, 1_048_576, MAX_MESSAGE_BYTES]) {
  const payload = Buffer.alloc(length, '*');
  add(`9.1 a text of ${length} bytes`, [clientFrame(TEXT, payload)], text(payload));
  add(`9.2 ${length} bytes`, [clientFrame(BINARY, payload)], binary(payload));
}
for (const bytes of [64, 1_024, 65_536, 1_048_576]) {
  const payload = Buffer.alloc(1_048_576, '*');
  add(`9.3 a text of 1 MiB in fragments of ${bytes}`, fragments(TEXT, payload, bytes), text(payload));
  add(`9.4 1 MiB in fragments of ${bytes}`, fragments(BINARY, payload, bytes), binary(payload));
}
for (const length of [0, 16, 64, 256, 1_024, 4_096, 16_384]) {
  const payload = Buffer.alloc(length, '*');
  const count = length > 1_000 ? 100 : 1_000;
  const sends = Array.from({ length: count }, () => clientFrame(TEXT, payload));
  add(`9.7 ${count} texts of ${length} bytes`, sends, ...Array.from({ length: count }, () => text(payload)));
}
add('9.9 a byte more than the limit', [clientFrame(BINARY, Buffer.alloc(MAX_MESSAGE_BYTES + 1))], 'close 1009');
add(
  '9.9 a byte more than the limit in two fragments',
  [clientFrame(BINARY, Buffer.alloc(MAX_MESSAGE_BYTES), { isFinal: false }), clientFrame(CONTINUATION, 'x')],
  'close 1009',
);
add('9.9 a length of 2^62', [clientFrame(BINARY, '', { declared: 1n << 62n })], 'close 1009');

// 10: a large message in frames of the size of a packet.
add('10.1.1 64 KiB in fragments of 1,300', fragments(TEXT, '*'.repeat(65_536), 1_300), text('*'.repeat(65_536)));

// What the RFC forbids, and the suite does not try.
add('a frame without a mask', [clientFrame(TEXT, 'x', { mask: null })], 'close 1002');
add('a short length in 16 bits', [clientFrame(TEXT, 'x', { lengthBytes: 2 })], 'close 1002');
add('a short length in 64 bits', [clientFrame(TEXT, 'x', { lengthBytes: 8 })], 'close 1002');
add('a length with its highest bit set', [clientFrame(TEXT, '', { declared: 1n << 63n })], 'close 1002');

export const conformanceCases: readonly ConformanceCase[] = cases;
