/** SendBuffer: against the simplest thing that does the same, one array of bytes. */

import fc from 'fast-check';
import { test } from 'tap';
import { SendBuffer } from '../../../../simplenet/tcpip/tcp/send-buffer.ts';
import { cpuMsOf } from '../../../support/machine-time.ts';

const OWNED = Buffer.alloc(2_000, 'o');

function push(buffer: SendBuffer, text: string, isOwned = false): void {
  const bytes = Buffer.from(text);
  if (isOwned) buffer.pushOwned(bytes, 0, bytes.length);
  else buffer.pushCopy(bytes, 0, bytes.length);
}

function text(buffer: SendBuffer, offset = 0, length = buffer.byteLength - offset): string {
  const into = Buffer.alloc(length + 2, '.');
  if (!buffer.copyTo(into, 1, offset, length)) return 'refused';
  return into.toString();
}

test('an empty buffer', async (t) => {
  const buffer = new SendBuffer();
  t.equal(buffer.byteLength, 0);
  t.equal(text(buffer), '..');
  buffer.acknowledge(0);
  buffer.truncate(0);
  push(buffer, '');
  push(buffer, '', true);
  t.equal(buffer.byteLength, 0);
});

test('bytes are read at any offset, and only into their place', async (t) => {
  const buffer = new SendBuffer();
  push(buffer, 'one ');
  push(buffer, 'two ');
  buffer.pushOwned(Buffer.from('xthree'), 1, 6);
  t.equal(buffer.byteLength, 13);
  t.equal(text(buffer), '.one two three.');
  t.equal(text(buffer, 2, 4), '.e tw.');
  t.equal(text(buffer, 12), '.e.');
  t.equal(text(buffer, 0, 1), '.o.');
});

test('offsets count from the first byte that is not acknowledged', async (t) => {
  const buffer = new SendBuffer();
  push(buffer, 'abcdef');
  buffer.acknowledge(2);
  t.equal(text(buffer), '.cdef.');
  push(buffer, 'gh');
  t.equal(text(buffer, 3), '.fgh.');
  buffer.acknowledge(6);
  t.equal(buffer.byteLength, 0);
  push(buffer, 'ij');
  t.equal(text(buffer), '.ij.');
});

test('copies are copies, and owned bytes are not', async (t) => {
  const buffer = new SendBuffer();
  const copied = Buffer.alloc(2_000, 'a');
  const owned = Buffer.alloc(2_000, 'b');
  buffer.pushCopy(copied, 0, 2_000);
  buffer.pushOwned(owned, 0, 2_000);
  copied.fill('x');
  owned.fill('y');
  push(buffer, 'z');
  t.equal(text(buffer), `.${'a'.repeat(2_000)}${'y'.repeat(2_000)}z.`);
  t.equal(owned.toString(), 'y'.repeat(2_000), 'and nothing is written into them');
});

test('few bytes between owned pieces take little memory', async (t) => {
  const buffer = new SendBuffer();
  const before = process.memoryUsage().arrayBuffers;
  const count = 2_000;
  for (let i = 0; i < count; i++) {
    push(buffer, '9c40\r\n');
    buffer.pushOwned(OWNED, 0, OWNED.length);
  }
  const each = (process.memoryUsage().arrayBuffers - before) / count;
  t.ok(each < 4_096, `${each} bytes each`);
  t.equal(buffer.byteLength, count * (6 + OWNED.length));
});

test('owned bytes that are few are copied', async (t) => {
  for (const length of [1_023, 1_024]) {
    const buffer = new SendBuffer();
    const bytes = Buffer.alloc(length, 'a');
    buffer.pushOwned(bytes, 0, length);
    bytes[0] = 0x62;
    t.equal(text(buffer, 0, 1), length === 1_023 ? '.a.' : '.b.', `${length}`);
  }
});

test('memory that was given away and taken back is not sent', async (t) => {
  const buffer = new SendBuffer();
  const given = new Uint8Array(2_000);
  push(buffer, 'before');
  buffer.pushOwned(given, 0, 2_000);
  structuredClone(given.buffer, { transfer: [given.buffer] });
  t.equal(text(buffer, 0, 6), '.before.');
  t.equal(text(buffer, 5, 2), 'refused');
  t.equal(text(buffer, 500, 2), 'refused');
});

test('truncate keeps the first bytes', async (t) => {
  const buffer = new SendBuffer();
  push(buffer, 'a'.repeat(3_000), true);
  push(buffer, 'b'.repeat(3_000), true);
  push(buffer, 'ccc');
  buffer.acknowledge(2_999);
  buffer.truncate(3_003);
  t.equal(text(buffer, 3_000), '.bcc.');
  buffer.truncate(3);
  t.equal(text(buffer), '.abb.');
  push(buffer, 'dd');
  t.equal(text(buffer), '.abbdd.');
  buffer.truncate(0);
  t.equal(buffer.byteLength, 0);
  push(buffer, 'e');
  t.equal(text(buffer), '.e.');
});

const lengths = fc.constantFrom(0, 1, 2, 7, 100, 1_023, 1_024, 1_448, 16_384, 16_385, 40_000);
const share = fc.double({ min: 0, max: 1, noNaN: true });
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('copy', 'owned'), length: lengths, share }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('read'), length: lengths, share }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('acknowledge'), length: lengths, share }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('truncate'), length: lengths, share }) },
);

test('anything, in any order, against a plain array of bytes', async (t) => {
  let value = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const buffer = new SendBuffer();
      let model = Buffer.alloc(0);
      for (const { kind, length, share } of steps) {
        const at = Math.floor(share * model.length);
        if (kind === 'copy' || kind === 'owned') {
          const bytes = Buffer.alloc(length + 9, value++);
          for (let i = 0; i < bytes.length; i += 61) bytes[i] = value++;
          model = Buffer.concat([model, bytes.subarray(9)]);
          if (kind === 'copy') buffer.pushCopy(bytes, 9, bytes.length);
          else buffer.pushOwned(bytes, 9, bytes.length);
        } else if (kind === 'read') {
          const read = Buffer.alloc(Math.min(length, model.length - at));
          if (!buffer.copyTo(read, 0, at, read.length)) return false;
          if (!read.equals(model.subarray(at, at + read.length))) return false;
        } else if (kind === 'acknowledge') {
          model = model.subarray(at);
          buffer.acknowledge(at);
        } else {
          model = model.subarray(0, at);
          buffer.truncate(at);
        }
        if (buffer.byteLength !== model.length) return false;
      }
      const rest = Buffer.alloc(model.length);
      return buffer.copyTo(rest, 0, 0, rest.length) && rest.equals(model);
    }),
    { numRuns: 300 },
  );
  t.pass();
});

test('a long buffer takes no quadratic time, whichever offsets are read', async (t) => {
  const buffer = new SendBuffer();
  const CHUNKS = 20_000;
  const into = Buffer.alloc(1_448);
  const tookMs = await cpuMsOf(() => {
    for (let i = 0; i < CHUNKS; i++) buffer.pushOwned(Buffer.alloc(1_448, i), 0, 1_448);
    for (let i = 0; i < CHUNKS; i++) {
      buffer.copyTo(into, 0, Math.floor((buffer.byteLength - 1_448) * ((i * 0.618) % 1)), 1_448);
      buffer.copyTo(into, 0, 0, 1_448);
      if (into[0] !== (i & 0xff)) throw new Error(`chunk ${i}`);
      buffer.acknowledge(1_448);
    }
  });
  t.equal(buffer.byteLength, 0);
  t.ok(tookMs < 5_000, `${tookMs} ms`);
});
