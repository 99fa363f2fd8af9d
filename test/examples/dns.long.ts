/** dns-server asked by dig, by dns-lookup and by nobody good; dns-lookup told lies. */

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import * as dns from '../../examples/dns/message.ts';
import { expectedOutput, printsAsInPage } from '../docs/pages.ts';
import { startExample } from '../support/examples.ts';
import { hasProgram, Program } from '../support/programs.ts';

const started = startExample(t, 'dns-server', '0');
const [, portText] = await started.prints(/answering for example\.test\. on UDP and TCP 127\.0\.0\.1:(\d+)\n/);
const port = Number(portText);

t.test('dig', async (t) => {
  if (!hasProgram('dig')) return void t.pass('skipped: dig (Debian package dnsutils) is not installed');
  const dig = async (...args: string[]) => {
    const limits = ['+time=5', '+tries=2'];
    const { code, stdout } = await new Program('dig', ['@127.0.0.1', '-p', String(port), ...limits, ...args]).ends();
    t.equal(code, 0, args.join(' '));
    return stdout;
  };
  t.equal(await dig('+short', 'www.example.test', 'A'), '192.0.2.80\n192.0.2.81\n');
  t.equal(await dig('+short', '+tcp', 'www.example.test', 'AAAA'), '2001:db8::80\n');
  const inPage = expectedOutput('docs/examples.md', 'dig @127.0.0.1 -p 5300 +short example.test TXT');
  t.equal(await dig('+short', 'EXAMPLE.test', 'TXT'), `${inPage}\n`);
  t.match(await dig('www.example.test', 'A'), /status: NOERROR[\s\S]*flags: qr aa rd; [\s\S]*udp: 1232/);
  t.match(await dig('www.example.test', 'TXT'), /status: NOERROR[\s\S]*ANSWER: 0/, 'a name without such records');
  t.match(await dig('nobody.example.test'), /status: NXDOMAIN/);
  t.match(await dig('example.org'), /status: REFUSED/, 'not our zone');
  t.match(await dig('myexample.test'), /status: REFUSED/, 'nor is one that only ends so');
  t.match(await dig('+opcode=status', 'example.test'), /status: NOTIMP/);

  const large = await dig('large.example.test', 'TXT');
  t.match(large, /Truncated, retrying in TCP mode/);
  t.equal(large.match(/\tTXT\t"Line \d+ of/g)?.length, 50);
  for (const edns of ['+noedns', '+bufsize=65535']) {
    const cut = await dig('+ignore', edns, 'large.example.test', 'TXT');
    t.match(cut, /flags: qr aa tc rd; QUERY: 1, ANSWER: 0/, edns);
  }
  t.notMatch(await dig('+noedns', 'example.test'), /EDNS/);
});

t.test('dns-lookup', async (t) => {
  const lookUp = (...args: string[]) => startExample(t, 'dns-lookup', ...args).ends();
  const found = await lookUp('www.example.test', 'A', `127.0.0.1:${port}`);
  t.equal(found.stdout, 'www.example.test. 60 A 192.0.2.80\nwww.example.test. 60 A 192.0.2.81\n', found.stderr);
  const large = await lookUp('large.example.test', 'txt', `127.0.0.1:${port}`);
  const command = 'npm run example -- dns-lookup';
  t.ok(printsAsInPage(`${command} www.example.test A 127.0.0.1:5300`, found.stdout), 'as docs/examples.md says');
  t.ok(printsAsInPage(`${command} large.example.test TXT 127.0.0.1:5300`, large.stdout), 'as docs/examples.md says');
  t.ok(printsAsInPage('npm run example -- dns-server', started.stdout), 'as docs/examples.md says');
  const [first, ...lines] = large.stdout.trimEnd().split('\n');
  t.equal(first, 'the answer does not fit into a datagram: asking again over TCP');
  t.equal(lines.length, 50, large.stderr);
  t.equal(lines[49], 'large.example.test. 60 TXT "Line 50 of what no datagram will hold."');
  const none = await lookUp('www.example.test', 'TXT', `127.0.0.1:${port}`);
  t.equal(none.stdout, 'www.example.test. has no TXT records\n');
  const refused = await lookUp('nobody.example.test', 'AAAA', `127.0.0.1:${port}`);
  t.same([refused.code, refused.stderr], [1, 'the server says NXDOMAIN\n']);
});

/** A UDP socket that does with each datagram what it is told. */
async function udp(t: Test, onMessage: (bytes: Buffer, reply: (bytes: Buffer) => void) => void): Promise<Socket> {
  const socket = createSocket('udp4');
  t.teardown(() => socket.close());
  socket.on('message', (bytes, from) => onMessage(bytes, (answer) => socket.send(answer, from.port, from.address)));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

t.test('dns-lookup waits for the right answer, and not for ever', async (t) => {
  let asked = 0;
  const liar = await udp(t, (query, reply) => {
    asked++;
    if (asked > 1) return;
    const answer = Buffer.from(query);
    answer[2] = (answer[2] as number) | 0x80; // QR
    const wrongId = Buffer.from(answer);
    wrongId.writeUInt16BE((answer.readUInt16BE() + 1) & 0xffff);
    const wrongName = Buffer.from(answer);
    wrongName.write('x', 13);
    for (const lie of [query, wrongId, wrongName, answer.subarray(0, 20), Buffer.alloc(0)]) reply(lie);
    reply(answer);
  });
  const server = `127.0.0.1:${liar.address().port}`;
  const told = await startExample(t, 'dns-lookup', 'example.test', 'A', server).ends();
  t.equal(told.stdout, 'example.test. has no A records\n', told.stderr);
  t.equal(asked, 1);
  const ignored = await startExample(t, 'dns-lookup', 'example.test', 'A', server).ends();
  t.same([ignored.code, ignored.stderr], [1, `no answer from ${server} within 3000 ms\n`]);
  t.equal(asked, 4, 'it asked three times');
});

const QUERY = dns.encodeMessage({
  id: 0x1234,
  flags: 0,
  questions: [{ name: ['example', 'test'], type: dns.A, class: dns.IN }],
  answers: [],
  additionals: [],
});

function header(flags: number, ...counts: number[]): Buffer {
  const bytes = Buffer.alloc(dns.HEADER_SIZE);
  for (const [i, word] of [0x1234, flags, ...counts].entries()) bytes.writeUInt16BE(word, 2 * i);
  return bytes;
}

/** What is wrong, and whether an id could be read from it, so that the sender is told. */
const malformed: Readonly<Record<string, readonly [bytes: Buffer, isAnswered: boolean]>> = {
  'an empty datagram': [Buffer.alloc(0), false],
  'half a header': [QUERY.subarray(0, 11), false],
  'an answer': [header(dns.QR), false],
  'no question': [header(0), true],
  'two questions': [Buffer.concat([header(0, 2), QUERY.subarray(12), QUERY.subarray(12)]), true],
  'a question that was promised': [header(0, 1), true],
  'more records than were ever sent': [header(0, 0, 65_535, 65_535, 65_535), true],
  'a name that ends in nothing': [QUERY.subarray(0, 20), true],
  'a pointer to itself': [Buffer.concat([header(0, 1), Buffer.from('c00c00010001', 'hex')]), true],
  'a pointer ahead': [Buffer.concat([header(0, 1), Buffer.from('c01000010001', 'hex')]), true],
  'a pointer into the header': [Buffer.concat([header(0, 1), Buffer.from('c00000010001', 'hex')]), true],
  'a pointer cut in half': [Buffer.concat([header(0, 1), Buffer.from('c0', 'hex')]), true],
  'two pointers to each other': [Buffer.concat([header(0, 1), Buffer.from('0161c00c00010001', 'hex')]), true],
  'a label of a reserved kind': [Buffer.concat([header(0, 1), Buffer.from('8001610000010001', 'hex')]), true],
  'a name of 256 bytes': [
    Buffer.concat([header(0, 1), Buffer.from('3f'.padEnd(128, '61').repeat(4), 'hex'), Buffer.alloc(5)]),
    true,
  ],
  'bytes behind the end': [Buffer.concat([QUERY, Buffer.alloc(1)]), true],
};

t.test('malformed queries get FORMERR or silence, over UDP', async (t) => {
  const answers: Buffer[] = [];
  let tell = () => {};
  const client = await udp(t, (bytes) => {
    answers.push(bytes);
    tell();
  });
  const ask = async (bytes: Buffer, count: number) => {
    answers.length = 0;
    const done = new Promise<void>((resolve) => {
      tell = () => answers.length === count && resolve();
    });
    client.send(bytes, port, '127.0.0.1');
    // What is answered at all is answered in order: the good answer behind it comes last.
    client.send(QUERY, port, '127.0.0.1');
    await done;
  };
  for (const [what, [bytes, isAnswered]] of Object.entries(malformed)) {
    await ask(bytes, isAnswered ? 2 : 1);
    if (isAnswered) t.equal((answers[0] as Buffer).readUInt32BE() & 0xffff800f, 0x12348001, `${what}: FORMERR`);
    const good = dns.decodeMessage(answers.at(-1) as Buffer);
    t.match([good.flags & dns.RCODE, good.answers.length], [dns.NOERROR, 1], `${what}, and it lives on`);
  }
});

t.test('over TCP questions come in any pieces, and a malformed one is told', async (t) => {
  const socket = connect({ port, host: '127.0.0.1' });
  t.teardown(() => socket.destroy());
  let received = Buffer.alloc(0);
  socket.on('data', (bytes: Buffer) => {
    received = Buffer.concat([received, bytes]);
  });
  const [bad] = malformed['a pointer to itself'] as [Buffer, boolean];
  const wire = Buffer.concat([dns.framed(QUERY), dns.framed(bad), dns.framed(QUERY)]);
  for (const byte of wire.subarray(0, QUERY.length + 4)) {
    socket.write(Uint8Array.of(byte));
    await new Promise(setImmediate);
  }
  socket.end(wire.subarray(QUERY.length + 4));
  await once(socket, 'close');
  const rcodes: number[] = [];
  while (received.length > 0) {
    const end = 2 + received.readUInt16BE();
    rcodes.push(dns.decodeMessage(received.subarray(2, end)).flags & dns.RCODE);
    received = received.subarray(end);
  }
  t.same(rcodes, [dns.NOERROR, dns.FORMERR, dns.NOERROR]);

  const rude = connect({ port, host: '127.0.0.1' });
  rude.on('error', () => {});
  rude.end(dns.framed(Buffer.alloc(3)));
  await new Promise((resolve) => rude.on('close', resolve));
});

t.test('names: pointers are followed back, and back only', async (t) => {
  const tail = Buffer.from('00010001', 'hex');
  const pointing = Buffer.concat([
    header(0, 2),
    Buffer.from('0161016200', 'hex'),
    tail,
    Buffer.from('0163c00e', 'hex'),
    tail,
  ]);
  t.same(
    dns.decodeMessage(pointing).questions.map(({ name }) => dns.formatName(name)),
    ['a.b.', 'c.b.'],
  );
  t.equal(dns.formatName(['a.b', 'c\\d', '\x1b[2J']), 'a\\046b.c\\092d.\\027[2J.');
  const nearlyTooLong = `${'x'.repeat(63)}.`.repeat(3);
  t.equal(dns.parseName(`${nearlyTooLong}${'x'.repeat(61)}`)?.length, 4, '255 bytes on the wire');
  t.equal(dns.parseName(`${nearlyTooLong}${'x'.repeat(62)}`), null);
  t.equal(dns.parseName('x'.repeat(63))?.length, 1);
  t.equal(dns.parseName('x'.repeat(64)), null);
  t.same(dns.parseName('a.b.'), ['a', 'b']);
});

t.test('Ctrl-C ends it', async (t) => {
  started.kill('SIGINT');
  const { code, stderr, stdout } = await started.ends();
  t.same([code, stderr], [0, '']);
  t.match(stdout, /^UDP 127\.0\.0\.1:\d+ malformed: a pointer that does not lead back -> FORMERR, 0 answers$/m);
});
