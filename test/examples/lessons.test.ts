/**
 * The lessons that need no client. Each shows something of the kernel: its figures must be true, and the rest must be what docs/examples.md
 * says.
 */

import { type Test, test } from 'tap';
import { expectedOutput, shapeOf } from '../docs/pages.ts';
import { runExample } from '../support/examples.ts';

async function outputOf(t: Test, name: string): Promise<string> {
  const program = runExample(name);
  const timer = setTimeout(() => program.kill(), 90_000);
  const { code, stdout, stderr } = await program.ends();
  clearTimeout(timer);
  if (code !== 0 || stderr !== '') throw new Error(`${name} ended with ${code}: ${stdout}${stderr}`);
  t.equal(shape(stdout.trimEnd()), shape(expectedOutput('docs/examples.md', `npm run example -- ${name}`)));
  return stdout;
}

/** How many short writes there are is for the kernel to decide. */
function shape(text: string): string {
  return shapeOf(text).replace(/(send of <n> bytes: <n>\n)+/, '$1');
}

function match(text: string, pattern: RegExp): string[] {
  const found = pattern.exec(text);
  if (found === null) throw new Error(`${pattern} does not match: ${text}`);
  return [...found];
}

test('short-writes fills both buffers, and loses nothing', async (t) => {
  const output = await outputOf(t, 'short-writes');
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
  const output = await outputOf(t, 'blocking-send');
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
  const output = await outputOf(t, 'deadlock');
  const [reading, writing, way] = output.split(/^(?=\d\. )/m) as [string, string, string];
  for (const side of ['left ', 'right']) {
    t.match(reading, `   ${side} recv would hang: nothing has come in 300 ms\n`);
    const [, sent] = match(writing, new RegExp(`   ${side} send would hang: (\\d+) bytes fill the buffers\n`));
    t.ok(Number(sent) > 32 * 1024 && Number(sent) < 1_000_000, `${sent} bytes fill the buffers`);
    t.match(way, `   ${side} has sent 1000000 bytes and received 1000000\n`);
  }
});

test('datagram-limits shows the largest, the cut and the lost', async (t) => {
  const output = await outputOf(t, 'datagram-limits');
  t.match(output, '65507 bytes: sent\n65508 bytes: EMSGSIZE\nreceived 65507 bytes, truncated: false\n');
  t.match(output, "room for 5: 'hello', truncated: true\nroom for 5: 'and g', truncated: true\n");
  const [, arrived, last] = match(
    output,
    /\n1000 sent while nobody received, (\d+) arrived, the last was number (\d+)\n$/,
  );
  t.ok(Number(arrived) > 10 && Number(arrived) < 1000, `${arrived} arrived`);
  t.equal(last, arrived, 'a full queue turns away whoever comes last');
});
