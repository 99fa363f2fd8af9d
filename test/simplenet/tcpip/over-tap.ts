/**
 * The programs of a Linux machine against a stack of ours, over a TAP interface in a network namespace. tap-site.ts is the server there.
 *
 * At the end tshark judges all frames that have passed: none is malformed, none has a wrong checksum, and of what tshark finds remarkable
 * ("expert information") each kind is explained below.
 */

import { mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { missingPeer, peersFolder } from '../../peers/peers.ts';
import { chromiumFlags } from '../../support/chromium.ts';
import { behindTap, besideProcess, noTapNamespace } from '../../support/network-namespace.ts';
import { missing, type Outcome, Program, plainEnvironment } from '../../support/programs.ts';
import { hashOf, piecesOf } from './numbered-bytes.ts';

const URL = 'http://10.9.0.2';

const skip = noTapNamespace();

class TapNetwork {
  readonly folder = mkdtempSync(join(tmpdir(), 'simplenet-tap-'));
  readonly captureFile = join(this.folder, 'frames.pcap');
  readonly #server: Program;

  constructor(t: Test) {
    const site = join(import.meta.dirname, 'tap-site.js');
    const [command, args] = behindTap([process.execPath, '--enable-source-maps', site, this.captureFile]);
    this.#server = new Program(command, args);
    t.teardown(() => {
      this.#server.kill();
      rmSync(this.folder, { recursive: true, force: true });
    });
  }

  async listens(): Promise<void> {
    await this.#server.prints(/listening on .*\n/);
  }

  /** Runs a program of Linux in the namespace. */
  run(command: string, ...args: readonly string[]): Promise<Outcome> {
    const [nsenter, options] = besideProcess(this.#server.child.pid as number, [command, ...args]);
    return new Program(nsenter, options, { env: plainEnvironment() }).ends();
  }

  shell(commands: string): Promise<Outcome> {
    return this.run('sh', '-c', commands);
  }

  /** Returns what the stack has counted. */
  async stop(): Promise<Readonly<Record<string, number>>> {
    this.#server.kill('SIGTERM');
    const { stdout, stderr, code } = await this.#server.ends();
    if (code !== 0) throw new Error(`the server ended with ${code}: ${stderr}`);
    return JSON.parse(stdout.trim().split('\n').at(-1) as string);
  }
}

export interface Sizes {
  readonly transferBytes: number;
  readonly wrkSeconds: number;
  readonly withChromium: boolean;
}

export function overTap({ transferBytes, wrkSeconds, withChromium }: Sizes): void {
  test('Linux over TAP', { skip, timeout: 300_000 }, async (t) => {
    const network = new TapNetwork(t);
    await network.listens();

    await t.test('ping, also in fragments', { skip: missing('ping') }, async (t) => {
      for (const size of [56, 4_000, 65_507]) {
        const { stdout } = await network.run('ping', '-c', '1', '-W', '20', '-s', String(size), '10.9.0.2');
        t.match(stdout, /1 packets transmitted, 1 received/, `${size} bytes`);
      }
    });

    await t.test('curl: GET, and bytes in both directions', { skip: missing('curl') }, async (t) => {
      t.equal((await network.run('curl', '-sS', `${URL}/hello`)).stdout, 'Hello, frames!\n');
      const file = join(network.folder, 'bytes');
      const descriptor = openSync(file, 'w');
      for (const piece of piecesOf(transferBytes)) writeSync(descriptor, piece);
      const hash = hashOf(transferBytes);
      const [up, down] = await Promise.all([
        network.run('curl', '-sS', '-T', file, `${URL}/bytes`),
        network.shell(`curl -sS ${URL}/bytes/${transferBytes} | sha256sum`),
      ]);
      t.equal(up.stdout, hash, `up: ${up.stderr}`);
      t.equal(down.stdout.slice(0, hash.length), hash, `down: ${down.stderr}`);
    });

    await t.test('nc ends its side first, and gets the response', { skip: missing('nc') }, async (t) => {
      for (const [path, body] of [
        ['hello', 'Hello, frames!\n'],
        ['late', 'late\n'],
      ]) {
        const request = `printf 'GET /${path} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'`;
        const { stdout, stderr } = await network.shell(`${request} | nc -N -w 10 10.9.0.2 80`);
        t.ok(stdout.endsWith(`\r\n\r\n${body}`), `${path}: ${stdout}${stderr}`);
      }
    });

    await t.test('nmap: closed ports are refused at once', { skip: missing('nmap') }, async (t) => {
      const { stdout } = await network.run(
        'nmap',
        '-n',
        '-Pn',
        '-sT',
        '-p',
        '1-200',
        '--max-retries',
        '0',
        '--reason',
        '10.9.0.2',
      );
      t.match(stdout, /Not shown: 199 closed tcp ports \(conn-refused\)/);
      t.match(stdout, /80\/tcp +open +http +syn-ack/);
    });

    await t.test('traceroute finds one hop, by UDP and by ICMP', { skip: missing('traceroute') }, async (t) => {
      for (const how of [[], ['-I']]) {
        const { stdout } = await network.run('traceroute', '-n', '-w', '5', ...how, '10.9.0.2');
        t.match(stdout, /^.*\n 1 {2}10\.9\.0\.2( {2}[\d.]+ ms){3}\n$/, how.join());
      }
    });

    await t.test('wrk with 64 connections', { skip: missing('wrk') }, async (t) => {
      const { stdout } = await network.run('wrk', '-t1', '-c64', `-d${wrkSeconds}`, '--timeout', '20', `${URL}/hello`);
      t.match(stdout, /[1-9]\d* requests in/);
      t.notMatch(stdout, /Socket errors|Non-2xx/);
    });

    await t.test('a WebSocket of ws, compressed and not', { skip: missingPeer('ws') }, async (t) => {
      const { stdout, stderr } = await network.run(process.execPath, join(peersFolder, 'ws-echoes.mjs'), `${URL}/echo`);
      t.equal(stdout, 'permessage-deflate: 200 echoes, then 4000\nno extension: 200 echoes, then 4000\n', stderr);
    });

    const skipChromium = withChromium ? missing('chromium') : 'in the long suite';
    await t.test('Chromium loads a page with its style and script', { skip: skipChromium }, async (t) => {
      const flags = chromiumFlags(join(network.folder, 'profile'));
      const { stdout } = await network.run('chromium', ...flags, '--dump-dom', '--virtual-time-budget=3000', URL);
      t.match(stdout, /<h1>Frames<\/h1><p id="x">styled rgb\(1, 2, 3\)<\/p>/);
    });

    const counts = await network.stop();
    t.match(counts, { malformed: 0, martians: 0, fragmentsRefused: 0, linkOverflows: 0 });

    await t.test('tshark finds nothing wrong in the frames', { skip: missing('tshark') }, async (t) => {
      await judge(t, network.captureFile);
    });
  });
}

interface Remark {
  readonly frame: string;
  readonly from: 'linux' | 'us';
  readonly message: string;
}

/** What tshark remarks upon here, and why it is no fault. Anything else that is more than a chat fails the test. */
const explained: readonly (readonly [message: RegExp, from: readonly Remark['from'][], reason: string])[] = [
  [/^This frame (initiates|undergoes) the connection closing$/, ['linux', 'us'], 'each FIN gets this note'],
  [/^"Time To Live" only [1-4]$/, ['linux', 'us'], 'traceroute sends such packets, and our ICMP errors quote them'],
  [/^Connection reset \(RST\)$/, ['us'], 'nmap asks for closed ports'],
  [/^Connection reset \(RST\)$/, ['linux'], 'wrk and Chromium leave while responses are on their way'],
  [
    /^TCP window specified by the receiver is now completely full$/,
    ['linux', 'us'],
    'the sender is faster than the reader',
  ],
  [/^TCP Zero Window segment$/, ['linux', 'us'], 'the program above reads slower than bytes come: its backpressure'],
  [/^TCP Zero Window Probe$/, ['linux', 'us'], 'the answer to that, if it lasts'],
  [/^ACK to a TCP Zero Window Probe$/, ['linux', 'us'], 'its acknowledgment'],
  [
    /^(TCP keep-alive segment|ACK to a TCP keep-alive segment)$/,
    ['linux', 'us'],
    'tshark takes the probes of Linux for keep-alives',
  ],
  // A probe for a lost tail is sent after two round trips (RFC 8985 section 7), which are a millisecond here. On a busy machine the receiver does not run for longer than that.
  [/^This frame is a \(suspected\) (spurious )?retransmission$/, ['linux', 'us'], 'a probe for a lost tail'],
  [
    /^(Previous segment\(s\) not captured.*|This frame is a \(suspected\) (fast retransmission|out-of-order segment))$/,
    ['linux'],
    'the queue of a TAP device has room for 500 frames, and this process did not read for so long',
  ],
  [/^Duplicate ACK \(#\d+\)$/, ['linux', 'us'], 'its acknowledgment'],
  [/^D-SACK Sequence$/, ['linux', 'us'], 'the report that it came twice (RFC 2883)'],
  [
    /^TCP Checksum 0xffff instead of 0x0000 \(see RFC 1624\)$/,
    ['linux'],
    'Linux writes zero this way in TCP as in UDP; both mean the same',
  ],
];

/** Severities of tshark's expert information: a chat is about the usual course of a connection. */
const CHAT = 0x200000;
const BAD = '0';
const NEGATIVE_ZERO = '0xffff';

const SEPARATOR = '|';
const FIELDS = ['frame.number', 'ip.src', '_ws.expert.severity', '_ws.expert.message', 'tcp.checksum'];
const CHECKED = ['ip', 'icmp', 'udp', 'tcp'];

/** The fields of each frame, in the order of their names. A frame may have several of each, such as the two IP headers of an ICMP error. */
async function fieldsOfFrames(file: string, names: readonly string[]): Promise<string[][][]> {
  const options = ['ip', 'tcp', 'udp'].flatMap((protocol) => ['-o', `${protocol}.check_checksum:TRUE`]);
  const fields = names.flatMap((name) => ['-e', name]);
  const format = ['-T', 'fields', '-E', `aggregator=${SEPARATOR}`, ...fields];
  // All payload is plain data: it is the layers below that are judged. As HTTP, tshark would take minutes to put a body of 100 MB together, and from a port that
  // a client has chosen by chance it would take the payload for some other protocol.
  const source = ['-n', '-r', file, '-d', 'tcp.port==1-65535,data'];
  const tshark = new Program('tshark', [...source, ...options, ...format], { env: plainEnvironment() });
  const { stdout, stderr, code } = await tshark.ends();
  if (code !== 0) throw new Error(`tshark: ${stderr}`);
  const lines = stdout.split('\n').filter((line) => line !== '');
  return lines.map((line) => line.split('\t').map((field) => field.split(SEPARATOR)));
}

async function judge(t: Test, file: string): Promise<void> {
  const statusFields = CHECKED.map((protocol) => `${protocol}.checksum.status`);
  const rows = await fieldsOfFrames(file, [...FIELDS, ...statusFields]);
  const good = new Map(CHECKED.map((protocol) => [protocol, 0]));
  const faults: string[] = [];
  const remarks: Remark[] = [];
  for (const [
    [frame = ''] = [],
    [source] = [],
    severities = [],
    messages = [],
    [tcpChecksum] = [],
    ...states
  ] of rows) {
    for (const [i, message] of messages.entries()) {
      const from = source === '10.9.0.2' ? 'us' : 'linux';
      if (Number(severities[i]) > CHAT) remarks.push({ frame, from, message });
    }
    for (const [i, protocol] of CHECKED.entries()) {
      const isGood = !states[i]?.includes(BAD) || (protocol === 'tcp' && tcpChecksum === NEGATIVE_ZERO);
      if (!isGood) faults.push(`frame ${frame}: the checksum of ${protocol}`);
      else if (states[i]?.[0] !== '') good.set(protocol, (good.get(protocol) as number) + 1);
    }
  }
  t.same(faults, []);
  for (const [protocol, count] of good) t.ok(count > 0, `${count} checksums of ${protocol}`);
  const isExplained = (remark: Remark) =>
    explained.some(([message, from]) => message.test(remark.message) && from.includes(remark.from));
  t.same(
    remarks.filter((remark) => !isExplained(remark)),
    [],
  );
  t.comment(JSON.stringify(countsOf(remarks)));
}

/** How often each remark came. */
function countsOf(remarks: readonly Remark[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { from, message } of remarks) counts[`${from}: ${message}`] = (counts[`${from}: ${message}`] ?? 0) + 1;
  return counts;
}
