/**
 * A stream on the io_uring loop, on the real kernel: requests that are in the kernel when a program pauses, closes or aborts.
 *
 * Next: uring-loop.test.ts
 */

import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { defaultRingSizes, UringLoop } from '../../../simplenet/io-uring/uring-loop.ts';
import type { UringStream } from '../../../simplenet/io-uring/uring-stream.ts';
import { EAGAIN } from '../../../simplenet/kernel/abi.ts';
import { type Libc, libc } from '../../../simplenet/kernel/libc.ts';
import type { SocketAddress } from '../../../simplenet/kernel/socket-address.ts';
import type { Stream, StreamHandler } from '../../../simplenet/loop/event-loop.ts';
import type { Host } from '../../../simplenet/loop/host.ts';
import { defaultLoopLimits } from '../../../simplenet/loop/loop-limits.ts';
import { nodeHost } from '../../../simplenet/loop/node-host.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { Recorder } from '../../contracts/recorder.ts';
import { noUring } from '../../support/backends.ts';
import { quiet, until } from '../../support/waiting.ts';

const skip = noUring;

/** Kernel buffers that a test can fill. */
const SMALL = 8_192;

/** More than fits into them, and still one piece. */
const MUCH = 60_000;

const RECEIVE_BUFFER_BYTES = 256;

const LINGER_MS = 30_000;

function pattern(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => (i * 31 + (i >>> 8) * 17) & 0xff));
}

interface Scene {
  readonly loop: UringLoop;
  /** May be changed. */
  readonly libc: Libc;
  readonly stream: Stream;
  readonly recorder: Recorder;
  readonly peer: NetSocket;
  /** What the peer has read, and whether that was all. */
  readonly read: { bytes: Buffer; isOver: boolean; error: number };
  /** Reads what is there. */
  readAll(): void;
  /** Lets that much time pass on the loop's clock. Each alarm rings at its time: a loop that heard of it later would take it for a stall. */
  pass(ms: number): Promise<void>;
}

async function scene(t: Test, reaction: Partial<StreamHandler> = {}, address?: SocketAddress): Promise<Scene> {
  let skewMs = 0;
  const alarms = new Set<{ readonly dueAt: number; ring(): void }>();
  const host: Host = {
    ...nodeHost,
    now: () => nodeHost.now() + skewMs,
    alarm(delayMs, callback) {
      const cancel = () => {
        alarms.delete(entry);
        alarm.cancel();
      };
      const ring = () => {
        cancel();
        callback();
      };
      const entry = { dueAt: host.now() + delayMs, ring };
      const alarm = nodeHost.alarm(delayMs, ring);
      alarms.add(entry);
      return { cancel };
    },
  };
  const table = { ...libc };
  const loop = new UringLoop(
    table,
    host,
    { ...defaultLoopLimits, tickMs: 5 },
    { ...defaultRingSizes, receiveBufferBytes: RECEIVE_BUFFER_BYTES },
  );
  const recorder = new Recorder(reaction);
  const options = { receiveBufferBytes: SMALL, sendBufferBytes: SMALL };
  const listener = loop.listen(
    address ?? { address: '127.0.0.1', port: 0 },
    (stream) => {
      recorder.stream = stream;
      return recorder;
    },
    address === undefined ? options : {},
  );
  const peer = NetSocket.connectTo(listener.address, address === undefined ? options : {});
  peer.setNonBlocking(true);
  t.teardown(async () => {
    peer.close();
    loop.close();
    await until(() => loop.openCount === 0);
    if (recorder.complaints.length > 0) throw new Error(recorder.complaints.join('; '));
  });
  await until(() => recorder.stream !== null);
  const room = Buffer.alloc(65_536);
  const read = { bytes: Buffer.alloc(0), isOver: false, error: 0 };
  const readAll = () => {
    while (!read.isOver) {
      const length = peer.tryRead(room, 0, room.length);
      if (length === -EAGAIN) return;
      if (length <= 0) read.isOver = true;
      if (length < 0) read.error = length;
      if (length > 0) read.bytes = Buffer.concat([read.bytes, room.subarray(0, length)]);
    }
  };
  const stream = recorder.stream as unknown as Stream;
  const pass = async (ms: number) => {
    const endAt = host.now() + ms;
    for (;;) {
      // A jump without an alarm would be a stall, too. A loop sets its next alarm when its turn ends, as long as the stream is open.
      await until(() => alarms.size > 0 || recorder.isClosed);
      const [next] = [...alarms].sort((one, other) => one.dueAt - other.dueAt);
      skewMs += Math.max(0, Math.min(next?.dueAt ?? endAt, endAt) - host.now());
      if (next === undefined || next.dueAt > host.now()) return;
      next.ring();
      await quiet();
    }
  };
  return { loop, libc: table, stream, recorder, peer, read, readAll, pass };
}

