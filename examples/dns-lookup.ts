/**
 * A DNS lookup by hand: one datagram out, one back, and TCP if the answer does not fit.
 *
 * An attacker can send a datagram that looks like the answer. So the socket is connected, and the kernel drops datagrams from other
 * addresses. The id is random, and an answer must repeat the id and the question. Other datagrams are ignored, and do not extend the
 * wait.
 */

import { randomInt } from 'node:crypto';
import {
  formatIPv4,
  formatIPv6,
  formatSocketAddress,
  NetSocket,
  parseSocketAddress,
  type SocketAddress,
  UdpSocket,
} from '../simplenet/index.ts';
import * as dns from './dns/message.ts';
import { Patience } from './support/patience.ts';

const ATTEMPTS = 3;
const ATTEMPT_MS = 1_000;
const TCP_MS = 5_000;

const types: Readonly<Record<string, number>> = { A: dns.A, AAAA: dns.AAAA, TXT: dns.TXT };

const [nameText = '', typeText = 'A', serverText = '127.0.0.1:5300'] = process.argv.slice(2);
const name = dns.parseName(nameText);
const type = types[typeText.toUpperCase()];
const server = parseSocketAddress(serverText);
if (name === null || type === undefined || server === null) {
  throw new Error('Usage: npm run example -- dns-lookup NAME [A|AAAA|TXT] [ADDRESS:PORT]');
}
const question = { name, type, class: dns.IN };
const id = randomInt(0x1_0000);
const query = dns.encodeMessage({ id, flags: dns.RD, questions: [question], answers: [], additionals: [] });

/** Returns the message in these bytes if it answers our query, or null. */
function answerIn(bytes: Buffer): dns.Message | null {
  try {
    const message = dns.decodeMessage(bytes);
    const [echo] = message.questions;
    const isOurs =
      message.id === id &&
      (message.flags & dns.QR) !== 0 &&
      echo !== undefined &&
      dns.formatName(echo.name).toLowerCase() === dns.formatName(question.name).toLowerCase() &&
      echo.type === question.type;
    return isOurs ? message : null;
  } catch (error) {
    if (error instanceof dns.MalformedMessage) return null;
    throw error;
  }
}

/** UDP may lose datagrams without an error, so the question is sent again if no answer comes in time. */
function askOverUdp(server: SocketAddress): dns.Message {
  const socket = UdpSocket.connectTo(server);
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      socket.send(query);
      const patience = new Patience(ATTEMPT_MS);
      while (socket.wait('readable', patience.leftMs)) {
        const answer = answerIn(socket.receive(dns.DEFAULT_UDP_SIZE).bytes);
        if (answer !== null) return answer;
      }
    }
  } finally {
    socket.close();
  }
  throw new Error(`no answer from ${formatSocketAddress(server)} within ${ATTEMPTS * ATTEMPT_MS} ms`);
}

/** RFC 1035 section 4.2.2. */
function askOverTcp(server: SocketAddress): dns.Message {
  const patience = new Patience(TCP_MS);
  const socket = NetSocket.connectTo(server, { connectTimeoutMs: patience.leftMs });
  const read = (length: number): Buffer => {
    const bytes = Buffer.alloc(length);
    for (let filled = 0; filled < length; ) {
      if (!socket.wait('readable', patience.leftMs)) throw new Error(`no answer over TCP within ${TCP_MS} ms`);
      const size = socket.read(bytes, filled);
      if (size === 0) throw new Error('the server left in the middle of its answer');
      filled += size;
    }
    return bytes;
  };
  try {
    socket.writeAll(dns.framed(query)); // does not wait: a few bytes fit into the empty send buffer
    const answer = answerIn(read(read(2).readUInt16BE()));
    if (answer === null) throw new Error('the server answered something else');
    return answer;
  } finally {
    socket.close();
  }
}

/** RFC 1035 section 3.3.14: strings, each after its length. */
function formatText(data: Buffer): string {
  const strings: string[] = [];
  for (let at = 0; at < data.length; at += 1 + (data[at] as number)) {
    const string = data.toString('latin1', at + 1, at + 1 + (data[at] as number));
    strings.push(`"${string.replace(/[^ -~]|["\\]/g, dns.escapeByte)}"`);
  }
  return strings.join(' ');
}

function formatData({ type, data }: dns.ResourceRecord): string {
  if (type === dns.A && data.length === 4) return formatIPv4(data);
  if (type === dns.AAAA && data.length === 16) return formatIPv6(data);
  if (type === dns.TXT) return formatText(data);
  return `\\# ${data.length} ${data.toString('hex')}`; // RFC 3597 section 5
}

let answer = askOverUdp(server);
if ((answer.flags & dns.TC) !== 0) {
  console.log('the answer does not fit into a datagram: asking again over TCP');
  answer = askOverTcp(server);
}
const rcode = answer.flags & dns.RCODE;
if (rcode !== dns.NOERROR) throw new Error(`the server says ${dns.rcodeNames[rcode] ?? rcode}`);
for (const record of answer.answers) {
  console.log(`${dns.formatName(record.name)} ${record.ttl} ${dns.formatType(record.type)} ${formatData(record)}`);
}
if (answer.answers.length === 0) console.log(`${dns.formatName(name)} has no ${typeText.toUpperCase()} records`);
