/** What reads figures of others: the kernel's, wrk's, and those of responses. */

import { gzipSync } from 'node:zlib';
import { test } from 'tap';
import { parseCpuList } from '../../benchmarks/cores.ts';
import {
  cpuBetween,
  parseCpuMicroseconds,
  parseResidentBytes,
  parseThreadMicroseconds,
  readCpu,
  residentBytes,
} from '../../benchmarks/cpu-time.ts';
import { Latencies } from '../../benchmarks/load/latencies.ts';
import { peers, takesPart } from '../../benchmarks/peers.ts';
import { fieldOf, type ResponseHead, ResponseReader } from '../../benchmarks/response-reader.ts';
import { differenceOf } from '../../benchmarks/same-work.ts';
import { type Workload, workloads } from '../../benchmarks/workloads.ts';
import { parseWrkOutput } from '../../benchmarks/wrk-load.ts';

test('CPU time is user and system time, also of children, whatever the program is called', async (t) => {
  const stat = '4711 (a) b (node) S 1 4711 4711 0 -1 4194304 100 200 0 0 150 50 7 3 20 0 11 0 12345 1000 2000 0 0';
  t.equal(parseCpuMicroseconds(stat), (150 + 50 + 7 + 3) * 10_000);
  t.throws(() => parseCpuMicroseconds('nonsense'), TypeError);
});

test('the time of a thread is read in nanoseconds', async (t) => {
  t.equal(parseThreadMicroseconds('1234567 89 10\n'), 1_234.567);
  t.throws(() => parseThreadMicroseconds('no schedstat'), TypeError);
  const before = readCpu(process.pid);
  for (const since = process.cpuUsage(); process.cpuUsage(since).user < 20_000; );
  const spent = cpuBetween(before, readCpu(process.pid));
  t.ok(spent > 15_000, `${spent} us of 20 ms`);
});

test('threads count in nanoseconds, and ticks only if a thread has ended', async (t) => {
  const reading = (ticksUs: number, threads: Record<number, number>) => {
    return { ticksUs, threadsUs: new Map(Object.entries(threads).map(([thread, us]) => [Number(thread), us])) };
  };
  const before = reading(100_000, { 1: 80_000, 2: 20_000 });
  t.equal(cpuBetween(before, reading(150_000, { 1: 120_000.5, 2: 25_000, 3: 7 })), 45_007.5, 'a new one counts from 0');
  t.equal(cpuBetween(before, reading(150_000, { 1: 120_000 })), 40_000, 'an ended one adds nothing');
  t.equal(cpuBetween(before, reading(170_000, { 1: 120_000 })), 40_000, 'the ticks may be wrong by that much');
  t.equal(cpuBetween(before, reading(180_000, { 1: 120_000 })), 80_000, 'here the ended one has used the rest');
  t.equal(cpuBetween(reading(0, { 1: 0 }), reading(500_000, { 1: 0 })), 500_000, 'a kernel without schedstat');
});

test('resident memory is VmRSS', async (t) => {
  t.equal(parseResidentBytes('Name:\tnode\nVmHWM:\t  900 kB\nVmRSS:\t  512 kB\n'), 512 * 1024);
  t.throws(() => parseResidentBytes('Name:\tkthreadd\n'), TypeError);
  t.ok(residentBytes(process.pid) > 10 * 1024 ** 2);
});

test('lists of cores are read as the kernel writes them', async (t) => {
  t.same(parseCpuList('0-3,8\n'), [0, 1, 2, 3, 8]);
  t.same(parseCpuList('1'), [1]);
});

test("the line of wrk's script is read, and its latencies of pipelines are not believed", async (t) => {
  const output = `Running 2s test @ http://127.0.0.1:1
  64 connections
result requests=1000 us=2000000 p50=600 p99=1200 p999=1900 errors=1 refused=2
`;
  const figures = { requests: 1000, seconds: 2, p50Us: 600, p99Us: 1200, p999Us: 1900, errors: 1, refused: 2 };
  t.same(parseWrkOutput(output), figures);
  t.same(parseWrkOutput(output, 16), { ...figures, p50Us: null, p99Us: null, p999Us: null });
  t.throws(() => parseWrkOutput('unable to connect'), /wrk wrote no result line: unable to connect/);
});

test('latencies are exact below a millisecond and within one per cent above', async (t) => {
  const latencies = new Latencies();
  t.equal(latencies.percentile(50), 0);
  for (let time = 1; time <= 100; time++) latencies.add(time);
  t.same([latencies.percentile(50), latencies.percentile(99), latencies.percentile(100)], [50, 99, 100]);
  for (const time of [1_024, 1_500, 98_765, 5_000_000]) {
    const one = new Latencies();
    one.add(time);
    t.ok(Math.abs(one.percentile(50) / time - 1) < 0.01, `${time} is told as ${one.percentile(50)}`);
  }
});

const plain = 'HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\n\r\nhello';
const chunked = 'HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0a\r\n0123456789\r\n0\r\n\r\n';
const empty = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';