const EFAULT = 14;
const ECONNRESET = 104;

test('bytes that arrive during a pause are held in order, with the end behind them', { skip }, async (t) => {
  const sent = pattern(10 * RECEIVE_BUFFER_BYTES + 1);
  const { stream, recorder, peer } = await scene(t, { onData: (self) => self.pause() });
  peer.writeAll(sent);
  peer.shutdown('write');
  await quiet();
  for (let told = 1; told <= 11; told++) {
    await until(() => recorder.chunks.length >= told);
    await quiet();
    t.equal(recorder.chunks.length, told, 'one, and then it is paused again');
    t.equal(recorder.ends, 0);
    recorder.calling(() => stream.resume());
  }
  await until(() => recorder.isClosed);
  t.ok(recorder.received.equals(sent));
  t.equal(recorder.ends, 1);
});

test('messages of one length are received in one view, so a request makes none', { skip }, async (t) => {
  const views: Uint8Array[] = [];
  const { recorder, peer } = await scene(t, { onData: (_stream, bytes) => void views.push(bytes) });
  const messages = ['first', 'other', 'longer', 'a seventh', 'one of nine', 'the last!'];
  for (const [i, message] of messages.entries()) {
    peer.writeAll(Buffer.from(message));
    await until(() => recorder.chunks.length > i);
  }
  t.same(recorder.chunks.map(String), messages);
  t.equal(views[0], views[1]);
  t.not(views[1], views[2]);
});

test('a stream that ends while held bytes are delivered is disposed of once', { skip }, async (t) => {
  const sent = pattern(5 * RECEIVE_BUFFER_BYTES);
  const { loop, stream, recorder, peer } = await scene(t, {
    onData(self) {
      if (recorder.chunks.length === 1) self.pause();
    },
  });
  let isOther = false;
  const { address } = loop.listen({ address: '127.0.0.1', port: 0 }, () => {
    isOther = true;
    return { onData: () => stream.resume() };
  });
  const other = NetSocket.connectTo(address);
  t.teardown(() => other.close());
  await until(() => isOther);
  // All in one batch: bytes, of which the first pause it, the end, and what resumes it. Then nothing is under way for it any more.
  peer.writeAll(sent);
  peer.shutdown('write');
  other.writeAll(Buffer.from('go on'));
  await until(() => recorder.isClosed);
  await quiet();
  t.equal(recorder.closes, 1);
  t.equal(loop.openCount, 3, 'two listeners and the other one');
  t.ok(recorder.received.equals(sent));
});

test('hasInput knows of bytes that the kernel has given away: in the ring, and held while the stream is paused', {
  skip,
}, async (t) => {
  const { loop, stream, recorder, peer } = await scene(t, { onData: (self) => self.pause() });
  const heard: boolean[] = [];
  let isOther = false;
  const { address } = loop.listen({ address: '127.0.0.1', port: 0 }, () => {
    isOther = true;
    return { onData: () => void heard.push(recorder.chunks.length > 0, stream.hasInput()) };
  });
  const other = NetSocket.connectTo(address);
  t.teardown(() => other.close());
  await until(() => isOther);
  t.notOk(stream.hasInput());
  // All in one batch: while the other one is told, what came on this one is in the ring.
  other.writeAll(Buffer.from('x'));
  peer.writeAll(Buffer.from('y'));
  await until(() => heard.length > 0 && recorder.chunks.length === 1);
  t.same(heard, [false, true]);
  // It is received from by one request for all that comes now, which may be under way when it is paused.
  recorder.calling(() => stream.resume());
  await quiet();
  peer.writeAll(pattern(2 * RECEIVE_BUFFER_BYTES));
  await until(() => recorder.chunks.length === 2);
  await quiet();
  while (recorder.byteLength < 1 + 2 * RECEIVE_BUFFER_BYTES) {
    t.ok(stream.hasInput(), `${recorder.byteLength} bytes were told, and the rest is held`);
    recorder.calling(() => stream.resume());
    await quiet();
  }
  t.notOk(stream.hasInput());
});

