/** DER: each type, and the edges of its lengths, against bytes worked out by hand from X.690. */

import { test } from 'tap';
import * as der from '../../../simplenet/layers/der.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

test('values', async (t) => {
  t.equal(hex(der.sequence(der.integer(Buffer.of(5)), der.utf8String('hello'))), '300a0201050c0568656c6c6f');
  t.equal(hex(der.set(der.boolean(true), der.boolean(false))), '31060101ff010100');
  t.equal(hex(der.bitString(Buffer.of(0x80), 7)), '03020780');
  t.equal(hex(der.bitString(Buffer.of(1, 2))), '0303000102');
  t.equal(hex(der.octetString(Buffer.of(1))), '040101');
  t.equal(hex(der.explicit(3, der.integer(Buffer.of(1)))), 'a303020101');
  t.equal(hex(der.implicit(2, Buffer.from('a'))), '820161');
});

test('integers are not negative, and have no zeros in front', async (t) => {
  const cases = {
    '': '020100',
    '00': '020100',
    '7f': '02017f',
    '80': '02020080',
    '0001': '020101',
    '00ff': '020200ff',
  };
  for (const [bytes, expected] of Object.entries(cases)) t.equal(hex(der.integer(Buffer.from(bytes, 'hex'))), expected);
});

test('lengths of one byte, and of more', async (t) => {
  const lengthOf = (size: number) => hex(der.octetString(Buffer.alloc(size)).subarray(1, -size || undefined));
  const cases = { 0: '00', 127: '7f', 128: '8180', 255: '81ff', 256: '820100', 65535: '82ffff', 65536: '83010000' };
  for (const [size, expected] of Object.entries(cases)) t.equal(lengthOf(Number(size)), expected, size);
});

test('object identifiers', async (t) => {
  t.equal(hex(der.objectIdentifier('2.5.29.17')), '0603551d11');
  t.equal(hex(der.objectIdentifier('1.2.840.10045.4.3.2')), '06082a8648ce3d040302');
  t.equal(hex(der.objectIdentifier('1.2.127.128.16383.16384')), '06092a7f8100ff7f818000');
});

test('times: two digits for the year, and four from 2050 on', async (t) => {
  t.equal(der.time(Date.UTC(2026, 0, 2, 3, 4, 5, 678)).toString('latin1'), '\x17\x0d260102030405Z');
  t.equal(der.time(Date.UTC(2049, 11, 31, 23, 59, 59)).toString('latin1'), '\x17\x0d491231235959Z');
  t.equal(der.time(Date.UTC(2050, 0, 1)).toString('latin1'), '\x18\x0f20500101000000Z');
});
