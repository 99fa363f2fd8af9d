/**
 * pcap: a file that tcpdump has written, files that tcpdump reads, and damaged ones.
 *
 * Next: capture-link.test.ts
 */

import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { test } from 'tap';
import { type PcapRecord, pcapHeader, pcapRecord, readPcap } from '../../../../simplenet/tcpip/link/pcap.ts';
import { missing, withoutTap } from '../../../support/programs.ts';

/** An ARP request and its reply. */
const REQUEST = Buffer.from(
  'ffffffffffffb64c6e3fa5d108060001080006040001b64c6e3fa5d10a0900010000000000000a090002',
  'hex',
);
const REPLY = Buffer.from(
  'b64c6e3fa5d102000000000208060001080006040002' + '0200000000020a090002' + 'b64c6e3fa5d10a090001',
  'hex',
);

/** 2022-06-06 10:20:30.123456 UTC. */
const WALL_MS = Date.UTC(2022, 5, 6, 10, 20, 30) + 123.456;

function file(...records: readonly Buffer[]): Buffer {
  return Buffer.concat([pcapHeader(), ...records]);
}

test('the bytes of a file', async (t) => {
  t.equal(pcapHeader().toString('hex'), 'd4c3b2a1' + '02000400' + '00000000' + '00000000' + '00000400' + '01000000');
  t.equal(pcapRecord(REQUEST, WALL_MS).toString('hex'), `eed49d6240e201002a0000002a000000${REQUEST.toString('hex')}`);
});

test('what was written is read', async (t) => {
  const bytes = file(pcapRecord(REQUEST, WALL_MS), pcapRecord(REPLY, WALL_MS + 0.5));
  const [first, second] = readPcap(bytes) as unknown as [PcapRecord, PcapRecord];
  t.same([first.start, first.end, second.start, second.end], [40, 82, 98, 140]);
  t.ok(Math.abs(first.wallMs - WALL_MS) < 0.001 && Math.abs(second.wallMs - WALL_MS - 0.5) < 0.001);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.uint8Array({ maxLength: 100 }), fc.integer({ min: 0, max: 4_294_967_295_999 }))),
      (frames) => {
        const read = readPcap(file(...frames.map(([frame, wallMs]) => pcapRecord(frame, wallMs)))) ?? [];
        return (
          read.length === frames.length &&
          read.every(({ wallMs, wireBytes, bytes: all, start, end }, i) => {
            const [frame, expected] = frames[i] as [Uint8Array, number];
            return (
              Math.round(wallMs) === expected && wireBytes === frame.length && all.subarray(start, end).equals(frame)
            );
          })
        );
      },
    ),
  );
});

/** The same file as a machine with the other byte order writes it. */
function swapped(bytes: Buffer): Buffer {
  const other = Buffer.from(bytes);
  other.subarray(0, 4).swap32();
  other.subarray(4, 8).swap16();
  other.subarray(8, 40).swap32();
  return other;
}

test('both byte orders, and nanoseconds', async (t) => {
  const bytes = file(pcapRecord(REQUEST, WALL_MS));
  const expected = readPcap(bytes);
  t.match(readPcap(swapped(bytes)), [{ wallMs: expected?.[0]?.wallMs, start: 40, end: 82 }]);
  const nano = Buffer.from(bytes);
  nano.writeUInt32LE(0xa1b23c4d, 0);
  nano.writeUInt32LE(123_456_789, 28);
  t.equal(readPcap(nano)?.[0]?.wallMs, Date.UTC(2022, 5, 6, 10, 20, 30) + 123.456789);
});

test('what is not a capture of Ethernet frames', async (t) => {
  t.equal(readPcap(Buffer.alloc(0)), null);
  t.equal(readPcap(pcapHeader().subarray(0, 23)), null);
  t.equal(readPcap(Buffer.alloc(100)), null);
  const raw = pcapHeader();
  raw.writeUInt32LE(101, 20); // LINKTYPE_RAW: packets without Ethernet
  t.equal(readPcap(raw), null);
  t.same(readPcap(pcapHeader()), []);
});

test('a record that is cut off, or longer than any frame, ends the list', async (t) => {
  const whole = file(pcapRecord(REQUEST, WALL_MS), pcapRecord(REPLY, WALL_MS));
  for (let length = 24; length < whole.length; length++) {
    t.equal(readPcap(whole.subarray(0, length))?.length, length < 82 ? 0 : 1, `${length} bytes`);
  }
  const largest = (bytes: number) => readPcap(file(pcapRecord(Buffer.alloc(bytes), 0), pcapRecord(REQUEST, 0)))?.length;
  t.equal(largest(262_144), 2);
  t.equal(largest(262_145), 0);
});

test('any bytes: no exception', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (tail) => {
      return readPcap(Buffer.from(tail)) === null && Array.isArray(readPcap(Buffer.concat([pcapHeader(), tail])));
    }),
  );
});

test('tcpdump reads it', { skip: missing('tcpdump') }, async (t) => {
  const input = file(pcapRecord(REQUEST, WALL_MS), pcapRecord(REPLY, WALL_MS + 0.25));
  const [command, args] = withoutTap('tcpdump', ['-n', '-e', '-r', '-']);
  const { stdout } = spawnSync(command, args, { input, encoding: 'utf8', env: { ...process.env, TZ: 'UTC' } });
  t.equal(
    stdout,
    '10:20:30.123456 b6:4c:6e:3f:a5:d1 > ff:ff:ff:ff:ff:ff, ethertype ARP (0x0806), length 42: Request who-has 10.9.0.2 tell 10.9.0.1, length 28\n' +
      '10:20:30.123706 02:00:00:00:00:02 > b6:4c:6e:3f:a5:d1, ethertype ARP (0x0806), length 42: Reply 10.9.0.2 is-at 02:00:00:00:00:02, length 28\n',
  );
});