for (const endsAtBreak of [false, true]) {
  test(`a break behind held bytes ${endsAtBreak ? 'ends a stream with endsAtBreak' : 'is reported after them'}`, {
    skip,
  }, async (t) => {
    const { stream, recorder, peer } = await scene(t, {
      onData(self) {
        if (recorder.chunks.length === 2) self.pause();
      },
      endsAtBreak,
    });
    peer.writeAll(Buffer.from('x'));
    await until(() => recorder.chunks.length === 1);
    await quiet();
    // In one batch: bytes, of which the first pause it, more of them, and the break.
    peer.writeAll(pattern(2 * RECEIVE_BUFFER_BYTES));
    peer.reset();
    await until(() => recorder.chunks.length === 2);
    await quiet();
    t.equal(recorder.isClosed, endsAtBreak);
    t.equal(recorder.chunks.length, 2);
    recorder.calling(() => stream.resume());
    await until(() => recorder.isClosed);
    t.equal(recorder.byteLength === 1 + 2 * RECEIVE_BUFFER_BYTES, !endsAtBreak, `${recorder.byteLength} bytes`);
    t.match(recorder.error, { code: 'ECONNRESET', syscall: 'recv' });
  });
}

test('held bytes are dropped when the stream is closed', { skip }, async (t) => {
  const { loop, stream, recorder, peer } = await scene(t, { onData: (self) => self.pause() });
  peer.writeAll(pattern(5 * RECEIVE_BUFFER_BYTES));
  await until(() => recorder.chunks.length === 1);
  await quiet();
  stream.resume();
  stream.close();
  await until(() => recorder.isClosed);
  t.equal(recorder.chunks.length, 1);
  t.equal(loop.openCount, 1, 'only the listener is left');
});

