/** Segments: bytes that Linux has sent, and every combination of options there and back. */

import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { test } from 'tap';
import {
  ACK,
  decodeSegment,
  encodeSegmentHead,
  FIN,
  headBytes,
  MAX_WINDOW_SCALE,
  maxSackBlocks,
  noOptions,
  PSH,
  RST,
  type SegmentHead,
  SYN,
  sequenceLength,
  type TcpOptions,
  URG,
} from '../../../../simplenet/tcpip/tcp/segment.ts';

/** Segments of one connection over the loopback device of Linux 6, recorded with tcpdump. */
const linux = {
  syn: 'bddcd9ffa1dc5b3500000000a002ffd7fe3000000204ffd70402080ad967b1e5000000000103030a',
  synAck: 'd9ffbddc5b21972ca1dc5b36a012ffcbfe3000000204ffd70402080a684d97f3d967b1e50103030a',
  request: 'bddcd9ffa1dc5b365b21972d80180040fe3a00000101080ad967b1e5684d97f3474554202f20485454502f312e310d0a0d0a',
  urgent: 'd9ffbddc5b21972da1dc5b4880380040fe2900010101080a684d97f3d967b1e578',
  reset: 'bddcd9ffa1dc5b485b21972e80140040fe2800000101080ad967b1e5684d97f3',
};

function decode(hex: string) {
  const bytes = Buffer.from(`ffff${hex}`, 'hex');
  return decodeSegment(bytes, 2, bytes.length);
}

/** A segment without payload and with these bytes as its options. */
function withOptions(hex: string): Buffer {
  const options = Buffer.from(hex, 'hex');
  const head = Buffer.alloc(20);
  head[12] = (5 + options.length / 4) << 4;
  return Buffer.concat([head, options]);
}

function optionsOf(hex: string): TcpOptions | undefined {
  const bytes = withOptions(hex);
  return decodeSegment(bytes, 0, bytes.length)?.options;
}

test('a SYN of Linux', async (t) => {
  t.match(decode(linux.syn), {
    sourcePort: 48604,
    destinationPort: 55807,
    sequence: 2715573045,
    acknowledgment: 0,
    flags: SYN,
    window: 65495,
    urgent: 0,
    options: {
      mss: 65495,
      windowScale: 10,
      sackPermitted: true,
      timestampValue: 3647451621,
      timestampEcho: 0,
      sackBlocks: [],
    },
    start: 42,
    end: 42,
  });
});

test('its SYN+ACK, a request, urgent bytes and a reset', async (t) => {
  t.match(decode(linux.synAck), { flags: SYN | ACK, sequence: 1528928044, acknowledgment: 2715573046 });
  const request = decode(linux.request);
  t.match(request, { flags: PSH | ACK, window: 64, options: { mss: null, timestampEcho: 1749915635 } });
  t.equal(request?.bytes.toString('latin1', request.start, request.end), 'GET / HTTP/1.1\r\n\r\n');
  t.match(decode(linux.urgent), { flags: PSH | ACK | URG, urgent: 1 });
  t.match(decode(linux.reset), { flags: RST | ACK });
});

test('we write the same bytes as Linux, but for the checksum', async (t) => {
  for (const [name, hex] of Object.entries(linux)) {
    const expected = Buffer.from(hex, 'hex');
    const segment = decodeSegment(expected, 0, expected.length);
    if (segment === null) throw new Error(name);
    const written = Buffer.alloc(60, 0xee);
    const end = encodeSegmentHead(written, 3, segment);
    expected.writeUInt16BE(0, 16);
    t.equal(written.toString('hex', 3, end), expected.toString('hex', 0, segment.start), name);
    t.equal(headBytes(segment.options), segment.start, name);
    t.equal(written[end], 0xee, 'and nothing behind them');
  }
});

test('SYN and FIN take a number each', async (t) => {
  t.equal(sequenceLength({ flags: ACK, start: 10, end: 30 }), 20);
  t.equal(sequenceLength({ flags: FIN | ACK, start: 10, end: 30 }), 21);
  t.equal(sequenceLength({ flags: SYN, start: 10, end: 10 }), 1);
  t.equal(sequenceLength({ flags: SYN | FIN, start: 10, end: 11 }), 3);
});

test('too short, and headers that do not fit', async (t) => {
  const whole = Buffer.from(linux.syn, 'hex');
  t.equal(decodeSegment(whole, 0, 19), null, '19 bytes');
  t.equal(decodeSegment(whole, 0, 39), null, 'a header of 40 bytes in 39');
  t.not(decodeSegment(whole, 0, 40), null);
  whole[12] = 0x40;
  t.equal(decodeSegment(whole, 0, 40), null, 'a header of 16 bytes');
});

