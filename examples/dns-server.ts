/**
 * A DNS server for a small zone, on UDP and TCP at the same address and port.
 *
 * An answer that is too large for a datagram is sent empty, with the truncation bit, and the client asks again over TCP. A malformed
 * query gets an error or no answer, and never stops the server.
 */

import {
  createEventLoop,
  formatSocketAddress,
  parseIPv4,
  parseIPv6,
  type SocketAddress,
  type Stream,
  type StreamHandler,
  type UdpHandler,
} from '../simplenet/index.ts';
import * as dns from './dns/message.ts';
import { portFrom } from './support/port.ts';
import { listenTcpAndUdp } from './support/tcp-and-udp.ts';

const ZONE = 'example.test.';
const TTL_SECONDS = 60;

/** RFC 6891 section 6.2.5: datagrams up to this size pass most networks without fragmentation. */
const EDNS_UDP_SIZE = 1_232;
const TCP_SIZE = 65_535;

/** How long a TCP client may take for a question. */
const IDLE_MS = 10_000;

const ipv4 = (text: string) => [dns.A, Buffer.from(parseIPv4(text) as Uint8Array)] as const;
const ipv6 = (text: string) => [dns.AAAA, Buffer.from(parseIPv6(text)?.bytes as Uint8Array)] as const;
const text = (line: string) => [dns.TXT, Buffer.concat([Uint8Array.of(line.length), Buffer.from(line)])] as const;

/** By lower-case name. The addresses are those for documentation, RFC 5737 and RFC 3849. */
const zone = new Map<string, readonly (readonly [type: number, data: Buffer])[]>([
  [ZONE, [ipv4('192.0.2.1'), ipv6('2001:db8::1'), text('A zone in a handful of lines.')]],
  [`www.${ZONE}`, [ipv4('192.0.2.80'), ipv4('192.0.2.81'), ipv6('2001:db8::80')]],
  [`large.${ZONE}`, Array.from({ length: 50 }, (_, i) => text(`Line ${i + 1} of what no datagram will hold.`))],
]);

/** Returns the code of the answer and its records. */
function lookUp(query: dns.Message): [rcode: number, answers: dns.ResourceRecord[]] {
  const [question, second] = query.questions;
  if ((query.flags & dns.OPCODE) !== 0) return [dns.NOTIMP, []];
  if (question === undefined || second !== undefined) return [dns.FORMERR, []];
  const name = dns.formatName(question.name).toLowerCase();
  const isInZone = name === ZONE || name.endsWith(`.${ZONE}`);
  if (question.class !== dns.IN || !isInZone) return [dns.REFUSED, []];
  const records = zone.get(name);
  if (records === undefined) return [dns.NXDOMAIN, []];
  const found = records.filter(([type]) => type === question.type);
  return [dns.NOERROR, found.map(([, data]) => ({ ...question, ttl: TTL_SECONDS, data }))];
}

/** Returns the encoded answer, at most as large as the transport allows; null if the message gets none. */
function answerTo(bytes: Buffer, from: SocketAddress, isUdp: boolean): Buffer | null {
  // Too short to have an id; or an answer: two servers that answered answers would never stop.
  if (bytes.length < dns.HEADER_SIZE || (bytes.readUInt16BE(2) & dns.QR) !== 0) return null;
  const id = bytes.readUInt16BE(0);
  const flags = dns.QR | (bytes.readUInt16BE(2) & (dns.OPCODE | dns.RD));
  const bare = { id, questions: [], answers: [], additionals: [] };
  let query: dns.Message;
  try {
    query = dns.decodeMessage(bytes);
  } catch (error) {
    if (!(error instanceof dns.MalformedMessage)) throw error;
    report(isUdp, from, `malformed: ${error.message}`, dns.FORMERR, 0);
    return dns.encodeMessage({ ...bare, flags: flags | dns.FORMERR });
  }
  const [rcode, answers] = lookUp(query);
  const { questions } = query;
  // EDNS: a client that sends the size that it can receive gets ours.
  const edns = query.additionals.find((record) => record.type === dns.OPT);
  const additionals =
    edns === undefined ? [] : [{ name: [], type: dns.OPT, class: EDNS_UDP_SIZE, ttl: 0, data: Buffer.alloc(0) }];
  const udpSize = Math.max(dns.DEFAULT_UDP_SIZE, Math.min(edns?.class ?? 0, EDNS_UDP_SIZE));
  const authority = rcode === dns.NOERROR || rcode === dns.NXDOMAIN ? dns.AA : 0;
  const head = { ...bare, flags: flags | authority | rcode, additionals };
  const maxSize = isUdp ? udpSize : TCP_SIZE;
  const asked = questions.map(({ name, type }) => `${dns.formatName(name)} ${dns.formatType(type)}`).join(', ');
  const whole = dns.encodeMessage({ ...head, questions, answers });
  if (whole.length <= maxSize) {
    report(isUdp, from, asked, rcode, answers.length);
    return whole;
  }
  report(isUdp, from, `${asked} (truncated)`, rcode, 0);
  const truncated = dns.encodeMessage({ ...head, flags: head.flags | dns.TC, questions });
  return truncated.length <= maxSize ? truncated : dns.encodeMessage({ ...bare, flags: flags | dns.FORMERR });
}

function report(isUdp: boolean, from: SocketAddress, what: string, rcode: number, answers: number): void {
  const protocol = isUdp ? 'UDP' : 'TCP';
  console.log(`${protocol} ${formatSocketAddress(from)} ${what} -> ${dns.rcodeNames[rcode]}, ${answers} answers`);
}

const onUdp: UdpHandler = {
  onMessage(port, bytes, from) {
    const answer = answerTo(bytes, from, true);
    if (answer !== null) port.send(answer, from);
  },
  onError: (_port, error) => console.error(error.message), // the answer could not be sent, for example to port 0
};

/** A TCP client may send many queries. One receive can bring a part of a query, or several queries. */
function onTcp(stream: Stream): StreamHandler {
  let pending = Buffer.alloc(0);
  stream.setDeadline(IDLE_MS);
  return {
    onData(_, bytes) {
      pending = Buffer.concat([pending, bytes]); // a copy: the loop uses the buffer of `bytes` again
      while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
        const end = 2 + pending.readUInt16BE(0);
        const answer = answerTo(pending.subarray(2, end), stream.remoteAddress, false);
        pending = pending.subarray(end);
        if (answer === null) {
          stream.abort();
          return;
        }
        if (!stream.write(dns.framed(answer))) stream.pause(); // the client reads slower than it asks
        stream.setDeadline(IDLE_MS);
      }
    },
    onDrain: () => stream.resume(),
    onTimeout: () => stream.close(),
  };
}

const loop = createEventLoop();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => loop.close());
const address = { address: '127.0.0.1', port: portFrom(process.argv[2] ?? '5300') };
const [listener] = listenTcpAndUdp(loop, address, onTcp, onUdp);
console.log(`answering for ${ZONE} on UDP and TCP ${formatSocketAddress(listener.address)}`);
