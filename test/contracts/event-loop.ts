/**
 * The contract of the EventLoop seam (simplenet/loop/event-loop.ts): scenarios that hold for every implementation, on every
 * kernel. Each gets a fresh world; what must hold at the end of all of them is checked by `World.close`.
 */

import assert from 'node:assert/strict';
import { portOf } from '../../simplenet/kernel/socket-address.ts';
import type { SystemError } from '../../simplenet/kernel/system-error.ts';
import type { Listener, OnConnection, Stream, StreamHandler } from '../../simplenet/loop/event-loop.ts';
import { Recorder } from './recorder.ts';
import type { World } from './world.ts';

type Scenario = (world: World) => Promise<void>;

/** Kernel buffers that a test can fill. */
const SMALL = 8_192;

/** Bytes that differ from their neighbours, so that a lost or moved byte is seen. */
function pattern(length: number, salt = 0): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) * 17 + salt) & 0xff;
  return bytes;
}

/** A listener, and the recorders of the connections it accepted. */
class Server {
  readonly recorders: Recorder[] = [];
  readonly listener: Listener;

  constructor(world: World, reaction: Partial<StreamHandler> = {}) {
    const onConnection: OnConnection = (stream) => {
      const recorder = new Recorder(reaction);
      recorder.stream = stream;
      this.recorders.push(recorder);
      return recorder;
    };
    this.listener = world.loop.listen(world.anyAddress, onConnection, {
      receiveBufferBytes: SMALL,
      sendBufferBytes: SMALL,
    });
  }
}

function connect(world: World, server: { listener: Listener }, reaction: Partial<StreamHandler> = {}): Recorder {
  const recorder = new Recorder(reaction);
  const options = { receiveBufferBytes: SMALL, sendBufferBytes: SMALL };
  recorder.stream = recorder.calling(() => world.loop.connect(server.listener.address, recorder, options));
  return recorder;
}

function streamOf(recorder: Recorder): Stream {
  assert.ok(recorder.stream, 'the stream is known');
  return recorder.stream;
}

function accepted(server: Server, index = 0): Recorder {
  const recorder = server.recorders[index];
  assert.ok(recorder, `connection ${index} was accepted`);
  return recorder;
}

function assertOrderly(recorders: readonly Recorder[]): void {
  for (const recorder of recorders) {
    assert.deepEqual(recorder.complaints, []);
    assert.equal(recorder.closes, 1, 'exactly one onClose');
  }
}

async function untilClosed(world: World, recorders: readonly Recorder[]): Promise<void> {
  await world.until(() => recorders.every((recorder) => recorder.isClosed), 'all streams close');
  assertOrderly(recorders);
}

/** Writes until something is queued for a peer that does not read. */
async function untilQueued(world: World, writer: Recorder): Promise<void> {
  await world.quiet();
  while (!writer.isClosed && streamOf(writer).queuedBytes === 0) {
    writer.calling(() => {
      while (streamOf(writer).write(pattern(10_000)));
    });
    await world.quiet();
  }
}

/** Goes on writing to a peer that does not read, until the stream ends. */
async function untilStuck(world: World, writer: Recorder): Promise<void> {
  while (!writer.isClosed) {
    await untilQueued(world, writer);
    await pass(world, writer, 20);
  }
}

/** Lets time pass, or less of it if the stream ends. */
async function pass(world: World, recorder: Recorder, ms: number): Promise<void> {
  let isOver = false;
  const alarm = world.loop.after(ms, () => {
    isOver = true;
  });
  await world.until(() => isOver || recorder.isClosed, `${ms} ms`);
  alarm.cancel();
}

const echo: Partial<StreamHandler> = {
  onData(stream, bytes) {
    if (!stream.write(bytes)) stream.pause();
  },
  onDrain(stream) {
    stream.resume();
  },
};