test('options that are malformed, unknown or of a wrong length', async (t) => {
  t.equal(optionsOf('01010102'), undefined, 'no length');
  t.equal(optionsOf('02000000'), undefined, 'a length of zero');
  t.equal(optionsOf('02010000'), undefined, 'a length of one');
  t.equal(optionsOf('0101080a'), undefined, 'timestamps beyond the header');
  t.match(optionsOf('fd04abcd020405b4'), { mss: 1460 }, 'an unknown option is skipped');
  t.same(optionsOf('00ffffff'), noOptions, 'nothing is read behind the end');
  const wrong = ['020301', '030403ff', '0403ff', '080600000000', '0502', '050601020304', '02060102ffff'];
  for (const hex of wrong) {
    t.same(optionsOf(hex.padEnd(Math.ceil(hex.length / 8) * 8, '0')), noOptions, `${hex} is skipped`);
  }
  t.same(optionsOf(''), noOptions);
  t.match(optionsOf('03030f00'), { windowScale: MAX_WINDOW_SCALE }, 'RFC 7323 section 2.3');
  t.match(optionsOf('03030e00'), { windowScale: 14 });
});

test('SACK blocks: three fit beside timestamps, four without', async (t) => {
  t.equal(maxSackBlocks(true), 3);
  t.equal(maxSackBlocks(false), 4);
  const sackBlocks = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  const there = (options: Partial<TcpOptions>) => {
    const bytes = Buffer.alloc(60);
    const end = encodeSegmentHead(bytes, 0, head({ ...noOptions, ...options }));
    t.equal(headBytes({ ...noOptions, ...options }), end);
    return decodeSegment(bytes, 0, end)?.options.sackBlocks;
  };
  t.same(there({ sackPermitted: true, sackBlocks: [1, 2] }), [1, 2]);
  t.same(there({ sackBlocks }), [1, 2, 3, 4, 5, 6, 7, 8]);
  t.same(there({ sackBlocks, timestampValue: 1, timestampEcho: 2 }), [1, 2, 3, 4, 5, 6]);
  t.same(there({ sackBlocks, timestampValue: 1, timestampEcho: 2, mss: 3, windowScale: 4 }), [1, 2, 3, 4]);
});

function head(options: TcpOptions): SegmentHead {
  return {
    sourcePort: 1,
    destinationPort: 2,
    sequence: 3,
    acknowledgment: 4,
    flags: ACK,
    window: 5,
    urgent: 0,
    options,
  };
}

const number32 = fc.integer({ min: 0, max: 0xffff_ffff });
const number16 = fc.nat(0xffff);
const anyOptions: fc.Arbitrary<TcpOptions> = fc
  .record({
    mss: fc.option(number16),
    windowScale: fc.option(fc.nat(MAX_WINDOW_SCALE)),
    sackPermitted: fc.boolean(),
    timestamps: fc.option(fc.tuple(number32, number32)),
    sackBlocks: fc.array(fc.tuple(number32, number32), { maxLength: 2 }),
  })
  .map(({ timestamps, sackBlocks, ...rest }) => ({
    ...rest,
    timestampValue: timestamps?.[0] ?? -1,
    timestampEcho: timestamps?.[1] ?? -1,
    sackBlocks: sackBlocks.flat(),
  }));
const anyHead = fc.record<SegmentHead>({
  sourcePort: number16,
  destinationPort: number16,
  sequence: number32,
  acknowledgment: number32,
  flags: fc.nat(0xff),
  window: number16,
  urgent: number16,
  options: anyOptions,
});

test('what is written is read again', async (t) => {
  fc.assert(
    fc.property(anyHead, fc.nat(20), (written, payload) => {
      const bytes = Buffer.alloc(90);
      const end = encodeSegmentHead(bytes, 5, written);
      const read = decodeSegment(bytes, 5, end + payload);
      return isDeepStrictEqual(read, { ...written, bytes, start: end, end: end + payload });
    }),
    { numRuns: 200 },
  );
  t.pass();
});

test('no bytes throw', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(15), (array, words) => {
      const bytes = Buffer.from(array);
      if (bytes.length > 12) bytes[12] = words << 4;
      const segment = decodeSegment(bytes, 0, bytes.length);
      return segment === null || (segment.start >= 20 && segment.start <= segment.end && segment.end === bytes.length);
    }),
    { numRuns: 2_000 },
  );
  t.pass();
});
