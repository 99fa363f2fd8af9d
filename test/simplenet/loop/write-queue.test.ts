/** WriteQueue: against the simplest thing that does the same, one array of bytes. */

import t from 'tap';
import { EFAULT } from '../../../simplenet/kernel/abi.ts';
import { WriteQueue } from '../../../simplenet/loop/write-queue.ts';
import { Random } from '../../simulation/random.ts';
import { cpuMsOf } from '../../support/machine-time.ts';

/** Takes all that is offered, and answers what came, chunk by chunk. */
function drained(queue: WriteQueue): Buffer[] {
  const chunks: Buffer[] = [];
  const result = queue.drain((bytes, offset, length) => {
    chunks.push(Buffer.from(bytes.subarray(offset, offset + length)));
    return length;
  });
  t.equal(result, 0);
  return chunks;
}

function text(queue: WriteQueue): string {
  return Buffer.concat(drained(queue)).toString();
}

t.test('an empty queue offers nothing', async (t) => {
  const queue = new WriteQueue();
  t.equal(queue.byteLength, 0);
  t.same(drained(queue), []);
  queue.pushCopy(Buffer.alloc(0), 0);
  queue.pushOwned(Buffer.alloc(0), 0);
  queue.pushCopy(Buffer.from('abc'), 3);
  queue.pushOwned(Buffer.from('abc'), 3);
  t.equal(queue.byteLength, 0);
  t.same(drained(queue), []);
});

t.test('bytes leave in the order in which they came, from their start offset', async (t) => {
  const queue = new WriteQueue();
  queue.pushCopy(Buffer.from('xxone '), 2);
  queue.pushOwned(Buffer.from('xtwo '), 1);
  queue.pushCopy(Buffer.from('three'), 0);
  t.equal(queue.byteLength, 13);
  t.equal(text(queue), 'one two three');
  t.equal(queue.byteLength, 0);
});

t.test('copies are copies', async (t) => {
  const queue = new WriteQueue();
  const bytes = Buffer.from('before');
  queue.pushCopy(bytes, 0);
  const large = Buffer.alloc(50_000, 'a');
  queue.pushCopy(large, 0);
  bytes.write('after!');
  large.fill('b');
  t.equal(text(queue), `before${'a'.repeat(50_000)}`);
});

t.test('owned bytes are kept as they are', async (t) => {
  const queue = new WriteQueue();
  const bytes = Buffer.from('before'.repeat(1_000));
  queue.pushOwned(bytes, 2);
  queue.pushCopy(Buffer.from('!'), 0);
  const offered: Uint8Array[] = [];
  queue.drain((chunk, offset, length) => {
    offered.push(chunk);
    if (chunk === bytes) t.same([offset, length], [2, 5_998]);
    return length;
  });
  t.equal(offered[0], bytes, 'the very same array');
  t.equal(offered.length, 2);
  t.equal(bytes.toString(), 'before'.repeat(1_000), 'into which nothing was written');
});

t.test('owned bytes that are few are copied: a chunk each would weigh more than they do', async (t) => {
  const queue = new WriteQueue();
  for (let i = 0; i < 10_000; i++) queue.pushOwned(Buffer.from([i]), 0);
  let sends = 0;
  queue.drain((_chunk, _offset, length) => {
    sends++;
    return length;
  });
  t.equal(sends, 1);
});

t.test('one drain sends so many bytes and no more', async (t) => {
  const queue = new WriteQueue();
  for (let i = 0; i < 5; i++) queue.pushOwned(Buffer.alloc(2_000, `${i}`), 0);
  const lengths: number[] = [];
  let sent = '';
  const send = (chunk: Uint8Array, offset: number, length: number) => {
    lengths.push(length);
    sent += Buffer.from(chunk).toString('latin1', offset, offset + length);
    return length;
  };
  queue.drain(send, 4_001);
  t.same([lengths.splice(0), queue.byteLength], [[2_000, 2_000, 1], 5_999], 'a chunk may be cut');
  queue.drain(send, 1_999);
  t.same([lengths.splice(0), queue.byteLength], [[1_999], 4_000], 'and is used up later');
  queue.drain(send, 0);
  t.same(lengths, []);
  queue.drain(send, 4_000);
  t.same([lengths, queue.byteLength], [[2_000, 2_000], 0]);
  t.equal(sent, ['0', '1', '2', '3', '4'].map((digit) => digit.repeat(2_000)).join(''));
});

