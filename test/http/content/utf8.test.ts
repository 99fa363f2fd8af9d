/**
 * UTF-8, and the place where bytes are not UTF-8.
 *
 * Next: json-nesting.test.ts
 */

import fc from 'fast-check';
import { test } from 'tap';
import { decodeUtf8, utf8FaultOf } from '../../../http/content/utf8.ts';

const isValid = (bytes: Uint8Array) => {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
};

test('text, and an error that names the first wrong byte', async (t) => {
  t.equal(decodeUtf8(Buffer.from('grüße \ufffd 😀'), 'the body'), 'grüße \ufffd 😀');
  t.throws(() => decodeUtf8(Buffer.from('ä\xff', 'latin1'), 'the body'), {
    status: 400,
    message: 'the body is not valid UTF-8, at byte 0',
  });
  const bytes = Buffer.concat([Buffer.from('ab\ufffdä'), Buffer.of(0xc0, 0xaf)]);
  t.throws(() => decodeUtf8(bytes, 'a part', 100), { message: 'a part is not valid UTF-8, at byte 107' });
  t.equal(utf8FaultOf(Buffer.from('abc')), 3);
});

test('the bytes before the fault are UTF-8, and those up to it and more are not', async (t) => {
  const byte = fc.oneof(fc.constantFrom(0x61, 0xc3, 0xa4, 0xef, 0xbf, 0xbd, 0xf0, 0x9f, 0x98, 0x80, 0xed), fc.nat(255));
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 12 }), (values) => {
      const bytes = Uint8Array.from(values);
      const fault = utf8FaultOf(bytes);
      if (isValid(bytes)) return fault === bytes.length;
      // Valid bytes that follow could only complete what begins at the fault.
      return fault < bytes.length && isValid(bytes.subarray(0, fault));
    }),
    { numRuns: 2_000 },
  );
  t.pass();
});