test('a stream that is paused and resumed again and again loses nothing', { skip }, async (t) => {
  const sent = pattern(200_000);
  const { stream, recorder, peer } = await scene(t);
  for (let at = 0; at < sent.length; ) {
    const length = peer.tryWrite(sent, at, Math.min(1_000, sent.length - at));
    if (length > 0) at += length;
    if (at % 3 === 0) recorder.calling(() => stream.pause());
    else recorder.calling(() => stream.resume());
    if (length <= 0) recorder.calling(() => stream.resume()); // or the peer would wait without end
    if (length <= 0 || at % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  peer.shutdown('write');
  stream.resume();
  await until(() => recorder.isClosed);
  t.ok(recorder.received.equals(sent));
});

test('bytes that write took arrive although the stream is closed at once, even if the peer reads late', {
  skip,
}, async (t) => {
  const { stream, recorder, read, readAll } = await scene(t);
  t.ok(stream.write(pattern(MUCH)));
  recorder.calling(() => stream.close());
  await quiet();
  t.notOk(recorder.isClosed, 'they are still under way');
  t.notOk(stream.write(Buffer.from('lost')));
  t.notOk(stream.writeOwned(Buffer.from('lost')));
  await until(() => {
    readAll();
    return read.isOver;
  });
  t.ok(read.bytes.equals(pattern(MUCH)));
  t.equal(read.error, 0);
  await until(() => recorder.isClosed);
  t.equal(recorder.error, null);
});

test('gathered bytes are sent after close, queued ones are dropped', { skip }, async (t) => {
  const { stream, recorder, read, readAll } = await scene(t);
  t.ok(stream.write(pattern(MUCH)));
  await until(() => stream.queuedBytes > 0);
  t.notOk(stream.write(pattern(MUCH)));
  recorder.calling(() => stream.close());
  await until(() => {
    readAll();
    return read.isOver;
  });
  t.ok(read.bytes.equals(pattern(MUCH)), `${read.bytes.length} bytes have come`);
  await until(() => recorder.isClosed);
});

test('a peer that never reads is waited for so long and no longer', { skip }, async (t) => {
  const { loop, stream, recorder, read, readAll, pass } = await scene(t);
  stream.setDeadline(1_000); // of the program's, which is of no interest any more
  t.ok(stream.write(pattern(MUCH)));
  recorder.calling(() => stream.close());
  await quiet();
  await pass(LINGER_MS - 1_000);
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.notOk(recorder.isClosed);
  t.equal(recorder.timeouts, 0);
  await pass(1_000 + 4 * LINGER_MS); // the peer's kernel may have had a little more room, which counts for three spans more
  await until(() => recorder.isClosed);
  t.equal(loop.openCount, 1);
  await until(() => {
    readAll();
    return read.isOver;
  });
  t.equal(read.error, -ECONNRESET, 'it learns that it has not got all');
});

/** Lets the peer read so much, whether it has come already or comes meanwhile. */
async function readMore({ peer }: Scene, byteLength: number): Promise<void> {
  const room = Buffer.alloc(byteLength);
  for (let left = byteLength; left > 0; ) {
    const length = peer.tryRead(room, 0, left);
    if (length > 0) left -= length;
    else await quiet();
  }
}

for (const minimum of [null, { everyMs: 10_000, bytes: 1_000 }]) {
  const asks = minimum === null ? 'nothing' : 'a minimum';
  test(`a closed stream that asks ${asks} goes on for as long as its peer takes it`, { skip }, async (t) => {
    const all = await scene(t);
    const { loop, stream, recorder, read, readAll, pass } = all;
    const everyMs = minimum?.everyMs ?? LINGER_MS;
    stream.minimumProgress = minimum;
    t.ok(stream.write(pattern(MUCH)));
    recorder.calling(() => stream.close());
    await quiet();
    for (let i = 0; i < 4; i++) {
      await readMore(all, SMALL);
      await pass(everyMs * 0.9);
      t.notOk(recorder.isClosed, `after ${(i + 1) * everyMs * 0.9} ms`);
    }
    stream.minimumProgress = null; // too late: it is what was asked for that counts
    recorder.calling(() => stream.close());
    await pass(5 * everyMs);
    await until(() => recorder.isClosed);
    t.equal(recorder.error, null, 'the program has closed it');
    t.equal(loop.openCount, 1);
    readAll();
    t.equal(read.error, -ECONNRESET, 'the peer learns that it has not got all');
  });
}

test('a loop that is closed waits for a second, also for streams that were closed before', { skip }, async (t) => {
  const { loop, stream, recorder, read, readAll, pass } = await scene(t);
  t.ok(stream.write(pattern(MUCH)));
  recorder.calling(() => stream.close());
  await quiet();
  await pass(5_000);
  loop.close();
  await quiet();
  await pass(900);
  loop.close();
  recorder.calling(() => stream.close());
  t.notOk(recorder.isClosed);
  await pass(100);
  await until(() => recorder.isClosed);
  t.equal(loop.openCount, 0);
  recorder.calling(() => stream.close());
  readAll();
  t.equal(read.error, -ECONNRESET);
});

test('when the process ends, the kernel gets all for which it has room', { skip }, async (t) => {
  const { loop, stream, read, readAll } = await scene(t, {}, { address: '127.0.0.1', port: 0 });
  stream.write(pattern(100_000));
  stream.writeOwned(pattern(300_000));
  stream.write(pattern(50_000));
  loop.ring.onExit?.();
  readAll();
  t.ok(read.bytes.equals(Buffer.concat([100_000, 300_000, 50_000].map(pattern))), `${read.bytes.length} bytes`);
});

test('when the process ends while a share of much is on its way, the rest follows', { skip }, async (t) => {
  const { loop, stream, read, readAll } = await scene(t, {}, { address: '127.0.0.1', port: 0 });
  const sent = pattern(defaultLoopLimits.sentBytesPerStream + 300_000);
  stream.writeOwned(sent);
  (stream as UringStream).flush();
  loop.ring.onExit?.();
  readAll();
  t.ok(read.bytes.equals(sent), `${read.bytes.length} bytes`);
});

function openFile(t: Test, bytes: Uint8Array): number {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  writeFileSync(join(folder, 'file'), bytes);
  const fd = openSync(join(folder, 'file'), 'r');
  rmSync(folder, { recursive: true });
  t.teardown(() => closeSync(fd));
  return fd;
}

test('when the process ends, parts of files leave as far as there is room, with what is between them', {
  skip,
}, async (t) => {
  const { loop, stream, read, readAll } = await scene(t, {}, { address: '127.0.0.1', port: 0 });
  const content = pattern(200_000);
  const fd = openFile(t, content);
  stream.sendFile(fd, 0, 100_000);
  stream.sendFile(fd, 100_000, 100_000);
  stream.write(Buffer.from('between'));
  stream.sendFile(fd, 0, 10);
  loop.ring.onExit?.();
  readAll();
  const all = [content, Buffer.from('between'), content.subarray(0, 10)];
  t.ok(read.bytes.equals(Buffer.concat(all)), `${read.bytes.length} bytes`);
});

test('when the process ends, a part of a file for which there is no room is lost', { skip }, async (t) => {
  const { loop, stream, read, readAll } = await scene(t);
  stream.sendFile(openFile(t, pattern(500_000)), 0, 500_000);
  stream.write(Buffer.from('behind it'));
  loop.ring.onExit?.();
  readAll();
  const { length } = read.bytes;
  t.ok(length > 0 && length < 500_000, `${length} bytes`);
  t.ok(read.bytes.equals(pattern(500_000).subarray(0, length)));
});

test('a sendfile that finds no room at all is made again when there is some', { skip }, async (t) => {
  const { libc: table, stream, read, readAll } = await scene(t);
  let refusals = 3;
  table.sendfile = (...args) => (refusals-- > 0 ? -EAGAIN : libc.sendfile(...args));
  stream.sendFile(openFile(t, pattern(1_000)), 0, 1_000);
  await until(() => {
    readAll();
    return read.bytes.length === 1_000;
  });
  t.ok(read.bytes.equals(pattern(1_000)));
});

test('when the process ends, bytes for which the kernel has no room are lost, with all behind them', {
  skip,
}, async (t) => {
  const { loop, stream, read, readAll } = await scene(t);
  stream.writeOwned(pattern(500_000));
  stream.write(Buffer.from('behind it'));
  loop.ring.onExit?.();
  readAll();
  const { length } = read.bytes;
  t.ok(length > 0 && length < 500_000, `${length} bytes`);
  t.ok(read.bytes.equals(pattern(500_000).subarray(0, length)));
});

test('when the process ends, a closed stream sends gathered bytes, and not queued ones', {
  skip,
}, async (t) => {
  const { loop, stream, read, readAll } = await scene(t, {}, { address: '127.0.0.1', port: 0 });
  let sends = 0;
  const { send } = loop.ring;
  loop.ring.send = (...args) => {
    sends++;
    send.apply(loop.ring, args);
  };
  stream.write(Buffer.from('taken'));
  stream.writeOwned(pattern(100_000));
  stream.close();
  loop.ring.onExit?.();
  t.equal(sends, 1, 'it is sent there and not when it departs');
  await until(() => {
    readAll();
    return read.isOver;
  });
  t.equal(read.bytes.toString(), 'taken');
});

test('abort ends the wait', { skip }, async (t) => {
  const { stream, recorder, read, readAll } = await scene(t);
  t.ok(stream.write(pattern(MUCH)));
  recorder.calling(() => stream.close());
  await quiet();
  t.notOk(recorder.isClosed);
  recorder.calling(() => stream.abort());
  await until(() => recorder.isClosed);
  t.equal(recorder.error, null);
  readAll();
  t.equal(read.error, -ECONNRESET);
});

test('a stream that is aborted while it sends to a peer that does not read is disposed of', { skip }, async (t) => {
  const { loop, stream, recorder } = await scene(t);
  for (let i = 0; i < 5; i++) stream.write(pattern(MUCH));
  await quiet();
  recorder.calling(() => stream.abort());
  await until(() => recorder.isClosed);
  t.equal(loop.openCount, 1);
});

test('if abort finds room for a part of the output, nothing is sent after that part', { skip }, async (t) => {
  const { loop, stream, recorder, read, readAll } = await scene(t);
  const { take } = loop.ring;
  loop.ring.take = () => {
    const isFound = take.call(loop.ring);
    if (isFound && read.bytes.length === 0) readAll(); // and then there is room again
    return isFound;
  };
  const sent = pattern(2 * MUCH);
  recorder.calling(() => {
    t.ok(stream.write(sent.subarray(0, MUCH)));
    t.ok(stream.write(sent.subarray(MUCH)));
    stream.abort();
  });
  await until(() => recorder.isClosed);
  loop.ring.take = take;
  readAll();
  t.equal(read.error, -ECONNRESET);
  const { length } = read.bytes;
  t.ok(length > 0 && length < MUCH, `${length} bytes`);
  t.ok(read.bytes.equals(sent.subarray(0, length)));
});

test('a write that the kernel does not take counts as queued, and onDrain reports when it has', { skip }, async (t) => {
  const { stream, recorder, readAll, read } = await scene(t);
  t.ok(stream.writeOwned(Buffer.alloc(0)), 'nothing is sent at once');
  t.ok(stream.write(pattern(MUCH)));
  t.equal(stream.queuedBytes, 0, 'nobody knows yet');
  await until(() => stream.queuedBytes > 0);
  t.equal(recorder.drains, 0);
  while (recorder.drains === 0) {
    readAll();
    await quiet();
  }
  t.equal(stream.queuedBytes, 0);
  readAll();
  t.ok(read.bytes.equals(pattern(MUCH)));
  t.ok(stream.write(Buffer.from('more')), 'and it goes on');
  await until(() => {
    readAll();
    return read.bytes.length === MUCH + 4;
  });
  t.equal(recorder.drains, 1);
});

test('writes of one turn leave in one request', { skip }, async (t) => {
  const { loop, stream, readAll, read } = await scene(t);
  const lengths: number[] = [];
  const { send } = loop.ring;
  loop.ring.send = (fd, tag, address, length, flags) => {
    lengths.push(length);
    send.call(loop.ring, fd, tag, address, length, flags);
  };
  for (const text of ['one ', 'two ', 'three ']) t.ok(stream.write(Buffer.from(text)));
  t.ok(stream.write(Buffer.from('four and more'), 4, true));
  await until(() => {
    readAll();
    return read.bytes.length === 18;
  });
  t.equal(read.bytes.toString(), 'one two three four');
  t.same(lengths, [18]);
});

test('a send that could not be done just then is done again; any other failure ends the stream', {
  skip,
}, async (t) => {
  const { loop, stream, recorder, readAll, read } = await scene(t);
  const NOWHERE = 8; // an address at which no memory is
  const answers = [-EAGAIN, -EFAULT];
  const { send, take } = loop.ring;
  loop.ring.send = (fd, tag, address, length, flags) =>
    send.call(loop.ring, fd, tag, answers.length > 0 ? NOWHERE : address, length, flags);
  loop.ring.take = () => {
    const isFound = take.call(loop.ring);
    const { completion } = loop.ring;
    if (isFound && completion.result === -EFAULT) completion.result = answers.shift() as number;
    if (answers.length === 1) loop.ring.send = send;
    return isFound;
  };
  t.ok(stream.write(Buffer.from('again')));
  await until(() => {
    readAll();
    return read.bytes.length === 5;
  });
  loop.ring.take = take;
  loop.ring.send = (fd, tag, _address, length, flags) => send.call(loop.ring, fd, tag, NOWHERE, length, flags);
  stream.write(Buffer.from('never'));
  await until(() => recorder.isClosed);
  t.match(recorder.error, { code: 'EFAULT', syscall: 'send' });
});

test('a paused stream ends when its connection breaks', { skip }, async (t) => {
  const { stream, recorder, peer } = await scene(t);
  stream.pause();
  await quiet();
  peer.reset();
  await until(() => recorder.isClosed);
  t.match(recorder.error, { code: 'ECONNRESET' });
});

test('a Unix peer that closes both directions while we send', { skip }, async (t) => {
  const { recorder, peer } = await scene(t, { onEnd: () => {} }, { path: `\0simplenet-uring-${process.pid}` });
  peer.shutdown('write');
  await until(() => recorder.ends === 1);
  await quiet();
  t.notOk(recorder.isClosed, 'it may still read');
  peer.close();
  await until(() => recorder.isClosed);
  t.match(recorder.error, { code: 'EPIPE' });
});

test('a paused stream receives all bytes of a Unix peer that has closed', { skip }, async (t) => {
  const { stream, recorder, peer } = await scene(t, {}, { path: `\0simplenet-uring-paused-${process.pid}` });
  stream.pause();
  await quiet();
  peer.writeAll(Buffer.from('last words'));
  peer.close();
  await quiet();
  t.notOk(recorder.isClosed);
  stream.resume();
  await until(() => recorder.isClosed);
  t.equal(recorder.received.toString(), 'last words');
});

test('a shutdown that fails ends the stream with its error', { skip }, async (t) => {
  const { libc: table, stream, recorder } = await scene(t);
  table.shutdown = () => -107; // ENOTCONN: the connection has just been reset
  recorder.calling(() => stream.end());
  await until(() => recorder.isClosed);
  t.match(recorder.error, { code: 'ENOTCONN', syscall: 'shutdown' });
});

test('a hang-up that was reported while the stream was paused takes effect later', { skip }, async (t) => {
  const address = { path: `\0simplenet-${process.pid}-hang-up` };
  const { stream, recorder, peer } = await scene(t, { onEnd: () => {} }, address);
  recorder.calling(() => stream.pause());
  await quiet();
  peer.writeAll(Buffer.from('the last'));
  peer.close();
  await quiet();
  recorder.calling(() => stream.resume());
  await until(() => recorder.isClosed);
  t.equal(recorder.received.toString(), 'the last');
  t.equal(recorder.error?.code, 'EPIPE');
});

test('bytes that call themselves longer than they are are no way to other memory', { skip }, async (t) => {
  const { stream, recorder } = await scene(t);
  class Liar extends Uint8Array {
    override get length() {
      return 1 << 20;
    }
    override get byteLength() {
      return 1 << 20;
    }
  }
  const liar = new Liar(2_000);
  for (const write of [() => stream.write(liar), () => stream.writeOwned(liar)]) {
    recorder.calling(() =>
      t.throws(write, {
        name: 'RangeError',
        message: 'length must be an integer from 0 to 2000, the size of the bytes, not 1048576',
      }),
    );
  }
  recorder.calling(() => stream.abort());
  await until(() => recorder.isClosed);
});

test('a stream whose peer sends much takes one buffer at a time, and others receive, too', { skip }, async (t) => {
  const { loop, stream, peer, recorder } = await scene(t);
  const sender = NetSocket.connectTo(stream.localAddress);
  t.teardown(() => sender.close());
  sender.setNonBlocking(true);
  const others = new Recorder();
  stream.handler = others; // the one that is heard, or not
  const flood = Buffer.alloc(65_536);
  let sent = 0;
  for (let pings = 1; pings <= 20; pings++) {
    peer.writeAll(Buffer.from('p'));
    for (let i = 0; i < 50; i++) sent += Math.max(0, sender.tryWrite(flood));
    await until(() => others.byteLength === pings);
  }
  t.ok(sent > 0);
  t.equal(loop.openCount, 3);
  recorder.calling(() => stream.abort());
});