t.test('nothing is ever appended to bytes that belong to others', async (t) => {
  const queue = new WriteQueue();
  const memory = Buffer.alloc(4_096, '.');
  queue.pushOwned(memory.subarray(0, 2_048), 0);
  queue.pushCopy(Buffer.from('x'.repeat(20)), 0);
  t.equal(memory.toString(), '.'.repeat(4_096));
  t.equal(text(queue), `${'.'.repeat(2_048)}${'x'.repeat(20)}`);
});

t.test('a thousand small writes are few sends', async (t) => {
  const queue = new WriteQueue();
  for (let i = 0; i < 1000; i++) queue.pushCopy(Buffer.from(`${i} `.padEnd(16)), 0);
  const chunks = drained(queue);
  t.equal(chunks.length, 1, '16,000 bytes');
  t.equal(Buffer.concat(chunks).length, 16_000);
  for (let i = 0; i < 1024; i++) queue.pushCopy(Buffer.alloc(16), 0);
  t.equal(drained(queue).length, 1, '16,384 bytes fill a chunk');
  for (let i = 0; i < 1024; i++) queue.pushCopy(Buffer.alloc(16), 0);
  queue.pushCopy(Buffer.alloc(1), 0);
  t.equal(drained(queue).length, 2, 'one byte more takes another');
});

t.test('bytes appended behind a chunk that is half sent', async (t) => {
  const queue = new WriteQueue();
  queue.pushCopy(Buffer.from('abcdef'), 0);
  queue.drain((_bytes, _offset, length) => Math.min(length, 4));
  t.equal(queue.byteLength, 2);
  queue.pushCopy(Buffer.from('gh'), 0);
  t.equal(text(queue), 'efgh');
});

t.test('drain stops at the first error and returns it', async (t) => {
  const queue = new WriteQueue();
  // Large enough that each is a chunk of its own.
  for (const [letter, length] of [
    ['a', 3_000],
    ['b', 3_000],
    ['c', 5_000],
  ] as const) {
    queue.pushOwned(Buffer.alloc(length, letter), 0);
  }
  let calls = 0;
  const take = (answers: readonly number[]) => {
    calls = 0;
    return queue.drain(() => answers[calls++] as number);
  };
  t.equal(take([0]), 0, 'no room: no error');
  t.equal(calls, 1, 'and no second try');
  t.equal(take([-32]), -32);
  t.equal(queue.byteLength, 11_000);
  t.equal(take([3_000, 1_000]), 0, 'less than offered');
  t.equal(calls, 2);
  t.equal(take([2_000, -104]), -104, 'some taken, then an error');
  t.equal(queue.byteLength, 5_000);
  t.equal(text(queue), 'c'.repeat(5_000));
});

t.test('clear', async (t) => {
  const queue = new WriteQueue();
  for (let i = 0; i < 10; i++) queue.pushOwned(Buffer.from('x'), 0);
  let taken = 0;
  queue.drain(() => (taken++ < 3 ? 1 : 0));
  queue.clear();
  t.equal(queue.byteLength, 0);
  queue.pushCopy(Buffer.from('new'), 0);
  t.equal(text(queue), 'new');
});

t.test('anything, in any order, against a plain array of bytes', async (t) => {
  const random = new Random(6);
  const lengths = [0, 1, 2, 7, 100, 1000, 16_383, 16_384, 16_385, 40_000];
  let wrong = '';
  for (let run = 0; run < 60 && wrong === ''; run++) {
    const queue = new WriteQueue();
    let model = Buffer.alloc(0);
    for (let step = 0; step < 120 && wrong === ''; step++) {
      if (random.chance(0.6)) {
        const bytes = Buffer.alloc(random.pick(lengths), random.below(256));
        for (let i = 0; i < bytes.length; i += 97) bytes[i] = random.below(256);
        const start = random.below(bytes.length + 1);
        model = Buffer.concat([model, bytes.subarray(start)]);
        if (random.chance(0.5)) {
          queue.pushOwned(bytes, start);
        } else {
          queue.pushCopy(bytes, start);
          bytes.fill(0xee);
        }
      } else if (random.chance(0.02)) {
        queue.clear();
        model = Buffer.alloc(0);
      } else {
        // A kernel that takes what it likes, and now and then refuses.
        const refusal = random.chance(0.2) ? -11 : 0;
        let isLast = false;
        const result = queue.drain((bytes, offset, length) => {
          if (isLast) wrong = 'asked again after a short send';
          if (length < 1) wrong = 'offered nothing';
          isLast = random.chance(0.3);
          if (isLast && refusal < 0) return refusal;
          const sent = isLast ? random.below(length) : length;
          if (Buffer.compare(bytes.subarray(offset, offset + length), model.subarray(0, length)) !== 0) wrong = 'bytes';
          model = model.subarray(sent);
          return sent;
        });
        if (result !== (isLast ? refusal : 0)) wrong = `answered ${result}`;
        if (!isLast && model.length > 0) wrong = 'stopped without a reason';
      }
      if (queue.byteLength !== model.length) wrong = `${queue.byteLength} bytes, not ${model.length}`;
    }
    if (wrong !== '') wrong = `run ${run}: ${wrong}`;
  }
  t.equal(wrong, '');
});

