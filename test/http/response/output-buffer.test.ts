/** OutputBuffer: how many writes there are, and in what order their bytes come. */

import { test } from 'tap';
import { OutputBuffer } from '../../../http/response/output-buffer.ts';
import type { Stream, StreamHandler } from '../../../simplenet/loop/event-loop.ts';

const SIZE = 1_000;

/** Where all streams of a test note their writes, so that their order is seen. */
type Writes = [stream: string, text: string][];

class FakeStream implements Stream {
  readonly remoteAddress = { address: '192.0.2.1', port: 1 };
  readonly localAddress = { address: '192.0.2.2', port: 2 };
  readonly peerCredentials = null;
  handler: StreamHandler = { onData() {} };
  queuedBytes = 0;
  readonly minimumProgress = null;
  readonly deadlineAt = Number.POSITIVE_INFINITY;
  isEnded = false;
  readonly owned: Uint8Array[] = [];
  readonly #name: string;
  readonly #writes: Writes;
  /** What was written with the word that more will follow. */
  readonly #waits: string[];

  constructor(name: string, writes: Writes, waits: string[]) {
    this.#name = name;
    this.#writes = writes;
    this.#waits = waits;
  }

  write(bytes: Uint8Array, length = bytes.length, hasMore = false): boolean {
    const text = Buffer.from(bytes.subarray(0, length)).toString('latin1');
    this.#writes.push([this.#name, text]);
    if (hasMore) this.#waits.push(text);
    return true;
  }

  writeOwned(bytes: Uint8Array): boolean {
    this.owned.push(bytes);
    return this.write(bytes);
  }

  sendFile(fd: number, offset: number, length: number): boolean {
    this.#writes.push([this.#name, `file ${fd}: ${offset}, ${length}`]);
    return true;
  }

  pause(): void {}
  resume(): void {}
  hasOutput() {
    return false;
  }

  hasInput(): boolean {
    return false;
  }

  end(): void {}
  close(): void {}
  abort(): void {}
  setDeadline(): void {}
  awaitTurn(): void {}

  whenClosed(): void {}
}

function world(size = SIZE) {
  const writes: Writes = [];
  const output = new OutputBuffer(size);
  const waits: string[] = [];
  return { writes, waits, output, a: new FakeStream('a', writes, waits), b: new FakeStream('b', writes, waits) };
}

/** What a stream has got, in one piece. */
const received = (writes: Writes, name: string) =>
  writes
    .filter(([stream]) => stream === name)
    .map(([, text]) => text)
    .join('');

test('many pieces are one write', async (t) => {
  const { writes, output, a } = world();
  output.latin1(a, 'head \xe4\r\n');
  output.utf8(a, 'text ä');
  output.bytes(a, Buffer.from('bytes'));
  output.latin1(a, '');
  t.same(writes, [], 'nothing leaves before its time');
  output.flush();
  t.same(writes, [['a', 'head \xe4\r\ntext \xc3\xa4bytes']]);
});

test('an empty buffer writes nothing, and a second flush writes nothing', async (t) => {
  const { writes, output, a } = world();
  output.flush();
  output.latin1(a, '');
  output.flush();
  t.same(writes, []);
  output.latin1(a, 'x');
  output.flush();
  output.flush();
  t.same(writes, [['a', 'x']]);
});

test('another stream: what is there for the first one goes out before', async (t) => {
  const { writes, output, a, b } = world();
  output.latin1(a, '1');
  output.latin1(b, '2');
  output.utf8(a, '3');
  output.bytes(b, Buffer.from('4'));
  output.flush();
  t.same(writes, [
    ['a', '1'],
    ['b', '2'],
    ['a', '3'],
    ['b', '4'],
  ]);
});

test('as much as the buffer holds, and one byte more', async (t) => {
  const { writes, output, a } = world();
  output.latin1(a, 'x'.repeat(SIZE - 1));
  output.latin1(a, 'y');
  t.same(writes, []);
  output.latin1(a, 'z');
  t.equal(writes.length, 1, 'it makes room');
  output.flush();
  t.same(
    writes.map(([, text]) => text),
    [`${'x'.repeat(SIZE - 1)}y`, 'z'],
  );
});