export const eventLoopContract: Readonly<Record<string, Scenario>> = {
  async 'what is sent comes back, in order and complete, on many connections at once'(world) {
    const server = new Server(world, echo);
    const sent = [0, 1, 100, 5_000, 70_000].map((length, i) => pattern(length, i));
    const clients = sent.map((bytes) =>
      connect(world, server, {
        onOpen(stream) {
          stream.write(bytes);
          stream.end();
        },
      }),
    );
    await untilClosed(world, clients);
    await untilClosed(world, server.recorders);
    for (const [i, client] of clients.entries()) {
      assert.ok(client.received.equals(sent[i] as Buffer), `connection ${i}: ${client.byteLength} bytes came back`);
      assert.equal(client.error, null);
      assert.equal(client.ends, 1);
    }
    for (const recorder of server.recorders) assert.equal(recorder.error, null);
  },

  async 'writes before the connection stands are sent when it does'(world) {
    const server = new Server(world);
    const client = connect(world, server);
    client.calling(() => {
      assert.equal(streamOf(client).write(Buffer.from('early ')), false);
      assert.equal(streamOf(client).write(Buffer.from('bird')), false);
      streamOf(client).end();
    });
    await untilClosed(world, [client]);
    await untilClosed(world, server.recorders);
    assert.equal(client.opens, 1);
    assert.equal(accepted(server).received.toString(), 'early bird');
  },

  async 'a stream that is ended before it is open says so once it stands'(world) {
    const server = new Server(world);
    const client = connect(world, server);
    client.calling(() => streamOf(client).end());
    await untilClosed(world, [client]);
    await untilClosed(world, server.recorders);
    assert.equal(client.opens, 1);
    assert.equal(client.error, null);
    assert.equal(accepted(server).ends, 1);
  },

  async 'the bytes given to write may be reused at once'(world) {
    const server = new Server(world);
    const client = connect(world, server);
    const scratch = Buffer.alloc(6_000);
    const expected: Buffer[] = [];
    await world.until(() => client.opens > 0, 'the connection stands');
    for (let i = 0; i < 10; i++) {
      scratch.set(pattern(scratch.length, i));
      expected.push(Buffer.from(scratch));
      streamOf(client).write(scratch);
    }
    scratch.fill(0xff);
    streamOf(client).end();
    await untilClosed(world, [client]);
    await untilClosed(world, server.recorders);
    assert.equal(client.error, null);
    assert.ok(accepted(server).received.equals(Buffer.concat(expected)));
  },

  async 'copied and given bytes keep their order'(world) {
    const server = new Server(world);
    const client = connect(world, server);
    await world.until(() => client.opens > 0, 'the connection stands');
    const parts = [pattern(20_000, 1), pattern(7, 2), pattern(30_000, 3), pattern(1, 4), pattern(9_000, 5)];
    for (const [i, part] of parts.entries()) {
      if (i % 2 === 0) streamOf(client).writeOwned(part);
      else streamOf(client).write(part);
    }
    streamOf(client).end();
    await untilClosed(world, [client]);
    assert.ok(accepted(server).received.equals(Buffer.concat(parts)));
  },

  async 'a client that has ended its side still gets its response'(world) {
    const answer = pattern(50_000);
    const server = new Server(world, {
      onEnd(stream) {
        stream.write(answer);
        stream.end();
      },
    });
    const client = connect(world, server, {
      onOpen(stream) {
        stream.write(Buffer.from('a question'));
        stream.end();
      },
    });
    await untilClosed(world, [client]);
    await untilClosed(world, server.recorders);
    assert.equal(accepted(server).received.toString(), 'a question');
    assert.ok(client.received.equals(answer));
  },

  async 'a response may come long after the peer has ended its side'(world) {
    const server = new Server(world, { onEnd: () => {} });
    const client = connect(world, server, { onOpen: (stream) => stream.end() });
    await world.until(() => server.recorders[0]?.ends === 1, 'the server sees the end');
    await world.quiet();
    assert.equal(client.isClosed, false);
    const recorder = accepted(server);
    recorder.calling(() => {
      streamOf(recorder).write(Buffer.from('at last'));
      streamOf(recorder).end();
    });
    await untilClosed(world, [client, recorder]);
    assert.equal(client.received.toString(), 'at last');
  },

  async 'a server may end first'(world) {
    const question = pattern(20_000);
    const server = new Server(world);
    const client = connect(world, server, {
      onEnd(stream) {
        stream.write(question);
        stream.end();
      },
    });
    await world.until(() => server.recorders.length > 0, 'the connection is accepted');
    streamOf(accepted(server)).end();
    await untilClosed(world, [client, accepted(server)]);
    assert.ok(accepted(server).received.equals(question));
    assert.equal(accepted(server).error, null);
  },

  async 'hasInput returns whether bytes have arrived that onData has not delivered'(world) {
    const server = new Server(world);
    const client = connect(world, server);
    await world.until(() => server.recorders.length > 0 && client.opens > 0, 'the connection stands');
    const stream = streamOf(accepted(server));
    assert.equal(stream.hasInput(), false, 'nothing was sent');
    stream.pause();
    await world.quiet();
    streamOf(client).write(Buffer.from('hello'));
    await world.until(() => stream.hasInput(), 'the bytes arrive');
    await world.quiet();
    assert.equal(accepted(server).byteLength, 0);
    stream.resume();
    await world.until(() => accepted(server).byteLength === 5, 'they are delivered');
    assert.equal(stream.hasInput(), false, 'the program has them');
    streamOf(client).end();
    await world.until(() => accepted(server).ends === 1, 'the end');
    assert.equal(stream.hasInput(), false, 'an end is not a byte');
    await untilClosed(world, [client, accepted(server)]);
    assert.equal(stream.hasInput(), false, 'closed');
  },

  async 'a listener that closes when it is empty accepts all that have connected, and no others'(world) {
    const server = new Server(world);
    const early = Array.from({ length: 5 }, () => connect(world, server));
    await world.until(() => early.every(({ opens }) => opens > 0), 'the connections stand');
    let closes = 0;
    let isInCall = true;
    server.listener.closeWhenEmpty(20, () => {
      assert.ok(!isInCall, 'not within the call');
      closes++;
    });
    isInCall = false;
    const late = connect(world, server);
    await world.until(() => closes > 0, 'the listener closes');
    assert.equal(server.recorders.length, early.length);
    for (const client of early) streamOf(client).end();
    await untilClosed(world, [...early, ...server.recorders]);
    for (const { error } of early) assert.equal(error, null);
    await world.until(() => late.isClosed, 'the late one is refused');
    assert.equal(late.opens, 0);
    server.listener.closeWhenEmpty(20, () => closes++);
    await world.until(() => closes === 2, 'the listener reports that it is closed');
    await world.quiet();
    assert.equal(closes, 2, 'once for each call');
  },

  async 'without onEnd, our side ends with the peer'(world) {
    let closes = 0;
    const onConnection: OnConnection = () => ({ onData: () => {}, onClose: () => void closes++ });
    const listener = world.loop.listen(world.anyAddress, onConnection);
    const client = connect(world, { listener }, { onOpen: (stream) => stream.end() });
    await untilClosed(world, [client]);
    await world.until(() => closes === 1, 'the server closes');
    assert.equal(client.ends, 1);
  },

  async 'a slow reader stops the writer, and loses nothing'(world) {
    const bytes = pattern(400_000);
    const server = new Server(world, {
      onData(stream) {
        stream.pause();
      },
    });
    const client = connect(world, server);
    await world.until(() => client.opens > 0, 'the connection stands');
    let at = 0;
    while (streamOf(client).queuedBytes === 0) {
      for (let isSent = true; isSent; at += 1_000) isSent = streamOf(client).write(bytes.subarray(at, at + 1_000));
      await world.quiet();
    }
    assert.ok(at < bytes.length, 'the kernel takes only so much');
    streamOf(client).write(bytes.subarray(at));
    streamOf(client).end();
    const reader = accepted(server);
    while (!reader.isClosed) {
      const { byteLength } = reader;
      streamOf(reader).resume();
      await world.until(() => reader.byteLength > byteLength || reader.isClosed, 'more arrives');
    }
    await untilClosed(world, [client, reader]);
    assert.ok(reader.received.equals(bytes));
    assert.ok(reader.chunks.length > 1);
  },

  async 'queuedBytes says how the peer gets on with many bytes'(world) {
    const many = 10 * world.maxQueuedBytes;
    const server = new Server(world, { onData: (stream) => stream.pause(), endsAtBreak: true });
    const client = connect(world, server, { onOpen: (stream) => void stream.writeOwned(pattern(many)) });
    await world.until(() => server.recorders[0]?.byteLength !== 0 && server.recorders.length > 0, 'the first arrive');
    const reader = accepted(server);
    while (reader.byteLength < many / 2) {
      const { byteLength } = reader;
      streamOf(reader).resume();
      await world.until(() => reader.byteLength > byteLength, 'more arrives');
    }
    const { queuedBytes } = streamOf(client);
    assert.ok(queuedBytes > 0 && queuedBytes < 0.75 * many, `${queuedBytes} of ${many} bytes are still queued`);
    streamOf(client).abort();
    await untilClosed(world, [client, reader]);
  },

  async 'onDrain is called when all queued bytes are sent, once for each time'(world) {
    const server = new Server(world, { onData: (stream) => stream.pause(), endsAtBreak: true });
    const client = connect(world, server);
    await world.until(() => client.opens > 0 && server.recorders.length > 0, 'the connection stands');
    while (streamOf(client).queuedBytes === 0) {
      while (streamOf(client).write(pattern(10_000)));
      await world.quiet();
    }
    const { drains } = client;
    const reader = accepted(server);
    while (client.drains === drains) {
      const { byteLength } = reader;
      streamOf(reader).resume();
      await world.until(() => reader.byteLength > byteLength || client.drains > drains, 'more arrives');
    }
    assert.equal(streamOf(client).queuedBytes, 0);
    await world.quiet();
    assert.equal(client.drains, drains + 1);
    streamOf(client).abort();
    await untilClosed(world, [client, reader]);
  },

  async 'a paused stream hands over nothing, and nothing is lost'(world) {
    const server = new Server(world);
    const client = connect(world, server);
    await world.until(() => server.recorders.length > 0 && client.opens > 0, 'the connection stands');
    const reader = accepted(server);
    streamOf(reader).pause();
    await world.quiet();
    streamOf(client).write(Buffer.from('waiting'));
    streamOf(client).end();
    await world.quiet();
    assert.equal(reader.byteLength, 0);
    assert.equal(reader.ends, 0);
    streamOf(reader).resume();
    await untilClosed(world, [client, reader]);
    assert.equal(reader.received.toString(), 'waiting');
  },

  async 'a paused stream whose both sides have ended keeps its bytes for resume'(world) {
    const server = new Server(world);
    const client = connect(world, server);
    await world.until(() => server.recorders.length > 0 && client.opens > 0, 'the connection stands');
    const reader = accepted(server);
    streamOf(reader).pause();
    streamOf(reader).end();
    await world.until(() => client.ends === 1, 'the client sees the end');
    await world.quiet();
    assert.equal(reader.isClosed, false);
    streamOf(reader).resume();
    await untilClosed(world, [client, reader]);
  },

  async 'a refused connection is reported by onClose only'(world) {
    const server = new Server(world);
    const { listener } = server;
    listener.close();
    await world.quiet();
    const client = connect(world, { listener });
    assert.equal(client.closes, 0, 'not within the call');
    await untilClosed(world, [client]);
    assert.equal(client.opens, 0);
    assert.equal(client.error?.code, 'ECONNREFUSED');
    assert.equal(client.error?.port, portOf(listener.address));
  },

  async 'a closed listener takes no more, and its connections live on'(world) {
    const server = new Server(world, echo);
    const client = connect(world, server);
    await world.until(() => server.recorders.length > 0 && client.opens > 0, 'the connection stands');
    server.listener.close();
    server.listener.close();
    await world.quiet();
    streamOf(client).write(Buffer.from('still here'));
    await world.until(() => client.byteLength === 10, 'the echo comes');
    streamOf(client).end();
    await untilClosed(world, [client, accepted(server)]);
    assert.equal(world.loop.openCount, 0);
  },

  async 'after abort the peer gets an error'(world) {
    const server = new Server(world);
    const client = connect(world, server);
    await world.until(() => server.recorders.length > 0 && client.opens > 0, 'the connection stands');
    client.calling(() => streamOf(client).abort());
    await untilClosed(world, [client, accepted(server)]);
    assert.equal(client.error, null);
    assert.equal(accepted(server).error?.code, 'ECONNRESET');
  },

  async 'a paused stream whose connection breaks hands over its last bytes when it is resumed, and then ends'(world) {
    const server = new Server(world, { onData: (stream) => stream.pause() });
    const client = connect(world, server);
    await world.until(() => server.recorders.length > 0 && client.opens > 0, 'the connection stands');
    const reader = accepted(server);
    streamOf(client).write(Buffer.from('first'));
    await world.until(() => reader.byteLength > 0, 'the first bytes arrive');
    const { byteLength: before } = reader;
    client.calling(() => {
      streamOf(client).write(Buffer.from(' and '));
      streamOf(client).write(Buffer.from('last'));
    });
    await world.until(() => streamOf(client).queuedBytes === 0, 'all is sent');
    await world.quiet();
    client.calling(() => streamOf(client).abort());
    await untilClosed(world, [client]);
    await world.quiet();
    assert.equal(reader.isClosed, false, 'it waits');
    assert.equal(reader.byteLength, before);
    while (!reader.isClosed) {
      const { byteLength } = reader;
      reader.calling(() => streamOf(reader).resume());
      await world.until(() => reader.byteLength > byteLength || reader.isClosed, 'more arrives');
    }
    assertOrderly([reader]);
    assert.equal(reader.received.toString(), 'first and last');
    assert.equal(reader.error?.code, 'ECONNRESET');
    assert.equal(reader.ends, 0);
  },

  async 'a paused stream without waiting bytes ends at once when its connection breaks'(world) {
    const server = new Server(world);
    const client = connect(world, server);
    await world.until(() => server.recorders.length > 0 && client.opens > 0, 'the connection stands');
    const reader = accepted(server);
    reader.calling(() => streamOf(reader).pause());
    await world.quiet();
    client.calling(() => streamOf(client).abort());
    await untilClosed(world, [client, reader]);
    assert.equal(reader.error?.code, 'ECONNRESET');
  },

  async 'with endsAtBreak a paused stream ends at once, whatever waits'(world) {
    const server = new Server(world, { endsAtBreak: true });
    const client = connect(world, server);
    await world.until(() => server.recorders.length > 0 && client.opens > 0, 'the connection stands');
    const reader = accepted(server);
    reader.calling(() => streamOf(reader).pause());
    await world.quiet();
    streamOf(client).write(Buffer.from('of no use'));
    await world.quiet();
    client.calling(() => streamOf(client).abort());
    await untilClosed(world, [client, reader]);
    assert.equal(reader.byteLength, 0);
    assert.equal(reader.error?.code, 'ECONNRESET');
  },

  async 'close is final: no callback but onClose follows'(world) {
    const server = new Server(world, echo);
    const client = connect(world, server, {
      onData(stream) {
        stream.close();
        assert.equal(stream.write(Buffer.from('lost')), false);
        assert.equal(stream.isEnded, true);
        stream.close();
        stream.abort();
        stream.end();
        stream.resume();
        stream.setDeadline(0);
      },
    });
    streamOf(client).write(pattern(100_000));
    await untilClosed(world, [client]);
    await untilClosed(world, server.recorders);
    assert.equal(client.error, null);
    assert.equal(client.chunks.length, 1);
    assert.equal(streamOf(client).queuedBytes, 0);
  },

  async 'calls on a closed stream change nothing'(world) {
    const server = new Server(world, echo);
    const client = connect(world, server, { onOpen: (stream) => stream.close(), onClose: (stream) => stream.resume() });
    await untilClosed(world, [client]);
    await world.quiet();
    await untilClosed(world, server.recorders);
    const { openCount } = world.loop;
    for (const recorder of [client, ...server.recorders]) {
      const stream = streamOf(recorder);
      stream.pause();
      stream.resume();
      stream.end();
      stream.close();
      stream.abort();
      stream.setDeadline(1);
      assert.equal(stream.write(Buffer.from('x')), false);
    }
    await world.quiet();
    assertOrderly([client, ...server.recorders]);
    assert.equal(world.loop.openCount, openCount);
  },

  async 'a stream paused by the callback of another one gets no data from the same batch'(world) {
    const server = new Server(world);
    const clients = [0, 1, 2, 3].map(() => connect(world, server));
    await world.until(() => server.recorders.length === 4 && clients.every((client) => client.opens > 0), 'they stand');
    const late: string[] = [];
    let pausedBy = -1;
    for (const [i, recorder] of server.recorders.entries()) {
      streamOf(recorder).handler = {
        onData() {
          if (pausedBy !== -1) late.push(`stream ${i} after stream ${pausedBy} paused it`);
          pausedBy = i;
          for (const other of server.recorders) streamOf(other).pause();
        },
        onClose: (stream, error) => recorder.onClose(stream, error),
      };
    }
    for (const client of clients) streamOf(client).write(Buffer.from('x'));
    await world.until(() => pausedBy !== -1, 'one is told');
    await world.quiet();
    assert.deepEqual(late, []);
    for (const client of clients) streamOf(client).abort();
    await untilClosed(world, clients);
    for (const recorder of server.recorders) streamOf(recorder).close();
    await untilClosed(world, server.recorders);
  },

  async 'a deadline set before the connection stands counts from then'(world) {
    const server = new Server(world);
    const client = connect(world, server);
    streamOf(client).setDeadline(30);
    await untilClosed(world, [client]);
    assert.equal(client.opens, 1);
    assert.equal(client.timeouts, 1);
    await world.quiet();
    await untilClosed(world, server.recorders);
  },

  async 'writing nothing is done at once'(world) {
    const server = new Server(world);
    const client = connect(world, server);
    assert.equal(streamOf(client).write(Buffer.alloc(0)), true);
    await world.until(() => client.opens > 0, 'the connection stands');
    assert.equal(streamOf(client).write(Buffer.alloc(0)), true);
    streamOf(client).end();
    await untilClosed(world, [client]);
  },

  async 'closing between turns is final too'(world) {
    const server = new Server(world);
    const client = connect(world, server);
    await world.until(() => server.recorders.length > 0 && client.opens > 0, 'the connection stands');
    client.calling(() => {
      streamOf(client).close();
      assert.equal(client.closes, 0);
    });
    await untilClosed(world, [client, accepted(server)]);
  },

  async 'a stream may be closed before it is open'(world) {
    const server = new Server(world);
    const clients = [connect(world, server), connect(world, server)] as const;
    clients[0].calling(() => streamOf(clients[0]).close());
    clients[1].calling(() => {
      streamOf(clients[1]).write(Buffer.from('never sent'));
      streamOf(clients[1]).abort();
    });
    await untilClosed(world, clients);
    for (const { opens } of clients) assert.equal(opens, 0);
    await world.quiet();
    await untilClosed(world, server.recorders);
  },

  async 'one callback may close all other streams of its batch'(world) {
    const server = new Server(world, echo);
    const clients: Recorder[] = [];
    const closeAll = () => {
      for (const client of clients) streamOf(client).close();
    };
    for (let i = 0; i < 8; i++) {
      const client = connect(world, server, { onData: closeAll });
      streamOf(client).write(Buffer.from('hello'));
      clients.push(client);
    }
    await untilClosed(world, clients);
    assert.equal(clients.filter((client) => client.byteLength > 0).length, 1, 'only one of them got data');
    await world.quiet();
    await untilClosed(world, server.recorders);
  },

  async 'a connection made while another closes is not taken for it'(world) {
    // The kernel gives the lowest free number: the new connection gets the descriptor that was just closed.
    const server = new Server(world, echo);
    const { listener } = new Server(world);
    listener.close();
    await world.quiet();
    const later: Recorder[] = [];
    const again: Partial<StreamHandler> = {
      onData(stream) {
        stream.close();
        later.push(connect(world, { listener }));
      },
    };
    const clients = [0, 1, 2, 3].map(() => connect(world, server, again));
    for (const client of clients) streamOf(client).write(Buffer.from('x'));
    await untilClosed(world, clients);
    await untilClosed(world, later);
    assert.equal(later.length, 4);
    for (const recorder of later) {
      assert.equal(recorder.opens, 0);
      assert.equal(recorder.error?.code, 'ECONNREFUSED');
    }
  },

  async 'onClose may connect anew'(world) {
    const server = new Server(world, echo);
    const second: Recorder[] = [];
    const first = connect(world, server, {
      onOpen: (stream) => stream.close(),
      onClose: () => void second.push(connect(world, server, { onOpen: (stream) => stream.end() })),
    });
    await world.until(() => second[0]?.isClosed === true, 'the second connection ends');
    assertOrderly([first, ...second]);
    assert.equal(second[0]?.opens, 1);
  },

  async 'writing after end is a mistake of the program'(world) {
    const server = new Server(world);
    const client = connect(world, server);
    await world.until(() => client.opens > 0, 'the connection stands');
    streamOf(client).end();
    assert.throws(() => streamOf(client).write(Buffer.from('more')), /write after end/);
    await untilClosed(world, [client]);
  },

  async 'lengths that the bytes do not have, and deadlines that are no numbers, are mistakes of the program'(world) {
    const server = new Server(world);
    const client = connect(world, server);
    await world.until(() => client.opens > 0, 'the connection stands');
    for (const length of [-1, 6, 1.5, Number.NaN]) {
      assert.throws(() => streamOf(client).write(Buffer.from('hello'), length), RangeError);
    }
    assert.throws(() => streamOf(client).setDeadline(Number.NaN), RangeError);
    streamOf(client).write(Buffer.from('hello'), 4);
    streamOf(client).end();
    await untilClosed(world, [client]);
    await untilClosed(world, server.recorders);
    assert.equal(accepted(server).received.toString(), 'hell');
  },

  async 'a program that ignores backpressure ends at maxQueuedBytes, and not one byte before'(world) {
    const server = new Server(world, { onData: (stream) => stream.pause() });
    const client = connect(world, server);
    const stream = streamOf(client);
    stream.write(Buffer.alloc(world.maxQueuedBytes)); // before the connection stands everything is queued
    assert.equal(stream.queuedBytes, world.maxQueuedBytes);
    stream.write(Buffer.alloc(1));
    assert.equal(stream.queuedBytes, world.maxQueuedBytes + 1);
    assert.equal(stream.isEnded, false);
    assert.equal(stream.write(Buffer.alloc(1)), false);
    assert.equal(stream.isEnded, true);
    await untilClosed(world, [client]);
    assert.equal(client.error?.code, 'ENOBUFS');
    await world.quiet();
    await untilClosed(world, server.recorders);
  },

  async 'a deadline fires once, not early and at most a tick late'(world) {
    const server = new Server(world);
    const times: number[] = [];
    const client = connect(world, server, { onTimeout: () => void times.push(world.now()) });
    await world.until(() => client.opens > 0, 'the connection stands');
    const setAt = world.now();
    streamOf(client).setDeadline(50);
    await world.until(() => times.length > 0, 'the deadline fires');
    assert.ok((times[0] as number) - setAt >= 50, 'not early');
    await world.quiet();
    assert.equal(times.length, 1);
    assert.equal(client.isClosed, false);
    streamOf(client).end();
    await untilClosed(world, [client]);
  },

  async 'a deadline can be moved and taken back'(world) {
    const server = new Server(world);
    const [moved, taken, plain] = [0, 1, 2].map(() => connect(world, server)) as [Recorder, Recorder, Recorder];
    await world.until(() => [moved, taken, plain].every((client) => client.opens > 0), 'the connections stand');
    const setAt = world.now();
    assert.equal(streamOf(moved).deadlineAt, Number.POSITIVE_INFINITY);
    const activeAt = world.loop.activeNow();
    streamOf(moved).setDeadline(20);
    assert.ok(streamOf(moved).deadlineAt >= activeAt + 20);
    assert.ok(streamOf(moved).deadlineAt <= world.loop.activeNow() + 20);
    streamOf(moved).setDeadline(150);
    assert.ok(streamOf(moved).deadlineAt >= activeAt + 150);
    streamOf(taken).setDeadline(20);
    streamOf(taken).setDeadline(Number.POSITIVE_INFINITY);
    streamOf(plain).setDeadline(20);
    await world.until(() => moved.isClosed, 'the moved deadline fires');
    assert.ok(world.now() - setAt >= 150);
    assert.equal(plain.timeouts, 1);
    assert.equal(taken.timeouts, 0);
    assert.equal(moved.timeouts, 1);
    streamOf(taken).end();
    await untilClosed(world, [moved, taken, plain]);
  },

  async 'without onTimeout, a deadline closes the stream with ETIMEDOUT'(world) {
    const errors: (string | undefined)[] = [];
    const listener = world.loop.listen(world.anyAddress, (stream) => {
      stream.setDeadline(10);
      return { onData: () => {}, onClose: (_stream, error) => void errors.push(error?.code) };
    });
    const client = connect(world, { listener });
    await untilClosed(world, [client]);
    assert.deepEqual(errors, ['ETIMEDOUT']);
  },

  async 'a peer that takes none of the queued bytes ends the stream, even if it goes on sending'(world) {
    const server = new Server(world);
    const client = connect(world, server);
    await world.until(() => client.opens > 0 && server.recorders.length > 0, 'the connection stands');
    streamOf(client).pause();
    const writer = accepted(server);
    const setAt = world.now();
    streamOf(writer).minimumProgress = { everyMs: 200, bytes: 1 };
    while (!writer.isClosed) {
      await untilQueued(world, writer); // the kernel may have had a little more room
      const { byteLength } = writer;
      streamOf(client).write(Buffer.from('.'));
      await world.until(() => writer.isClosed || writer.byteLength > byteLength, 'it is heard, or the end');
      await pass(world, client, 20);
    }
    assert.ok(world.now() - setAt >= 200, 'not early');
    assert.equal(writer.error?.code, 'ETIMEDOUT');
    streamOf(client).resume();
    await untilClosed(world, [client, writer]);
    assert.ok(client.error !== null, 'the peer is told');
  },

  async 'a peer that takes a little now and then keeps the stream, until it stops'(world) {
    const server = new Server(world);
    const client = connect(world, server, { onData: (stream) => stream.pause(), endsAtBreak: true });
    await world.until(() => client.opens > 0 && server.recorders.length > 0, 'the connection stands');
    const writer = accepted(server);
    streamOf(writer).minimumProgress = { everyMs: 400, bytes: 1 };
    await untilQueued(world, writer);
    const startedAt = world.now();
    while (world.now() - startedAt < 1_000) {
      const { byteLength } = client;
      streamOf(client).resume();
      await world.until(() => writer.isClosed || client.byteLength > byteLength, 'a little arrives');
      assert.equal(writer.isClosed, false, `at ${world.now() - startedAt} ms`);
      await untilQueued(world, writer); // the writer has always more to say
      await pass(world, writer, 10);
    }
    await untilStuck(world, writer);
    assert.equal(writer.error?.code, 'ETIMEDOUT');
    streamOf(client).resume();
    await untilClosed(world, [client, writer]);
  },

  async 'bytes that were given away and taken back end the stream, and raise nothing'(world) {
    const server = new Server(world);
    const client = connect(world, server);
    await world.until(() => client.opens > 0 && server.recorders.length > 0, 'the connection stands');
    streamOf(client).pause();
    const writer = accepted(server);
    await untilQueued(world, writer);
    // lib.es2023 does not know them yet.
    const Resizable = ArrayBuffer as unknown as new (
      length: number,
      options: object,
    ) => ArrayBuffer & { resize(length: number): void };
    const memory = new Resizable(40_000, { maxByteLength: 40_000 });
    writer.calling(() => streamOf(writer).writeOwned(new Uint8Array(memory)));
    memory.resize(0);
    streamOf(client).resume();
    await world.until(() => writer.isClosed, 'the end');
    assert.equal(writer.error?.code, 'EFAULT');
    await untilClosed(world, [client, writer]);
    assert.deepEqual(world.raised, []);
    assert.ok(client.error !== null, 'the peer gets an error, because bytes are missing');
  },

  async 'a stream that has drained asks nothing of its peer'(world) {
    const server = new Server(world);
    const client = connect(world, server);
    await world.until(() => client.opens > 0 && server.recorders.length > 0, 'the connection stands');
    const writer = accepted(server);
    streamOf(client).pause();
    await untilQueued(world, writer);
    streamOf(client).resume();
    assert.equal(streamOf(writer).minimumProgress, null);
    streamOf(writer).minimumProgress = { everyMs: 200, bytes: 1 };
    await world.until(() => streamOf(writer).queuedBytes === 0, 'it drains');
    await pass(world, writer, 500);
    assert.equal(writer.isClosed, false);
    streamOf(client).pause();
    streamOf(writer).minimumProgress = null;
    await untilQueued(world, writer);
    await pass(world, writer, 500);
    assert.equal(writer.isClosed, false, 'nor does one without a minimum');
    streamOf(writer).minimumProgress = { everyMs: 50, bytes: 1_000_000 };
    await untilStuck(world, writer);
    assert.equal(writer.error?.code, 'ETIMEDOUT', 'and the minimum can be set again');
    streamOf(client).resume();
    await untilClosed(world, [client, writer]);
  },

  async 'bytes queued before the connection is established are watched from then on'(world) {
    const server = new Server(world, { onData: (stream) => stream.pause(), endsAtBreak: true });
    const client = connect(world, server);
    client.calling(() => {
      streamOf(client).minimumProgress = { everyMs: 100, bytes: 1 };
      streamOf(client).write(pattern(world.maxQueuedBytes));
      streamOf(client).write(pattern(world.maxQueuedBytes));
    });
    await world.until(() => client.isClosed, 'the end');
    assert.equal(client.opens, 1);
    assert.equal(client.error?.code, 'ETIMEDOUT');
    for (const recorder of server.recorders) streamOf(recorder).resume();
    await untilClosed(world, [client, ...server.recorders]);
  },

  async 'an exception in any callback ends its stream, is raised, and touches nothing else'(world) {
    const server = new Server(world, echo);
    const bystander = connect(world, server);
    const fail = (name: string) => () => {
      throw new Error(`thrown by ${name}`);
    };
    const clients = [
      connect(world, server, { onOpen: fail('onOpen') }),
      connect(world, server, { onOpen: (stream) => void stream.write(Buffer.from('x')), onData: fail('onData') }),
      connect(world, server, { onOpen: (stream) => stream.end(), onEnd: fail('onEnd') }),
      connect(world, server, { onOpen: (stream) => stream.setDeadline(1), onTimeout: fail('onTimeout') }),
      connect(world, server, { onOpen: (stream) => stream.close(), onClose: fail('onClose') }),
      connect(world, server, {
        onOpen: (stream) => void stream.write(pattern(world.maxQueuedBytes)),
        onDrain: fail('onDrain'),
      }),
    ];
    await untilClosed(world, clients);
    await world.until(() => world.raised.length === clients.length, 'all are raised');
    const messages = world.raised.splice(0).map((error) => (error as Error).message);
    const names = ['onClose', 'onData', 'onDrain', 'onEnd', 'onOpen', 'onTimeout'];
    assert.deepEqual(
      messages.sort(),
      names.map((name) => `thrown by ${name}`),
    );
    streamOf(bystander).write(Buffer.from('all is well'));
    await world.until(() => bystander.byteLength === 11, 'the bystander is served');
    streamOf(bystander).end();
    await untilClosed(world, [bystander, ...server.recorders]);
  },

  async 'an exception while a handler is chosen ends that connection only'(world) {
    let count = 0;
    const recorder = new Recorder(echo);
    const listener = world.loop.listen(world.anyAddress, () => {
      if (count++ === 0) throw new Error('no handler');
      return recorder;
    });
    const first = connect(world, { listener });
    await untilClosed(world, [first]);
    assert.deepEqual(
      world.raised.splice(0).map((error) => (error as Error).message),
      ['no handler'],
    );
    const second = connect(world, { listener }, { onOpen: (stream) => void stream.write(Buffer.from('hello')) });
    await world.until(() => second.byteLength === 5, 'the next is served');
    streamOf(second).end();
    await untilClosed(world, [second, recorder]);
  },

  async 'the handler can be replaced in mid-stream'(world) {
    const successor = new Recorder();
    const server = new Server(world, {
      onData(stream) {
        stream.handler = successor;
        stream.write(Buffer.from('upgraded'));
      },
    });
    const client = connect(world, server, {
      onOpen: (stream) => void stream.write(Buffer.from('old')),
      onData: (stream) => {
        if (stream.isEnded) return;
        stream.write(Buffer.from('new'));
        stream.end();
      },
    });
    await untilClosed(world, [client, successor]);
    assert.equal(accepted(server).received.toString() + successor.received.toString(), 'oldnew');
    assert.equal(accepted(server).closes, 0);
  },

  async 'both ends know each other’s address'(world) {
    const server = new Server(world, echo);
    const client = connect(world, server);
    await world.until(() => client.opens > 0 && server.recorders.length > 0, 'the connection stands');
    streamOf(client).write(Buffer.from('x'));
    await world.until(() => client.byteLength === 1, 'the echo comes');
    assert.deepEqual(streamOf(client).remoteAddress, server.listener.address);
    assert.deepEqual(streamOf(accepted(server)).localAddress, server.listener.address);
    const clientAddress = streamOf(client).localAddress;
    assert.deepEqual(streamOf(accepted(server)).remoteAddress, clientAddress);
    streamOf(client).abort();
    await untilClosed(world, [client, accepted(server)]);
    assert.deepEqual(streamOf(accepted(server)).remoteAddress, clientAddress, 'even when it is gone');
  },

  async 'a closed loop closes everything, once, and takes nothing more'(world) {
    const server = new Server(world, echo);
    const clients = [0, 1, 2].map(() => connect(world, server));
    await world.until(() => clients.every((client) => client.opens > 0), 'the connections stand');
    world.loop.close();
    world.loop.close();
    assert.equal(clients[0]?.closes, 0, 'not within the call');
    await untilClosed(world, [...clients, ...server.recorders]);
    assert.equal(world.loop.openCount, 0);
    assert.throws(() => world.loop.listen(world.anyAddress, () => new Recorder()), /closed/);
    assert.throws(() => connect(world, server), /closed/);
  },

  async 'a loop can be closed from within a callback'(world) {
    const server = new Server(world, { onData: () => world.loop.close() });
    const client = connect(world, server, { onOpen: (stream) => void stream.write(Buffer.from('stop')) });
    await untilClosed(world, [client]);
    await untilClosed(world, server.recorders);
  },

  async 'time goes by, and calls back once, not too early'(world) {
    const { loop } = world;
    const calls: string[] = [];
    const startedAt = loop.now();
    const startedAtWall = loop.wallNow();
    loop.after(5, () => calls.push('never')).cancel();
    loop.after(Number.POSITIVE_INFINITY, () => calls.push('never')).cancel();
    loop.after(30, () => calls.push('late'));
    loop.after(-1, () => calls.push('at once'));
    assert.throws(() => loop.after(Number.NaN, () => {}), RangeError);
    assert.deepEqual(calls, [], 'not within the call');
    await world.until(() => calls.length === 2, 'both ring');
    assert.deepEqual(calls.sort(), ['at once', 'late']); // after a stall of 30 ms both are due, in any order
    assert.ok(loop.now() - startedAt >= 30);
    assert.ok(Math.abs(loop.wallNow() - startedAtWall) < 3_600_000, 'the clock on the wall is one of milliseconds');
  },

  async 'datagrams arrive whole, with their sender'(world) {
    const seen: string[] = [];
    const server = world.loop.bindUdp(world.anyAddress, {
      onMessage(port, bytes, from) {
        seen.push(bytes.toString());
        port.send(Buffer.concat([Buffer.from('re: '), bytes]), from);
      },
    });
    const answers: string[] = [];
    const client = world.loop.bindUdp(world.anyAddress, {
      onMessage(_port, bytes, from) {
        assert.deepEqual(from, server.address);
        answers.push(bytes.toString());
      },
    });
    for (let i = 0; i < 5; i++) {
      const before = answers.length;
      for (let attempt = 0; answers.length === before; attempt++) {
        assert.ok(attempt < 50, 'a datagram gets through at last');
        client.send(Buffer.from(`message ${i}`), server.address);
        await world.quiet();
      }
    }
    assert.deepEqual(new Set(seen), new Set([0, 1, 2, 3, 4].map((i) => `message ${i}`)));
    assert.ok(answers.every((answer) => answer.startsWith('re: message ')));
    client.close();
    client.close();
    server.close();
    await world.quiet();
    assert.equal(world.loop.openCount, 0);
  },

  async 'a datagram that cannot be sent is reported, and ends nothing'(world) {
    const nowhere = world.anyAddress; // where port 0 lets the kernel choose, to a sender it is nobody's
    const errors: SystemError[] = [];
    let isInSend = false;
    const server = world.loop.bindUdp(world.anyAddress, {
      onMessage(port, bytes, from) {
        isInSend = true;
        assert.equal(port.send(bytes, nowhere), false);
        assert.equal(port.send(Buffer.alloc(65_536), from), false);
        isInSend = false;
        port.send(bytes, from);
      },
      onError(port, error) {
        assert.ok(!isInSend, 'not within the call');
        assert.equal(port, server);
        errors.push(error);
      },
    });
    let answers = 0;
    const client = world.loop.bindUdp(world.anyAddress, { onMessage: () => void answers++ });
    for (let attempt = 0; answers < 3 || errors.length < 3; attempt++) {
      assert.ok(attempt < 200, 'it sends and reports at last');
      client.send(Buffer.from('hello'), server.address);
      await world.quiet();
    }
    for (const { code, syscall, port } of errors) {
      assert.equal(syscall, 'sendto');
      assert.ok(code === 'EINVAL' ? port === 0 : code === 'EMSGSIZE' && port === portOf(client.address), code);
    }
    assert.throws(() => server.send(Buffer.from('x'), { address: 'nowhere', port: 1 }), RangeError);
    server.close();
    assert.equal(server.send(Buffer.from('x'), nowhere), false, 'closed');
    const told = errors.length;
    await world.quiet();
    assert.equal(errors.length, told, 'it hears no more');
    client.close();
  },

  async 'onTurn comes once for each awaitTurn, outside of the call, and without onDrain'(world) {
    const bytes = pattern(100_000);
    const server = new Server(world, {
      onData(stream) {
        stream.awaitTurn();
        stream.awaitTurn();
      },
      onTurn(stream) {
        if (accepted(server).turns === 1) stream.write(bytes);
      },
    });
    const client = connect(world, server, { onOpen: (stream) => void stream.write(Buffer.from('x')) });
    await world.until(() => client.byteLength === bytes.length, 'all has come that the turn has written');
    assert.ok(client.received.equals(bytes));
    await world.quiet();
    const { drains } = accepted(server);
    client.calling(() => streamOf(client).write(Buffer.from('x')));
    await world.until(() => accepted(server).turns === 2, 'another one');
    await world.quiet();
    assert.equal(accepted(server).turns, 2);
    assert.equal(accepted(server).drains, drains);
    client.calling(() => streamOf(client).end());
    await untilClosed(world, [client, ...server.recorders]);
  },

  async 'a stream that asks for one turn after the other does not delay others, and gets none when it is closed'(
    world,
  ) {
    let greedy: Stream | null = null;
    const server = new Server(world, {
      onData(stream, bytes) {
        if (bytes.toString() === 'g') {
          greedy = stream;
          stream.awaitTurn();
        } else {
          stream.write(bytes);
        }
      },
      onTurn: (stream) => stream.awaitTurn(),
    });
    const client = connect(world, server, { onOpen: (stream) => void stream.write(Buffer.from('g')) });
    await world.until(() => greedy !== null, 'it has begun');
    const polite = connect(world, server, { onOpen: (stream) => void stream.write(Buffer.from('p')) });
    await world.until(() => polite.byteLength === 1, 'the other one is answered');
    assert.ok(accepted(server).turns > 0);
    const stream = greedy as Stream | null;
    stream?.close();
    stream?.awaitTurn();
    polite.calling(() => streamOf(polite).end());
    await untilClosed(world, [client, polite, ...server.recorders]);
  },

  async 'parts of files leave in order, between what is written'(world) {
    const content = pattern(300_000);
    const file = world.openFile(content);
    const server = new Server(world);
    const client = connect(world, server);
    const { fd } = file;
    await world.until(() => client.opens > 0, 'the connection stands');
    const stream = streamOf(client);
    client.calling(() => {
      stream.write(Buffer.from('head'), 4, true);
      stream.sendFile(fd, 0, 10);
      stream.write(Buffer.from('between'));
      stream.sendFile(fd, 1_000, 200_000);
      stream.sendFile(fd, 5, 0);
      stream.write(Buffer.from('after'));
      stream.sendFile(fd, 299_990, 10);
      stream.end();
    });
    await untilClosed(world, [client, ...server.recorders]);
    file.close();
    assert.equal(client.error, null);
    const parts = [
      'head',
      content.subarray(0, 10),
      'between',
      content.subarray(1_000, 201_000),
      'after',
      content.subarray(299_990),
    ];
    assert.ok(accepted(server).received.equals(Buffer.concat(parts.map((part) => Buffer.from(part)))));
  },

  async 'a part of a file that is sent before the connection stands'(world) {
    const content = pattern(100_000);
    const file = world.openFile(content);
    const server = new Server(world);
    const client = connect(world, server);
    client.calling(() => {
      assert.equal(streamOf(client).sendFile(file.fd, 0, content.length), false);
      assert.equal(streamOf(client).queuedBytes, content.length);
      streamOf(client).end();
    });
    await untilClosed(world, [client]);
    await untilClosed(world, server.recorders);
    file.close();
    assert.ok(accepted(server).received.equals(content));
  },

  async 'a file waits for a peer that does not read, without limit of its size, and onDrain follows'(world) {
    const content = pattern(world.maxQueuedBytes * 12);
    const file = world.openFile(content);
    const server = new Server(world);
    const client = connect(world, server);
    await world.until(() => server.recorders.length > 0 && client.opens > 0, 'the connection stands');
    streamOf(accepted(server)).pause();
    await world.quiet();
    const stream = streamOf(client);
    client.calling(() => {
      while (stream.queuedBytes <= world.maxQueuedBytes * 2) stream.sendFile(file.fd, 0, content.length);
    });
    await world.quiet();
    assert.ok(stream.queuedBytes > world.maxQueuedBytes, 'more is queued than may be in memory');
    client.calling(() => stream.write(Buffer.from('.')));
    assert.equal(client.isClosed, false);
    const { drains } = client;
    accepted(server).calling(() => streamOf(accepted(server)).resume());
    await world.until(() => client.drains > drains, 'it drains');
    assert.equal(stream.queuedBytes, 0);
    file.close(); // the stream does not use it any more
    client.calling(() => stream.end());
    await untilClosed(world, [client, ...server.recorders]);
    const { received } = accepted(server);
    assert.equal(received.length % content.length, 1);
    for (let at = 0; at + content.length <= received.length; at += content.length) {
      assert.ok(received.subarray(at, at + content.length).equals(content));
    }
  },

  async 'what is written behind a file counts against maxQueuedBytes'(world) {
    const file = world.openFile(pattern(1_000_000));
    const server = new Server(world);
    const client = connect(world, server);
    await world.until(() => server.recorders.length > 0 && client.opens > 0, 'the connection stands');
    streamOf(accepted(server)).pause();
    await world.quiet();
    const stream = streamOf(client);
    client.calling(() => {
      stream.sendFile(file.fd, 0, 1_000_000);
      stream.write(pattern(world.maxQueuedBytes));
      stream.write(pattern(1));
      assert.equal(stream.isEnded, false);
      stream.write(pattern(1));
      assert.equal(stream.isEnded, true);
    });
    await world.until(() => client.isClosed, 'it ends');
    assert.equal(client.error?.code, 'ENOBUFS');
    file.close();
    accepted(server).calling(() => streamOf(accepted(server)).resume());
    await untilClosed(world, [client, ...server.recorders]);
  },

  async 'a file that is shorter than it was said to be breaks the connection'(world) {
    const content = pattern(400_000);
    const file = world.openFile(content);
    const server = new Server(world);
    const client = connect(world, server);
    await world.until(() => server.recorders.length > 0 && client.opens > 0, 'the connection stands');
    streamOf(accepted(server)).pause();
    await world.quiet();
    client.calling(() => {
      streamOf(client).sendFile(file.fd, 0, content.length);
      streamOf(client).write(Buffer.from('never sent'));
    });
    await world.quiet();
    file.truncate(1_000);
    accepted(server).calling(() => streamOf(accepted(server)).resume());
    await untilClosed(world, [client, ...server.recorders]);
    file.close();
    assert.equal(client.error?.syscall, 'sendfile');
    assert.equal(client.error?.code, 'ENODATA');
    const { byteLength, ends } = accepted(server);
    assert.equal(ends, 0, 'no end that looks like one');
    // Not its bytes: sendfile(2) lends pages to the socket, and truncating a file clears the rest of its last page.
    assert.ok(byteLength < content.length);
  },

  async 'a file without a byte at the offset'(world) {
    const file = world.openFile(pattern(10));
    const server = new Server(world);
    const client = connect(world, server);
    await world.until(() => client.opens > 0 && server.recorders.length > 0, 'the connection stands');
    client.calling(() => streamOf(client).sendFile(file.fd, 10, 1));
    await untilClosed(world, [client, ...server.recorders]);
    file.close();
    assert.equal(client.error?.code, 'ENODATA');
  },

  async 'a stream that is closed or aborted while it sends a file sends no more of it'(world) {
    const content = pattern(1_000_000);
    const file = world.openFile(content);
    const server = new Server(world);
    const clients = [connect(world, server), connect(world, server)] as const;
    await world.until(() => server.recorders.length === 2 && clients.every(({ opens }) => opens > 0), 'both stand');
    for (const recorder of server.recorders) streamOf(recorder).pause();
    await world.quiet();
    for (const client of clients) client.calling(() => streamOf(client).sendFile(file.fd, 0, content.length));
    await world.quiet();
    clients[0].calling(() => streamOf(clients[0]).close());
    clients[1].calling(() => streamOf(clients[1]).abort());
    await untilClosed(world, clients);
    file.close(); // after onClose no stream uses it
    for (const recorder of server.recorders) recorder.calling(() => streamOf(recorder).resume());
    await untilClosed(world, server.recorders);
    for (const { byteLength } of server.recorders) assert.ok(byteLength < content.length);
    for (const { error } of clients) assert.equal(error, null);
  },

  async 'sendFile refuses what is no part of a file, and does nothing after the end'(world) {
    const server = new Server(world);
    const client = connect(world, server);
    await world.until(() => client.opens > 0, 'the connection stands');
    const stream = streamOf(client);
    client.calling(() => {
      for (const fd of [-1, 1.5, Number.NaN, '3' as unknown as number]) {
        assert.throws(() => stream.sendFile(fd, 0, 1), TypeError);
      }
      for (const number of [-1, 1.5, Number.NaN, 2 ** 53]) {
        assert.throws(() => stream.sendFile(0, number, 1), RangeError);
        assert.throws(() => stream.sendFile(0, 0, number), RangeError);
      }
      assert.equal(stream.sendFile(0, 0, 0), true);
      stream.end();
      assert.throws(() => stream.sendFile(0, 0, 1), /after end/);
      stream.close();
      assert.equal(stream.sendFile(0, 0, 1), false);
    });
    await untilClosed(world, [client, ...server.recorders]);
  },
};
