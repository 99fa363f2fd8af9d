/** The character classes, against the words of the RFCs, byte by byte. */

import { test } from 'tap';
import {
  isFieldValue,
  isHost,
  isProtocol,
  isTargetByte,
  isToken,
  isTokenByte,
  isValueByte,
  namesProtocol,
  tokensOf,
  trimBlanks,
} from '../../http/grammar.ts';
import { cpuMsOf } from '../support/machine-time.ts';

/** As ASCII: a title with a line separator in it would break the report. */
const printable = (text: string) =>
  JSON.stringify(text).replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);

const bytes = Array.from({ length: 256 }, (_, byte) => byte);
const accepted = (table: Uint8Array) => bytes.filter((byte) => table[byte] === 1);

test('token: RFC 9110 section 5.6.2', async (t) => {
  const marks = "!#$%&'*+-.^_`|~";
  const digits = '0123456789';
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
  const all = [...Buffer.from(marks + digits + letters)].sort((a, b) => a - b);
  t.same(accepted(isTokenByte), all);
  t.equal(isTokenByte.length, 256);
  for (const byte of bytes)
    t.equal(isToken(`x${String.fromCharCode(byte)}`), all.includes(byte), `0x${byte.toString(16)}`);
  for (const text of ['', 'a\n', '\na', 'a b', 'ä', 'a\u212a', 'a\u0141']) t.notOk(isToken(text), JSON.stringify(text));
});

test('field value: RFC 9110 section 5.5', async (t) => {
  const isControl = (byte: number) => (byte < 0x20 && byte !== 0x09) || byte === 0x7f;
  t.same(
    accepted(isValueByte),
    bytes.filter((byte) => !isControl(byte)),
  );
  for (const byte of bytes) {
    t.equal(isFieldValue(`a${String.fromCharCode(byte)}b`), !isControl(byte), `0x${byte.toString(16)}`);
  }
  t.ok(isFieldValue(''));
  for (const text of ['a\u0100', '\u010d\u010a', '\u2028', '😀', 'a\n', '\r\nb'])
    t.notOk(isFieldValue(text), printable(text));
});

test('request target: visible ASCII without a fragment', async (t) => {
  t.same(
    accepted(isTargetByte),
    bytes.filter((byte) => byte > 0x20 && byte < 0x7f && byte !== 0x23),
  );
});

test('host: RFC 9112 section 3.2', async (t) => {
  const hosts = [
    'a',
    'a.b',
    'A-b_c~d',
    '1.2.3.4',
    'a:',
    'a:0',
    'a:80',
    'a:65535',
    'a:00080',
    '%41',
    "!$&'()*+,;=",
    '[::1]',
  ];
  hosts.push('[::]', '[::1]:80', '[1:2:3:4:5:6:7:8]', '[::ffff:1.2.3.4]', '[2001:DB8::1]:');
  for (const host of hosts) t.ok(isHost(host), host);
  const others = [
    '',
    ' ',
    'a b',
    ' a',
    'a ',
    'a/',
    'a?',
    'a#',
    'u@a',
    'a\\',
    'a"',
    'a<b',
    'a|b',
    'a^',
    '{a}',
    '%',
    '%4',
    '%zz',
  ];
  others.push(
    ':',
    ':80',
    'a:b',
    'a:80:80',
    'a:65536',
    'a:-1',
    'a:+1',
    'a: 80',
    '::1',
    '[]',
    '[',
    ']',
    '[a',
    'a]',
    '[::1',
    '[::1]x',
  );
  others.push(
    '[::1]:x',
    '[::1]]',
    '[[::1]]',
    '[:::]',
    '[1:2]',
    '[::g]',
    '[1.2.3.4]',
    '[::1%eth0]',
    '[::1%25eth0]',
    '[::256.1.1.1]',
  );
  others.push('999.999.999.999', '1.2.3.4.5', 'a%20b', 'a%2fb', 'xn--a', '%ff'); // no URL can have them
  others.push('a\n', 'a\0', 'ä', 'a\xa0', 'a\u212a', `a:${'9'.repeat(400)}`);
  for (const text of others) t.notOk(isHost(text), JSON.stringify(text));
});

test('lists of tokens: RFC 9110 section 5.6.1', async (t) => {
  t.same(tokensOf('a'), ['a']);
  t.same(tokensOf('Close, X-Y'), ['close', 'x-y']);
  t.same(tokensOf(',a ,,\tb\t, ,'), ['a', 'b'], 'empty members do not count');
  t.same(tokensOf(''), []);
  t.same(tokensOf('a b'), ['a b'], 'two words are not a token, and match no name');
  t.same(tokensOf('\xa0a'), ['\xa0a'], '0xa0 is not a blank');
});

test('blanks are spaces and tabs, and nothing else', async (t) => {
  t.equal(trimBlanks(' \t a b\t '), 'a b');
  t.equal(trimBlanks(' \t '), '');
  t.equal(trimBlanks(''), '');
  for (const other of ['\n', '\r', '\v', '\f', '\xa0', '\ufeff', '\u2003'])
    t.equal(trimBlanks(`${other}a${other}`), `${other}a${other}`);
});

test('none of it takes long for 32 KB that are made for that', async (t) => {
  const inputs = [
    `a${' '.repeat(32_000)}b`,
    ','.repeat(32_000),
    `${'a'.repeat(32_000)} `,
    `[${':'.repeat(32_000)}`,
    '%41'.repeat(10_000),
  ];
  inputs.push(`a:${'1'.repeat(32_000)}`, `a${':1'.repeat(16_000)}`, `${' ,'.repeat(16_000)}`);
  for (const input of inputs) {
    for (const judge of [isHost, isToken, isFieldValue, trimBlanks, tokensOf]) {
      const tookMs = await cpuMsOf(() => void judge(input));
      if (tookMs > 100) t.fail(`${judge.name} of ${JSON.stringify(input.slice(0, 5))}...: ${Math.round(tookMs)} ms`);
    }
  }
});

test('namesProtocol: names in any case, versions exactly, RFC 9110 section 7.8', async (t) => {
  t.ok(namesProtocol('websocket', 'WebSocket'));
  t.ok(namesProtocol('h2c, HTTP/2.0 ,\twebsocket', 'http/2.0'));
  t.ok(namesProtocol('x/A', 'X/A'));
  for (const upgrade of ['', ',', 'websockets', 'web socket', 'x/a', 'x', 'x/A/B', 'x/A x']) {
    t.notOk(namesProtocol(upgrade, 'x/A'), upgrade);
    t.notOk(namesProtocol(upgrade, 'websocket'), upgrade);
  }
  t.notOk(namesProtocol('x/1', 'x'), 'another version of a protocol is another protocol');
});

test('isProtocol', async (t) => {
  for (const protocol of ['websocket', 'HTTP/2.0', 'a', '!/~']) t.ok(isProtocol(protocol), protocol);
  for (const protocol of ['', '/', 'a/', '/1', 'a/b/c', 'a b', 'a,b', 'a\r\n', 'ä'])
    t.notOk(isProtocol(protocol), protocol);
});