test('the reader finds each response, however their bytes are cut into pieces', async (t) => {
  const bytes = Buffer.from(plain + chunked + empty + plain);
  for (let piece = 1; piece <= bytes.length; piece++) {
    const responses: string[] = [];
    let body = '';
    const reader = new ResponseReader(
      ({ status }) => {
        responses.push(`${status} ${body}`);
        body = '';
      },
      (part) => {
        body += part;
      },
    );
    for (let at = 0; at < bytes.length; at += piece) reader.push(bytes.subarray(at, at + piece));
    t.same(responses, ['200 hello', '404 abc0123456789', '200 ', '200 hello'], `pieces of ${piece}`);
  }
});

test('the reader refuses bytes that it cannot frame', async (t) => {
  const read = (text: string) => new ResponseReader(() => {}).push(Buffer.from(text));
  t.throws(() => read('SSH-2.0\r\n\r\n'), /not a response/);
  t.throws(() => read('HTTP/1.1 200 OK\r\n\r\n'), /neither chunked/);
  t.throws(() => read(plain.replace('5', '-5')), /not a Content-Length/);
  t.throws(() => read(plain.replace('5', 'five')), /not a Content-Length/);
  t.throws(() => read(chunked.replace('3\r\n', 'x\r\n')), /without its size/);
  t.throws(() => read(chunked.replace('3\r\n', '-3\r\n')), /without its size/);
  t.throws(() => read(chunked.replace('abc', 'abcd')), /does not end in CRLF/);
});

test('a server that does less work is found out', async (t) => {
  const expected = workloads.find(({ name }) => name === 'hello')!.expected!;
  const now = Date.now();
  const head = (fields: string) => `HTTP/1.1 200 OK\r\n${fields}`;
  const date = `Date: ${new Date(now).toUTCString()}`;
  const good: ResponseHead = {
    status: 200,
    framing: 'length',
    head: head(`content-type: text/plain; charset=utf-8\r\n${date}`),
  };
  const differ = (differences: Partial<ResponseHead>, body = expected.body) =>
    differenceOf({ ...good, ...differences }, body, expected, now);
  t.equal(differ({}), null);
  t.equal(differ({ status: 404 }), 'the status is 404');
  t.equal(differ({ head: head(date) }), 'Content-Type is missing, not text/plain');
  t.equal(differ({ head: head('Content-Type: text/plain') }), 'Date is missing');
  t.match(differ({ head: head('Content-Type: text/plain\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT') }), /Date is wrong/);
  t.equal(differ({ framing: 'chunked' }), 'the body is chunked');
  t.equal(differ({ framing: 'close' }), 'the body has neither a length nor chunks');
  t.equal(differ({}, Buffer.from('Hello')), 'the body differs: 5 bytes, not 14');
  t.equal(differ({ head: `${good.head}\r\nConnection: close` }), 'it closes the connection');
  t.equal(differenceOf(good, expected.body, { ...expected, closes: true }, now), 'Connection: close is missing');
  t.equal(fieldOf(good.head, 'Content-Type'), 'text/plain; charset=utf-8');
  t.equal(differenceOf(good, expected.body, { ...expected, fields: ['date', 'etag'] }, now), 'etag is missing');
  t.equal(differ({ head: `${good.head}\r\nContent-Encoding: br` }), 'Content-Encoding is br');
  const zipped = { ...good, head: `${good.head}\r\nContent-Encoding: gzip`, framing: 'chunked' as const };
  const coded = { ...expected, contentEncoding: 'gzip' as const, isChunked: null };
  t.equal(differenceOf(zipped, gzipSync(expected.body), coded, now), null);
  t.equal(differenceOf(good, expected.body, coded, now), 'Content-Encoding is missing');
});

test('a workload of its own has the peers that serve it, and a reference has no other', async (t) => {
  const names = (workload: string) =>
    peers
      .filter((peer) => takesPart(peer, workloads.find(({ name }) => name === workload) as Workload))
      .map(({ name }) => name);
  t.same(names('gzip'), ['simplenet', 'simplenet-uring', 'hono']);
  t.ok(names('static').includes('simplenet-hello') && names('static').includes('fastify'));
  t.notOk(names('hello').includes('simplenet-hello'));
  t.notOk(names('connection').includes('uws'));
  t.same(names('ws-echo'), ['simplenet', 'simplenet-uring', 'bun', 'uws', 'ws', 'c-sockets']);
  t.notOk(names('hello').includes('ws'));
  for (const { peers: own, references } of workloads) {
    for (const name of [...(own ?? []), ...(references ?? [])])
      t.ok(
        peers.some((peer) => peer.name === name),
        name,
      );
  }
});

test('the list that is compressed is ten kilobytes', async (t) => {
  const { length } = workloads.find(({ name }) => name === 'gzip')!.expected!.body;
  t.ok(length > 10_000 && length < 11_000, `${length}`);
});

test('the browser request is one kilobyte', async (t) => {
  t.equal(workloads.find(({ name }) => name === 'browser')!.request.length, 1_024);
});