t.test('a long queue takes no quadratic time', async (t) => {
  const queue = new WriteQueue();
  let sent = 0;
  const tookMs = await cpuMsOf(() => {
    for (let i = 0; i < 200_000; i++) queue.pushOwned(Buffer.from('x'), 0);
    queue.drain((_bytes, _offset, length) => {
      sent += length;
      return length;
    });
  });
  t.equal(sent, 200_000);
  t.ok(tookMs < 5_000, `${tookMs} ms`);
});

t.test('bytes that were given away and taken back are not sent', async (t) => {
  const queue = new WriteQueue();
  const given = new Uint8Array(2_000);
  queue.pushOwned(given, 0);
  structuredClone(given.buffer, { transfer: [given.buffer] });
  let isOffered = false;
  const send = (_bytes: Uint8Array, _offset: number, length: number) => {
    isOffered = true;
    return length;
  };
  t.equal(queue.drain(send), -EFAULT);
  t.notOk(isOffered);
});

t.test('shift removes the oldest bytes; from an empty queue it returns undefined', async (t) => {
  const queue = new WriteQueue();
  t.equal(queue.shift(), undefined);
  const given = Buffer.alloc(2_000, 'g');
  queue.pushCopy(Buffer.from('copied'), 1);
  queue.pushOwned(given, 500);
  t.match(queue.shift(), { start: 0, end: 5 });
  t.equal(queue.byteLength, 1_500);
  t.match(queue.shift(), { bytes: given, start: 500, end: 2_000 });
  t.equal(queue.byteLength, 0);
  t.equal(queue.shift(), undefined);
});

t.test('parts of files keep their place, and take no memory', async (t) => {
  const queue = new WriteQueue();
  queue.pushCopy(Buffer.from('ab'), 0);
  queue.pushFile(7, 100, 50);
  queue.pushFile(7, 0, 0);
  queue.pushCopy(Buffer.from('cd'), 0);
  t.equal(queue.byteLength, 54);
  t.equal(queue.memoryBytes, 4);
  const taken: (string | number)[][] = [];
  const send = (_bytes: Uint8Array, offset: number, length: number, fd: number) => {
    taken.push([fd, offset, length]);
    return length;
  };
  queue.drain(send, 12);
  t.same([queue.byteLength, queue.memoryBytes], [42, 2]);
  queue.drain(send);
  t.same(taken, [
    [-1, 0, 2],
    [7, 100, 10],
    [7, 110, 40],
    [-1, 0, 2],
  ]);
  t.same([queue.byteLength, queue.memoryBytes], [0, 0]);

  queue.pushCopy(Buffer.from('ab'), 0);
  queue.pushFile(7, 100, 50);
  queue.truncate(10);
  t.same([queue.byteLength, queue.memoryBytes], [10, 2]);
  queue.truncate(2);
  t.same([queue.byteLength, queue.memoryBytes], [2, 2]);
  queue.pushFile(7, 100, 50);
  queue.shift();
  t.same([queue.byteLength, queue.memoryBytes], [50, 0]);
  t.match(queue.shift(), { fd: 7, start: 100, end: 150 });
  t.same([queue.byteLength, queue.memoryBytes], [0, 0]);
  queue.pushFile(7, 100, 50);
  queue.clear();
  t.same([queue.byteLength, queue.memoryBytes], [0, 0]);
});
