/** The lessons that need no client: each shows something of the kernel, and its output must say so truly. */

import { test } from 'tap';
import { runExample } from '../support/examples.ts';

async function outputOf(...args: readonly string[]): Promise<string> {
  const program = runExample(...args);
  const timer = setTimeout(() => program.kill(), 90_000);
  const { code, stdout, stderr } = await program.ends();
  clearTimeout(timer);
  if (code !== 0 || stderr !== '') throw new Error(`${args[0]} ended with ${code}: ${stdout}${stderr}`);
  return stdout;
}

function match(text: string, pattern: RegExp): string[] {
  const found = pattern.exec(text);
  if (found === null) throw new Error(`${pattern} does not match: ${text}`);
  return [...found];
}

test('endianness shows 0x0A0B in both orders', async (t) => {
  const lines = (await outputOf('endianness')).trimEnd().split('\n');
  t.same(
    lines.map((line) => line.split(/ {2,}/)),
    [
      ['0x0a0b in memory', '0b 0a'],
      ['htons(0x0a0b) in memory', '0a 0b'],
      ['htonl(0x0a0b0c0d) in memory', '0a 0b 0c 0d'],
      ['sockaddr_in of 127.0.0.1, port 0x0a0b', '02 00 0a 0b 7f 00 00 01'],
      ['sent with htons, on the wire', '0a 0b'],
      ['received with ntohs', '0x0a0b'],
      ['256 sent without htons, on the wire', '00 01'],
      ['received with ntohs', '1'],
    ],
  );
});

test('short-writes fills both buffers, and loses nothing', async (t) => {
  const output = await outputOf('short-writes');
  const [, first] = match(
    output,
    /^asked for 32768: SO_SNDBUF is \d+, SO_RCVBUF is \d+\nsend of 1000000 bytes: (\d+)\n/,
  );
  t.ok(Number(first) < 1_000_000, 'the first write is short');
  const [, left] = match(output, /\nsend of (\d+) bytes: EAGAIN\n/);
  const [, onTheWay, ours] = match(
    output,
    /\nnobody has read yet: (\d+) bytes are on their way, (\d+) are still ours\n/,
  );
  t.equal(ours, left);
  t.equal(Number(onTheWay) + Number(ours), 1_000_000);
  const [, writes, refusals] = match(
    output,
    /\n1000000 bytes in \d+ reads, after (\d+) short writes and (\d+) EAGAIN\n/,
  );
  t.ok(Number(writes) > 1 && Number(refusals) > 0);
  t.ok(output.endsWith('\neach byte arrived once, and in its place\n'));
});

test('blocking-send waits only for what does not fit', async (t) => {
  const output = await outputOf('blocking-send');
  const lines = output.trimEnd().split('\n');
  const at = (start: string) => {
    const index = lines.findIndex((line) => line.startsWith(start));
    t.not(index, -1, start);
    return index;
  };
  for (const size of [1000, 100_000, 5_000_000]) t.match(output, `send of ${size} bytes took ${size} of them in `);
  const reading = at('reader: begins to read');
  t.ok(at('sender: send of 1000 ') < reading, 'that send has returned before anybody read');
  t.ok(at('sender: send of 100000 ') < reading, 'this one, too');
  t.ok(at('sender: send of 5000000 ') > reading, 'this one has waited');
  t.match(output, 'reader: 5101000 bytes, then the end\n');
});

test('deadlock finds both, and the way out', async (t) => {
  const output = await outputOf('deadlock');
  const [reading, writing, way] = output.split(/^(?=\d\. )/m) as [string, string, string];
  for (const side of ['left ', 'right']) {
    t.match(reading, `   ${side} recv would hang: nothing has come in 300 ms\n`);
    const [, sent] = match(writing, new RegExp(`   ${side} send would hang: (\\d+) bytes fill the buffers\n`));
    t.ok(Number(sent) > 32 * 1024 && Number(sent) < 1_000_000, `${sent} bytes fill the buffers`);
    t.match(way, `   ${side} has sent 1000000 bytes and received 1000000\n`);
  }
});

test('datagram-limits shows the largest, the cut and the lost', async (t) => {
  const output = await outputOf('datagram-limits');
  t.match(output, '65507 bytes: sent\n65508 bytes: EMSGSIZE\nreceived 65507 bytes, truncated: false\n');
  t.match(output, "room for 5: 'hello', truncated: true\nroom for 5: 'and g', truncated: true\n");
  const [, arrived, last] = match(
    output,
    /\n1000 sent while nobody received, (\d+) arrived, the last was number (\d+)\n$/,
  );
  t.ok(Number(arrived) > 10 && Number(arrived) < 1000, `${arrived} arrived`);
  t.equal(last, arrived, 'a full queue turns away whoever comes last');
});
