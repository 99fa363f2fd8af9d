/** ICMP: captured messages, what each error means, and what a quoted packet must have. */

import fc from 'fast-check';
import t from 'tap';
import {
  ECONNREFUSED,
  EHOSTUNREACH,
  EMSGSIZE,
  ENETUNREACH,
  ENOPROTOOPT,
  EPROTO,
} from '../../../../simplenet/kernel/abi.ts';
import {
  decodeIcmp,
  decodeIcmpError,
  type IcmpError,
  MAX_QUOTED_BYTES,
  writeIcmpHeader,
} from '../../../../simplenet/tcpip/ip/icmp.ts';
import { datagram, echoReply, echoRequest, portUnreachable, protocolUnreachable } from './captured.ts';

const ICMP = 34;

/** The error that a message of this type and code reports about a packet. */
function errorOf(type: number, code: number, rest = 0, quoted = datagram.subarray(14)): IcmpError | null {
  const bytes = Buffer.concat([Buffer.alloc(8), quoted]);
  writeIcmpHeader(bytes, 0, bytes.length, { type, code, rest });
  const message = decodeIcmp(bytes, 0, bytes.length);
  if (message === null) throw new Error('it does not decode');
  return decodeIcmpError(message);
}

t.test('captured messages', async (t) => {
  t.match(decodeIcmp(echoRequest, ICMP, echoRequest.length), { type: 8, code: 0, rest: 0x11f40001, start: 42 });
  t.match(decodeIcmp(echoReply, ICMP, echoReply.length), { type: 0, code: 0, rest: 0x11f40001 });
  const message = decodeIcmp(portUnreachable, ICMP, portUnreachable.length);
  if (message === null) throw new Error('it does not decode');
  const error = decodeIcmpError(message);
  t.match(error, { kind: 'unreachable', errno: ECONNREFUSED, isHard: true, mtu: null, protocol: 17 });
  t.match(error, { source: 0x0a090001, destination: 0x0a090002 });
  t.same(error?.bytes.subarray(error.start, error.end), datagram.subarray(34));
});

t.test('the same bytes are written as Linux has written', async (t) => {
  for (const frame of [echoRequest, echoReply, portUnreachable, protocolUnreachable]) {
    const message = decodeIcmp(frame, ICMP, frame.length);
    if (message === null) throw new Error('it does not decode');
    const bytes = Buffer.from(frame);
    bytes.fill(0xee, ICMP, message.start);
    writeIcmpHeader(bytes, ICMP, bytes.length, message);
    t.same(bytes, frame);
  }
});

t.test('too short, or a wrong checksum', async (t) => {
  for (let end = ICMP; end < ICMP + 8; end++) t.equal(decodeIcmp(echoRequest, ICMP, end), null);
  const damaged = Buffer.from(echoRequest);
  damaged[50] = 1;
  t.equal(decodeIcmp(damaged, ICMP, damaged.length), null);
  t.equal(decodeIcmpError({ type: 3, code: 3, rest: 0, bytes: damaged, start: 0, end: 0 }), null);
});

t.test('the errors', async (t) => {
  const rows = Array.from({ length: 17 }, (_, code) => errorOf(3, code)).map((error) =>
    error === null ? null : [error.kind, error.errno, error.isHard],
  );
  const soft = (errno: number) => ['unreachable', errno, false];
  const hard = (errno: number) => ['unreachable', errno, true];
  t.same(rows, [
    soft(ENETUNREACH),
    soft(EHOSTUNREACH),
    hard(ENOPROTOOPT),
    hard(ECONNREFUSED),
    ['fragmentation-needed', EMSGSIZE, false],
    soft(EHOSTUNREACH),
    hard(ENETUNREACH),
    hard(EHOSTUNREACH),
    hard(EHOSTUNREACH),
    hard(ENETUNREACH),
    hard(EHOSTUNREACH),
    soft(ENETUNREACH),
    soft(EHOSTUNREACH),
    hard(EHOSTUNREACH),
    hard(EHOSTUNREACH),
    hard(EHOSTUNREACH),
    null,
  ]);
  for (const code of [0, 1]) t.match(errorOf(11, code), { kind: 'time-exceeded', errno: EHOSTUNREACH, isHard: false });
  t.match(errorOf(12, 0), { kind: 'parameter-problem', errno: EPROTO, isHard: true });
});

t.test('messages that are no errors, or that we do not read', async (t) => {
  const types = {
    'echo reply': 0,
    'source quench': 4,
    redirect: 5,
    echo: 8,
    'router advertisement': 9,
    timestamp: 13,
    mask: 17,
  };
  for (const [what, type] of Object.entries(types)) t.equal(errorOf(type, 0), null, what);
});

t.test('fragmentation needed: the size is stated, or guessed from the packet', async (t) => {
  t.equal(errorOf(3, 4, 1400)?.mtu, 1400);
  t.equal(errorOf(3, 4, 0xabcd_0000 + 1400)?.mtu, 1400, 'the upper half is not part of it');
  const large = Buffer.from(datagram.subarray(14));
  large.writeUInt16BE(1500, 2);
  t.equal(errorOf(3, 4, 0, large)?.mtu, 1492);
  t.equal(errorOf(3, 3, 1400)?.mtu, null, 'other errors have none');
});

t.test('the quoted packet: header and eight bytes, and not a later fragment', async (t) => {
  const packet = datagram.subarray(14);
  for (let length = 0; length < 28; length++) t.equal(errorOf(3, 3, 0, packet.subarray(0, length)), null, `${length}`);
  t.match(errorOf(3, 3, 0, packet.subarray(0, 28)), { errno: ECONNREFUSED });
  const later = Buffer.from(packet);
  later.writeUInt16BE(185, 6);
  t.equal(errorOf(3, 3, 0, later), null);
  const first = Buffer.from(packet);
  first.writeUInt16BE(0x2000, 6);
  t.match(errorOf(3, 3, 0, first), { errno: ECONNREFUSED });
  t.equal(MAX_QUOTED_BYTES, 548);
});

t.test('property: any bytes behind a right checksum are decoded or refused', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 8, maxLength: 80 }), fc.constantFrom(3, 11, 12), (content, type) => {
      const bytes = Buffer.from(content);
      writeIcmpHeader(bytes, 0, bytes.length, { type, code: bytes[1] as number, rest: bytes.readUInt32BE(4) });
      const message = decodeIcmp(bytes, 0, bytes.length);
      if (message === null) return false;
      const error = decodeIcmpError(message);
      return error === null || (error.end - error.start >= 8 && error.end <= bytes.length);
    }),
  );
});