for (const kind of ['latin1', 'utf8', 'bytes'] as const) {
  const put = (output: OutputBuffer, stream: Stream, text: string) => {
    if (kind === 'bytes') output.bytes(stream, Buffer.from(text));
    else output[kind](stream, text);
  };

  test(`${kind} larger than the buffer keeps its place`, async (t) => {
    for (const size of [SIZE - 1, SIZE, SIZE + 1, 5 * SIZE]) {
      const { writes, output, a } = world();
      output.latin1(a, 'before,');
      put(output, a, 'x'.repeat(size));
      output.latin1(a, ',after');
      output.flush();
      t.equal(received(writes, 'a'), `before,${'x'.repeat(size)},after`, `${size} bytes`);
    }
  });

  test(`${kind} larger than the buffer, between two streams`, async (t) => {
    const { writes, output, a, b } = world();
    output.latin1(a, 'a1');
    put(output, b, 'x'.repeat(5 * SIZE));
    output.latin1(a, 'a2');
    put(output, a, 'y'.repeat(5 * SIZE));
    output.latin1(b, 'b2');
    output.flush();
    t.equal(received(writes, 'a'), `a1a2${'y'.repeat(5 * SIZE)}`);
    t.equal(received(writes, 'b'), `${'x'.repeat(5 * SIZE)}b2`);
  });
}

test('utf8 has room for the longest encoding there is', async (t) => {
  for (const text of ['€'.repeat(333), '€'.repeat(334), '😀'.repeat(250), 'ä'.repeat(500), '\ud800'.repeat(334)]) {
    const { writes, output, a } = world();
    output.latin1(a, 'x');
    output.utf8(a, text);
    output.latin1(a, 'y');
    output.flush();
    t.equal(received(writes, 'a'), `x${Buffer.from(text).toString('latin1')}y`);
  }
});

test('large bodies are not copied, small ones are', async (t) => {
  const { writes, output, a } = world(65_536);
  const small = Buffer.alloc(16_384, 's');
  const large = Buffer.alloc(16_385, 'l');
  output.latin1(a, 'head');
  output.bytes(a, small);
  t.equal(a.owned.length, 0);
  output.bytes(a, large);
  t.equal(a.owned.length, 1);
  t.equal(a.owned[0], large, 'the very same bytes');
  output.flush();
  t.equal(received(writes, 'a'), `head${small}${large}`);
});

test('what goes out before more for the same client may share its packet; for another client it may not wait', async (t) => {
  const { output, a, b, waits } = world();
  output.latin1(a, 'head of a');
  output.bytes(a, Buffer.alloc(5 * SIZE));
  output.latin1(a, 'a');
  output.bytes(b, Buffer.alloc(5 * SIZE));
  output.latin1(b, 'b');
  output.latin1(a, 'x'.repeat(SIZE));
  output.latin1(a, 'y');
  output.flush();
  t.same(waits, ['head of a', 'x'.repeat(SIZE)]);
});

test('a head with its length: every length at the edge of its digits', async (t) => {
  const begin = Buffer.from('Content-Length: ');
  for (const length of [0, 1, 9, 10, 11, 99, 100, 999, 1_000, 65_536, 2 ** 31, Number.MAX_SAFE_INTEGER]) {
    const { writes, output, a } = world();
    output.latin1(a, 'x'.repeat(SIZE - 20)); // so that there is no room for the head
    output.headWithLength(a, begin, length);
    output.latin1(a, 'body');
    output.flush();
    t.equal(received(writes, 'a'), `${'x'.repeat(SIZE - 20)}Content-Length: ${length}\r\n\r\nbody`);
  }
});

test('the buffer is used again: what was written before is not sent again', async (t) => {
  const { writes, output, a, b } = world();
  output.latin1(a, 'secret for a');
  output.flush();
  output.latin1(b, 'b');
  output.flush();
  t.equal(received(writes, 'b'), 'b');
});

test('a chunk has its size in hexadecimal digits, and large chunks are not copied', async (t) => {
  for (const byteLength of [1, 15, 16, 255, 256, 4_095, 4_096, 16_384, 16_385, 70_000]) {
    const { writes, output, a } = world(65_536);
    const bytes = Buffer.alloc(byteLength, 'x');
    output.latin1(a, 'head ');
    output.chunk(a, bytes);
    output.chunk(a, Buffer.from('end'));
    output.flush();
    const expected = `head ${byteLength.toString(16)}\r\n${bytes.toString()}\r\n3\r\nend\r\n`;
    t.equal(received(writes, 'a'), expected, `${byteLength} bytes`);
    t.equal(a.owned.includes(bytes), byteLength > 16_384, `${byteLength} bytes are copied, or not`);
  }
});

test('a chunk that is longer than the whole buffer is sent in order', async (t) => {
  const { writes, output, a } = world();
  output.latin1(a, 'head ');
  output.chunk(a, Buffer.alloc(SIZE, 'x'));
  output.flush();
  t.equal(received(writes, 'a'), `head 3e8\r\n${'x'.repeat(SIZE)}\r\n`);
});
