/** TcpConnection, with a peer that is played segment by segment: options, windows, timers, and what the owner calls. */

import t from 'tap';
import {
  ECONNREFUSED,
  ECONNRESET,
  EFAULT,
  EHOSTUNREACH,
  ENETUNREACH,
  ENOBUFS,
  ETIMEDOUT,
} from '../../../../simplenet/kernel/abi.ts';
import { noOptions } from '../../../../simplenet/tcpip/tcp/segment.ts';
import { FixedWindow } from './fixed-window.ts';
import { Machine, type MachineOptions, machineIn, type Peer } from './machine.ts';

const timestamps = { mss: 1000, timestampValue: 500, timestampEcho: 0 };
const everything = { ...timestamps, windowScale: 3, sackPermitted: true };

/** A machine with timestamps. The peer's clock begins at 500. */
function withTimestamps(state: string, more: MachineOptions = {}): Machine {
  return machineIn(state, { ...more, options: everything });
}

function stamped(machine: Machine, value: number, echo = machine.now): Peer {
  return { options: { timestampValue: value, timestampEcho: echo } };
}

t.test('options', async (t) => {
  t.test('our SYN offers all that we know', async (t) => {
    const machine = new Machine(true, { setup: { receiveBufferBytes: 1_000_000 } });
    machine.connection.open(machine.now);
    machine.flush();
    const [syn] = machine.outgoing;
    t.same(syn?.options, {
      mss: 1000,
      windowScale: 4,
      sackPermitted: true,
      timestampValue: machine.now,
      timestampEcho: 0,
      sackBlocks: [],
    });
    t.equal(syn?.window, 65_535);
  });

  t.test('our SYN, ACK answers what was offered, and only that', async (t) => {
    for (const options of [
      { mss: 700 },
      { mss: 700, windowScale: 2 },
      { sackPermitted: true },
      timestamps,
      everything,
    ]) {
      const machine = machineIn('LISTEN');
      machine.receive('S', { options }).flush();
      const [reply] = machine.outgoing;
      const offered = { ...noOptions, ...options };
      t.equal(reply?.options.mss, 1000);
      t.equal(reply?.options.windowScale, offered.windowScale === null ? null : 0);
      t.equal(reply?.options.sackPermitted, offered.sackPermitted);
      t.equal(reply?.options.timestampValue, offered.timestampValue < 0 ? -1 : machine.now);
      t.equal(reply?.options.timestampEcho, offered.timestampValue);
    }
  });

  t.test('a segment is no larger than the peer takes, options included', async (t) => {
    const sizes = (options: object): (number | undefined)[] => {
      const machine = machineIn('ESTABLISHED', { options });
      machine.write(Buffer.alloc(3_000)).flush();
      return machine.outgoing.slice(0, 1).map(({ start, end }) => end - start);
    };
    t.same(sizes({ mss: 700 }), [700]);
    t.same(sizes({ mss: 5_000 }), [1000], 'nor larger than our own way carries');
    t.same(sizes({}), [536], 'without the option');
    t.same(sizes({ mss: 1 }), [88], 'a tiny one is not believed');
    t.same(sizes({ ...timestamps, mss: 700 }), [688]);
  });

  t.test('the window of the peer is scaled, but not in its SYN', async (t) => {
    const machine = new Machine(true);
    machine.connection.open(machine.now);
    machine.sent();
    machine.receive('SA', { ack: 1, window: 1_000, options: { mss: 1000, windowScale: 3 } });
    machine.write(Buffer.alloc(9_000));
    t.same(machine.sent(), ['A 1 ack 1 +1000']);
    machine.receive('A', { seq: 1, ack: 1001, window: 500 });
    t.equal(machine.sent().length, 4, '500 << 3');
  });

  t.test('timestamps: what lacks them is dropped, and a reset may', async (t) => {
    const machine = withTimestamps('ESTABLISHED');
    t.same(machine.receive('A', { seq: 1, ack: 1, text: 'x' }).sent(), []);
    t.equal(machine.read(), '');
    machine.receive('R', { seq: 1 });
    t.equal(machine.state, 'CLOSED');
  });

  t.test('PAWS: what is older than something that came before gets an ACK', async (t) => {
    const machine = withTimestamps('ESTABLISHED');
    machine.receive('A', { seq: 1, ack: 1, text: 'new', ...stamped(machine, 600) });
    t.same(machine.sent(), ['A 1 ack 4']);
    machine.receive('A', { seq: 4, ack: 1, text: 'old', ...stamped(machine, 599) });
    t.same(machine.sent(), ['A 1 ack 4']);
    t.equal(machine.read(), 'new');
    machine.now += 25 * 24 * 3_600_000;
    machine.receive('A', { seq: 4, ack: 1, text: 'later', ...stamped(machine, 599) });
    t.equal(machine.read(), 'later', 'after 24 days the old timestamp says nothing');
  });

  t.test('the timestamp of a segment behind a gap is not echoed', async (t) => {
    const machine = withTimestamps('ESTABLISHED');
    machine.receive('A', { seq: 10, ack: 1, text: 'b', ...stamped(machine, 700) }).flush();
    t.equal(machine.outgoing[0]?.options.timestampEcho, 500);
    machine.receive('A', { seq: 1, ack: 1, text: '123456789', ...stamped(machine, 710) }).flush();
    t.equal(machine.outgoing[1]?.options.timestampEcho, 710);
  });

  t.test('SACK: what lies behind a gap, and what came twice', async (t) => {
    const machine = withTimestamps('ESTABLISHED');
    const blocks = (): number[] | undefined =>
      machine.outgoing.at(-1)?.options.sackBlocks.map((edge) => (edge - (2 ** 32 - 50)) | 0);
    machine.receive('A', { seq: 10, ack: 1, text: '0123456789', ...stamped(machine, 501) });
    t.equal(machine.connection.mustAcknowledgeNow, true);
    machine.flush();
    t.same(blocks(), [10, 20]);
    machine.receive('A', { seq: 12, ack: 1, text: '23', ...stamped(machine, 501) }).flush();
    t.same(blocks(), [12, 14, 10, 20], 'the duplicate first, once');
    machine.receive('A', { seq: 30, ack: 1, text: 'x', ...stamped(machine, 501) }).flush();
    t.same(blocks(), [30, 31, 10, 20]);
    machine.receive('A', { seq: 1, ack: 1, text: '123456789', ...stamped(machine, 501) }).flush();
    t.same(blocks(), [30, 31]);
    machine.receive('A', { seq: 1, ack: 1, text: '123456789', ...stamped(machine, 501) }).flush();
    t.same(blocks(), [1, 10, 30, 31], 'text from before the window as well');
  });

  t.test('a SACK block of a segment with FIN ends behind FIN', async (t) => {
    const machine = withTimestamps('ESTABLISHED');
    const blocks = () => machine.outgoing.at(-1)?.options.sackBlocks.map((edge) => (edge - (2 ** 32 - 50)) | 0);
    machine.receive('FA', { seq: 10, ack: 1, text: '0123456789', ...stamped(machine, 501) }).flush();
    t.same(blocks(), [10, 21]);
    machine.receive('A', { seq: 5, ack: 1, text: '56', ...stamped(machine, 501) }).flush();
    t.same(blocks(), [5, 7, 10, 21]);
  });

  t.test('SACK blocks take room from the segments that carry them', async (t) => {
    const machine = withTimestamps('ESTABLISHED');
    machine.receive('A', { seq: 10, ack: 1, text: 'x', ...stamped(machine, 501) });
    machine.write(Buffer.alloc(2_000)).flush();
    const lengths = machine.outgoing.map(({ start, end }) => end - start);
    t.same(lengths.slice(0, 2), [976, 976], '1000 - timestamps 12 - SACK 12');
  });
});

t.test('text', async (t) => {
  t.test('is readable in the frame, and kept when the frame is used again', async (t) => {
    const machine = machineIn('ESTABLISHED');
    const frame = Buffer.from('hello');
    machine.receive('A', { seq: 1, ack: 1, text: frame });
    t.equal(machine.connection.readableBytes, 5);
    machine.connection.consume(2);
    machine.connection.keepInput();
    t.equal(machine.read(), 'llo');
    machine.receive('A', { seq: 6, ack: 1, text: 'a' }).receive('A', { seq: 7, ack: 1, text: 'b' });
    t.equal(machine.read(), 'ab', 'the next segment keeps it as well');
  });

  t.test('behind the FIN of the peer does not exist', async (t) => {
    const machine = machineIn('ESTABLISHED');
    machine.receive('FA', { seq: 4, ack: 1, text: 'def' });
    t.equal(machine.state, 'ESTABLISHED', 'FIN behind a gap');
    t.equal(machine.sent().length, 1, 'is answered at once');
    machine.receive('A', { seq: 1, ack: 1, text: 'abcdefghi' });
    t.equal(machine.state, 'CLOSE_WAIT');
    t.equal(machine.connection.isPeerEnded, false);
    t.equal(machine.read(), 'abcdef');
    t.equal(machine.connection.isPeerEnded, true);
    t.same(machine.sent(), ['A 1 ack 8']);
    machine.receive('FA', { seq: 9, ack: 1, text: 'x' });
    t.same(machine.read(), '');
  });

  t.test('in a closed window is not taken, but its ACK is', async (t) => {
    const machine = machineIn('ESTABLISHED', { setup: { receiveBufferBytes: 10 } });
    machine.write('abc').flush();
    machine.receive('A', { seq: 1, ack: 1, text: '0123456789' });
    machine.sent();
    machine.receive('A', { seq: 11, ack: 4, text: 'x' });
    t.same(machine.sent(), ['A 4 ack 11']);
    t.equal(machine.connection.unacknowledgedBytes, 0);
    t.equal(machine.connection.readableBytes, 10);
  });

  t.test('after the program has gone gets a reset', async (t) => {
    const machine = machineIn('ESTABLISHED');
    machine.connection.refuseInput(machine.now);
    machine.connection.refuseInput(machine.now);
    machine.connection.close(machine.now);
    t.same(machine.sent(), ['FA 1 ack 1']);
    machine.receive('A', { seq: 1, ack: 1, text: 'x' });
    t.same([machine.state, machine.connection.error, machine.sent()], ['CLOSED', ECONNRESET, ['RA 2 ack 1']]);
  });

  t.test('that lies unread when the program goes makes it a reset as well', async (t) => {
    const machine = machineIn('ESTABLISHED');
    machine.receive('A', { seq: 1, ack: 1, text: 'x' });
    machine.connection.refuseInput(machine.now);
    t.same([machine.state, machine.connection.error, machine.sent()], ['CLOSED', 0, ['RA 1 ack 2']]);
    t.equal(machine.connection.readable, null);
  });

  t.test('stays readable after the connection has ended', async (t) => {
    const machine = machineIn('ESTABLISHED');
    machine.receive('A', { seq: 1, ack: 1, text: 'last' }).receive('R', { seq: 5 });
    t.equal(machine.connection.isClosed, true);
    t.equal(machine.connection.deadlineAt, Number.POSITIVE_INFINITY);
    t.equal(machine.read(), 'last');
  });
});

t.test('the window that we offer', async (t) => {
  const windowOf = (machine: Machine): number | undefined => machine.outgoing.at(-1)?.window;

  t.test('never shrinks, and opens in large steps', async (t) => {
    const machine = machineIn('ESTABLISHED', { setup: { receiveBufferBytes: 4_000 } });
    machine.receive('A', { seq: 1, ack: 1, text: Buffer.alloc(1000) }).flush();
    t.equal(windowOf(machine), 3_000);
    machine.receive('A', { seq: 1001, ack: 1, text: Buffer.alloc(3000) }).flush();
    t.equal(windowOf(machine), 0);
    machine.connection.keepInput();
    machine.connection.consume(900);
    t.equal(machine.connection.hasOutput, false, 'a small step is not worth a segment');
    machine.connection.consume(100);
    machine.receive('A', { seq: 4000, ack: 1 }).flush();
    t.equal(windowOf(machine), 1000, 'an ACK that is due anyway tells it');
    machine.sent();
    machine.connection.consume(1999);
    t.equal(machine.connection.hasOutput, false);
    machine.connection.consume(1);
    t.same(machine.sent(), ['A 1 ack 4001'], 'two segments are worth one');
  });

  t.test('is rounded up where rounding down would shrink it', async (t) => {
    const machine = withTimestamps('ESTABLISHED', { setup: { receiveBufferBytes: 66_000 } });
    machine.receive('A', { seq: 1, ack: 1, text: 'xy', ...stamped(machine, 501) }).flush();
    t.equal(windowOf(machine), 32_767, 'the SYN, ACK has offered 65,535 bytes; two less are 32,766.5 << 1');
  });

  t.test('is not announced to a peer that has ended', async (t) => {
    const machine = machineIn('ESTABLISHED');
    machine.receive('FA', { seq: 1, ack: 1, text: Buffer.alloc(7_000) });
    machine.sent();
    machine.read();
    t.same(machine.sent(), []);
  });
});

t.test('ACKs', async (t) => {
  t.test('wait, after the first sixteen, for a second segment or 40 ms', async (t) => {
    const machine = machineIn('ESTABLISHED');
    let seq = 1;
    const receive = (length: number): string[] => {
      machine.receive('A', { seq, ack: 1, text: Buffer.alloc(length) });
      seq += length;
      machine.read();
      return machine.sent();
    };
    for (let i = 0; i < 16; i++) t.equal(receive(10).length, 1, `quick ACK ${i}`);
    t.same(receive(10), []);
    machine.pass(39);
    t.same(machine.sent(), []);
    machine.pass(1);
    t.same(machine.sent(), ['A 1 ack 171']);
    t.same(receive(1000), []);
    t.same(receive(1000), ['A 1 ack 2171']);
    t.same(receive(1000), []);
    machine.write('reply');
    t.same(machine.sent(), ['PA 1 ack 3171 +5'], 'a segment carries it');
    machine.pass(100);
    t.equal(machine.sent().length, 0);
  });

  t.test('do not wait for the end of a turn that receives many', async (t) => {
    const machine = machineIn('ESTABLISHED', { setup: { receiveBufferBytes: 60_000 } });
    for (let i = 0; i < 9; i++) machine.receive('A', { seq: 1 + 1000 * i, ack: 1, text: Buffer.alloc(1000) });
    t.equal(machine.connection.mustAcknowledgeNow, false);
    machine.receive('A', { seq: 9001, ack: 1, text: Buffer.alloc(1000) });
    t.equal(machine.connection.mustAcknowledgeNow, true);
    machine.connection.abort();
    t.equal(machine.connection.mustAcknowledgeNow, false);
  });
});

t.test('sending', async (t) => {
  t.test('Nagle: a small segment waits while another is unacknowledged', async (t) => {
    const machine = machineIn('ESTABLISHED');
    t.same(machine.write('a').sent(), ['PA 1 ack 1 +1']);
    t.same(machine.write('b').sent(), []);
    t.same(machine.write(Buffer.alloc(999)).sent(), ['PA 2 ack 1 +1000'], 'a full one does not wait');
    t.same(machine.write('c').sent(), []);
    machine.receive('A', { seq: 1, ack: 2 });
    t.same(machine.sent(), ['PA 1002 ack 1 +1'], 'Minshall: the full one may be in flight');
  });

  t.test('noDelay sends it at once, and so does FIN', async (t) => {
    const machine = machineIn('ESTABLISHED');
    t.equal(machine.connection.noDelay, false);
    machine.connection.noDelay = true;
    machine.write('a').sent();
    t.same(machine.write('b').sent(), ['PA 2 ack 1 +1']);
    machine.connection.noDelay = false;
    t.same(machine.write('c').sent(), []);
    machine.connection.close(machine.now);
    machine.connection.close(machine.now);
    t.same(machine.sent(), ['FPA 3 ack 1 +1']);
  });

  t.test('the window cuts, and a silly cut waits for the persist timer', async (t) => {
    const machine = machineIn('ESTABLISHED');
    machine.receive('A', { seq: 1, ack: 1, window: 600 });
    machine.write(Buffer.alloc(2_000));
    t.same(machine.sent(), [], '600 bytes are less than half of the largest window, 10,000');
    machine.pass(machine.connection.deadlineAt - machine.now);
    t.same(machine.sent(), ['A 1 ack 1 +600']);
    machine.receive('A', { seq: 1, ack: 601, window: 5_000 });
    t.same(machine.sent(), ['A 601 ack 1 +1000', 'PA 1601 ack 1 +400']);
  });

  t.test('a closed window is probed with longer and longer pauses, as long as the peer answers', async (t) => {
    const machine = machineIn('ESTABLISHED', { limits: { unansweredMs: 200_000 } });
    machine.receive('A', { seq: 1, ack: 1, window: 0 });
    machine.write('abc');
    t.same(machine.sent(), []);
    const at: number[] = [];
    for (let i = 0; i < 14; i++) {
      machine.pass(machine.connection.deadlineAt - machine.now);
      at.push(machine.now - 1_000);
      t.same(machine.sent(), ['A 0 ack 1'], 'the number before the first that is not acknowledged');
      machine.receive('A', { seq: 1, ack: 1, window: 0 });
    }
    const pauses = at.map((moment, i) => moment - (at[i - 1] ?? 0));
    t.same(pauses.slice(0, 4), [
      pauses[0],
      2 * (pauses[0] as number),
      4 * (pauses[0] as number),
      8 * (pauses[0] as number),
    ]);
    t.equal(pauses.at(-1), 60_000);
    machine.receive('A', { seq: 1, ack: 1, window: 100 });
    t.same(machine.sent(), ['PA 1 ack 1 +3']);
  });

  t.test('a FIN waits for the window, too', async (t) => {
    const machine = machineIn('ESTABLISHED');
    machine.receive('A', { seq: 1, ack: 1, window: 3 });
    machine.write('abc');
    machine.connection.close(machine.now);
    t.same(machine.sent(), ['PA 1 ack 1 +3']);
    machine.receive('A', { seq: 1, ack: 4, window: 3 });
    t.same(machine.sent(), ['FA 4 ack 1']);
    t.equal(machine.connection.hasUnacknowledged, true);
    machine.receive('A', { seq: 1, ack: 5 });
    t.same([machine.connection.isFinAcknowledged, machine.connection.hasUnacknowledged], [true, false]);
  });

  t.test('a window of an older segment is not believed', async (t) => {
    const machine = machineIn('ESTABLISHED');
    machine.receive('A', { seq: 5, ack: 1, window: 20 });
    machine.receive('A', { seq: 1, ack: 1, window: 9_000, text: '1234' });
    machine.sent();
    machine.write('x'.repeat(30));
    t.same(machine.sent(), []);
  });

  t.test('the queue beyond the send buffer can be dropped', async (t) => {
    const machine = machineIn('ESTABLISHED', { setup: { sendBufferBytes: 100 } });
    machine.write(Buffer.alloc(250));
    t.equal(machine.connection.queuedBytes, 150);
    t.equal(machine.connection.unsentBytes, 250);
    machine.connection.truncateQueue();
    t.equal(machine.connection.queuedBytes, 0);
    machine.sent();
    machine.connection.write(Buffer.alloc(2_000), 0, 2_000, true);
    machine.connection.noDelay = true;
    machine.sent();
    machine.connection.truncateQueue();
    t.equal(machine.connection.unacknowledgedBytes, 2_100, 'what was sent stays');
  });

  t.test('the congestion window limits, and is told whether it did', async (t) => {
    const congestion = new FixedWindow(1000, 2_000);
    const machine = machineIn('ESTABLISHED', { congestion: () => congestion });
    machine.write(Buffer.alloc(2_500));
    t.equal(machine.sent().length, 2);
    machine.receive('A', { seq: 1, ack: 1001 });
    t.equal(congestion.lastAck?.isLimitedByWindow, true);
    t.equal(machine.sent().length, 1);
    machine.receive('A', { seq: 1, ack: 2501 });
    machine.write('x').sent();
    machine.receive('A', { seq: 1, ack: 2502 });
    t.equal(congestion.lastAck?.isLimitedByWindow, false);
    machine.pass(10_000);
    machine.write('y').sent();
    t.ok(congestion.calls.includes('idle 10000'), congestion.calls.join());
  });

  t.test('so many segments may be in flight, and a probe then sends the last one again', async (t) => {
    const options = { mss: 100, windowScale: 10, sackPermitted: true, timestampValue: 1, timestampEcho: 0 };
    const machine = machineIn('SYN_SENT', { congestion: (bytes) => new FixedWindow(bytes, 10_000_000) });
    machine.pass(10);
    machine.receive('SA', { ack: 1, options });
    machine.write(Buffer.alloc(88 * 16_384 + 1));
    machine.receive('A', { seq: 1, ack: 1, options: { timestampValue: 2, timestampEcho: machine.now } });
    t.equal(machine.sent().filter((text) => text.endsWith('+88')).length, 16_384);
    t.equal(machine.connection.unsentBytes, 1);
    machine.pass(machine.connection.deadlineAt - machine.now);
    t.same(machine.sent(), [`A ${1 + 88 * 16_383} ack 1 +88`]);
  });

  t.test('a frame for which the link has no room is tried again', async (t) => {
    const machine = machineIn('ESTABLISHED');
    machine.result = -ENOBUFS;
    machine.write('abc').flush();
    t.same(machine.connection.unsentBytes, 3);
    machine.result = 0;
    machine.pass(5);
    t.same(machine.sent(), ['PA 1 ack 1 +3']);
    machine.result = -ENOBUFS;
    machine.receive('A', { seq: 5, ack: 4, text: 'gap' }).flush();
    t.equal(machine.connection.hasOutput, true, 'an ACK stays due');
  });

  t.test('so is the SYN, a lost segment and a tail loss probe', async (t) => {
    const machine = new Machine(true);
    machine.connection.open(machine.now);
    machine.result = -ENOBUFS;
    machine.flush();
    machine.result = 0;
    machine.pass(5);
    t.same(machine.sent(), ['S 0']);
    machine.result = -ENOBUFS;
    machine.pass(1_001);
    machine.result = 0;
    machine.pass(10);
    t.same(machine.sent(), ['S 0'], 'the SYN again');
    machine.receive('SA', { ack: 1, options: everything });
    machine.write('abc').sent();
    machine.result = -ENOBUFS;
    machine.pass(machine.connection.deadlineAt - machine.now);
    machine.result = 0;
    t.equal(machine.pass(10).sent().length, 1);
  });

  t.test('another error is that of a segment lost on its way', async (t) => {
    const machine = machineIn('ESTABLISHED', { limits: { unansweredMs: 5_000 } });
    machine.result = -ENETUNREACH;
    machine.write('abc').flush();
    t.equal(machine.connection.unsentBytes, 0);
    machine.pass(5_000);
    t.same([machine.state, machine.connection.error], ['CLOSED', ENETUNREACH]);
  });

  t.test('our own machine says at once that a peer cannot be reached', async (t) => {
    const machine = new Machine(true);
    machine.connection.open(machine.now);
    machine.result = -EHOSTUNREACH;
    machine.flush();
    t.same([machine.state, machine.connection.error], ['CLOSED', EHOSTUNREACH]);
    t.equal(machine.connection.hasOutput, false);
  });

  t.test('memory that the program has taken back ends the connection', async (t) => {
    const machine = machineIn('ESTABLISHED');
    const memory = new ArrayBuffer(4_096);
    machine.connection.write(Buffer.from(memory), 0, 4_096, true);
    structuredClone(memory, { transfer: [memory] });
    t.same(machine.sent(), ['RA 1 ack 1']);
    t.same([machine.state, machine.connection.error], ['CLOSED', EFAULT]);
  });
});

t.test('time', async (t) => {
  t.test('a handshake that gets no answer ends, for either side', async (t) => {
    for (const [state, limits] of [
      ['SYN_SENT', { connectMs: 7_000 }],
      ['SYN_RECEIVED', { acceptMs: 7_000 }],
    ] as const) {
      const machine = machineIn(state, { limits });
      machine.pass(6_999);
      t.equal(machine.state, state);
      t.equal(machine.sent().length, 2, 'after 1 and 3 seconds');
      machine.pass(1);
      t.same([machine.state, machine.connection.error], ['CLOSED', ETIMEDOUT]);
    }
  });

  t.test('a SYN that was lost makes the first timeout of data three seconds', async (t) => {
    const machine = machineIn('SYN_SENT');
    machine.pass(1_500);
    machine.receive('SA', { ack: 1, options: { mss: 1000 } });
    machine.write('x').sent();
    machine.pass(2_999);
    t.same(machine.sent(), []);
    machine.pass(1);
    t.same(machine.sent(), ['PA 1 ack 1 +1']);
  });

  t.test('what is not acknowledged is sent again with longer and longer pauses, until the limit', async (t) => {
    const congestion = new FixedWindow(1000);
    const machine = machineIn('ESTABLISHED', { congestion: () => congestion });
    machine.write('abc').sent();
    machine.pass(119_999);
    t.equal(machine.state, 'ESTABLISHED');
    const sent = machine.sent();
    t.ok(sent.length >= 7 && sent.every((text) => text === 'PA 1 ack 1 +3'), sent.join());
    t.equal(congestion.calls[0], 'timeout');
    t.equal(congestion.calls.at(-1), 'timeout again');
    machine.pass(1);
    t.same([machine.state, machine.connection.error, machine.sent()], ['CLOSED', ETIMEDOUT, ['RA 4 ack 1']]);
  });

  t.test('an ACK begins the wait again', async (t) => {
    const machine = machineIn('ESTABLISHED', { limits: { unansweredMs: 10_000 } });
    machine.write('abc').sent();
    machine.pass(9_000);
    machine.receive('A', { seq: 1, ack: 2 }).sent();
    machine.pass(9_999);
    t.equal(machine.state, 'ESTABLISHED');
    machine.pass(1);
    t.equal(machine.state, 'CLOSED');
  });

  t.test('a user timeout ends a connection whose peer answers and takes nothing', async (t) => {
    const machine = machineIn('ESTABLISHED');
    machine.connection.setUserTimeout(30_000);
    machine.receive('A', { seq: 1, ack: 1, window: 0 });
    machine.write('abc').flush();
    for (let i = 0; i < 29; i++) machine.pass(1_000).receive('A', { seq: 1, ack: 1, window: 0 }).sent();
    machine.pass(999);
    t.equal(machine.state, 'ESTABLISHED');
    machine.pass(1);
    t.same([machine.state, machine.connection.error], ['CLOSED', ETIMEDOUT]);
  });

  t.test('a FIN that the window keeps back counts for the user timeout', async (t) => {
    const machine = machineIn('ESTABLISHED');
    machine.connection.setUserTimeout(30_000);
    machine.receive('A', { seq: 1, ack: 1, window: 0 });
    machine.connection.close(machine.now);
    for (let i = 0; i < 30; i++) machine.flush().pass(1_000).receive('A', { seq: 1, ack: 1, window: 0 });
    t.same([machine.state, machine.connection.error], ['CLOSED', ETIMEDOUT]);
  });

  t.test('keep-alive asks after a silence, and gives up without answers', async (t) => {
    const machine = machineIn('ESTABLISHED', { limits: { keepAliveIntervalMs: 1_000, keepAliveProbes: 2 } });
    machine.pass(100_000_000);
    t.equal(machine.state, 'ESTABLISHED', 'off unless asked for');
    machine.receive('A', { seq: 1, ack: 1 });
    machine.connection.setKeepAlive(10_000);
    machine.pass(9_999);
    t.same(machine.sent(), []);
    machine.pass(1);
    t.same(machine.sent(), ['A 0 ack 1']);
    machine.receive('A', { seq: 1, ack: 1 });
    machine.pass(11_000);
    t.same(machine.sent(), ['A 0 ack 1', 'A 0 ack 1']);
    machine.pass(1_000);
    t.same([machine.state, machine.connection.error, machine.sent()], ['CLOSED', ETIMEDOUT, ['RA 1 ack 1']]);
  });

  t.test('TIME_WAIT ends after two lifetimes of a segment, which a FIN begins again', async (t) => {
    const machine = machineIn('TIME_WAIT');
    machine.pass(50_000);
    machine.receive('FA', { seq: 1, ack: 2 });
    machine.pass(59_999);
    t.equal(machine.state, 'TIME_WAIT');
    machine.connection.onDeadline(machine.now);
    t.equal(machine.state, 'TIME_WAIT', 'not before its time');
    machine.pass(1);
    t.same(
      [machine.state, machine.connection.error, machine.connection.deadlineAt],
      ['CLOSED', 0, Number.POSITIVE_INFINITY],
    );
  });

  t.test('FIN_WAIT_2 is bounded when no program waits', async (t) => {
    for (const refuse of ['before', 'after']) {
      const machine = machineIn(refuse === 'before' ? 'ESTABLISHED' : 'FIN_WAIT_2');
      machine.connection.refuseInput(machine.now);
      if (refuse === 'before') {
        machine.connection.close(machine.now);
        machine.flush();
        machine.receive('A', { seq: 1, ack: 2 });
      }
      machine.pass(59_999);
      t.equal(machine.state, 'FIN_WAIT_2');
      machine.pass(1);
      t.same(
        [machine.state, machine.connection.error, machine.outgoing.length > 0],
        ['CLOSED', 0, refuse === 'before'],
      );
    }
    const waiting = machineIn('FIN_WAIT_2').pass(100_000_000);
    t.equal(waiting.state, 'FIN_WAIT_2', 'and not while one does');
  });
});

t.test('losses', async (t) => {
  t.test('three duplicate ACKs send the first segment again', async (t) => {
    const congestion = new FixedWindow(1000);
    const machine = machineIn('ESTABLISHED', { congestion: () => congestion });
    machine.write(Buffer.alloc(5_000));
    t.equal(machine.sent().length, 5);
    for (let i = 0; i < 3; i++) machine.receive('A', { seq: 1, ack: 1 });
    t.same(machine.sent(), ['A 1 ack 1 +1000']);
    t.same(congestion.calls, ['loss']);
    machine.receive('A', { seq: 1, ack: 5001 });
    t.same(congestion.calls, ['loss', 'recovered']);
  });

  t.test(
    'a probe finds the loss of the last segment before the timeout, with new bytes if there are some',
    async (t) => {
      for (const more of [0, 1_000]) {
        const machine = withTimestamps('SYN_SENT', { congestion: (bytes) => new FixedWindow(bytes, 1_976) });
        machine.pass(10);
        machine.receive('SA', { ack: 1, options: everything });
        machine.write(Buffer.alloc(1_976)).sent();
        machine.write(Buffer.alloc(more));
        machine.flush();
        const probe = machine.connection.deadlineAt - machine.now;
        t.ok(probe < 200, `${probe} ms`);
        machine.result = -ENOBUFS;
        machine.pass(probe);
        machine.result = 0;
        machine.pass(5);
        t.same(machine.sent().slice(-1), more === 0 ? ['PA 989 ack 1 +988'] : ['A 1977 ack 1 +988']);
      }
    },
  );

  t.test('reordering: what others have overtaken is lost when the time for it has passed', async (t) => {
    const machine = withTimestamps('SYN_SENT');
    machine.pass(40);
    machine.receive('SA', { ack: 1, options: everything }).sent();
    machine.write(Buffer.alloc(988 * 2)).sent();
    machine.pass(40);
    const theirs = (edge: number): number => (2 ** 32 - 100 + edge) >>> 0;
    machine.receive('A', {
      seq: 1,
      ack: 1,
      window: 5_000,
      options: { ...stamped(machine, 501, machine.now - 40).options, sackBlocks: [theirs(989), theirs(1977)] },
    });
    t.same(machine.sent(), []);
    machine.pass(15);
    t.same(machine.sent(), ['A 1 ack 1 +988']);
  });
});

t.test('ICMP errors', async (t) => {
  const inFlight = 2 ** 32 - 100;
  const hard = { errno: ECONNREFUSED, isHard: true, mtu: null, sequence: inFlight };
  const soft = { errno: EHOSTUNREACH, isHard: false, mtu: null, sequence: inFlight };

  t.test('a hard one ends an attempt, and nothing else', async (t) => {
    const machine = machineIn('SYN_SENT');
    t.equal(machine.connection.onIcmpError({ ...hard, sequence: inFlight + 1 }, machine.now), false, 'a guess');
    t.equal(machine.state, 'SYN_SENT');
    t.equal(machine.connection.onIcmpError(hard, machine.now), true);
    t.same([machine.state, machine.connection.error], ['CLOSED', ECONNREFUSED]);
    t.equal(machine.connection.onIcmpError(hard, machine.now), false);
    const open = machineIn('ESTABLISHED');
    open.write('abc').sent();
    open.connection.onIcmpError({ ...hard, sequence: inFlight + 1 }, open.now);
    t.equal(open.state, 'ESTABLISHED');
  });

  t.test('a soft one is the reason if the connection times out', async (t) => {
    const machine = machineIn('SYN_SENT', { limits: { connectMs: 5_000 } });
    machine.connection.onIcmpError(soft, machine.now);
    t.equal(machine.state, 'SYN_SENT');
    machine.pass(5_000);
    t.equal(machine.connection.error, EHOSTUNREACH);
  });

  t.test('"fragmentation needed" makes segments smaller, and sends again what is in flight', async (t) => {
    const congestion = new FixedWindow(1000);
    const machine = machineIn('ESTABLISHED', { congestion: () => congestion });
    machine.write(Buffer.alloc(1_000)).sent();
    t.equal(machine.connection.onIcmpError({ ...soft, mtu: 640, sequence: inFlight + 1 }, machine.now), true);
    t.same(machine.sent(), ['A 1 ack 1 +600', 'PA 601 ack 1 +400']);
    t.equal(congestion.segmentBytes, 600);
    t.same(congestion.calls, [], 'this is no sign of congestion');
    machine.connection.limitSegmentBytes(900, machine.now);
    t.equal(congestion.segmentBytes, 600, 'never larger');
    const stamped = withTimestamps('ESTABLISHED');
    stamped.connection.limitSegmentBytes(600, stamped.now);
    stamped.write(Buffer.alloc(600)).flush();
    t.equal(stamped.outgoing[0]?.end, 620, 'timestamps take their place from the text');
    machine.receive('A', { seq: 1, ack: 1001 });
    machine.connection.limitSegmentBytes(1, machine.now);
    t.equal(congestion.segmentBytes, 88, 'nor tiny');
  });
});

t.test('what the owner calls', async (t) => {
  t.test('close before the handshake is complete waits for it', async (t) => {
    const machine = machineIn('SYN_SENT');
    machine.write('abc');
    machine.connection.close(machine.now);
    t.equal(machine.state, 'SYN_SENT');
    machine.receive('SA', { ack: 1 });
    t.same([machine.state, machine.sent()], ['FIN_WAIT_1', ['FPA 1 ack 1 +3']]);
  });

  t.test('close ends what only listens, and does nothing afterwards', async (t) => {
    const machine = machineIn('LISTEN');
    machine.connection.close(machine.now);
    machine.connection.close(machine.now);
    t.equal(machine.state, 'CLOSED');
  });

  t.test('abort sends a reset where the peer knows of the connection', async (t) => {
    for (const [state, sends] of [
      ['CLOSED', []],
      ['LISTEN', []],
      ['SYN_SENT', []],
      ['SYN_RECEIVED', ['RA 1 ack 1']],
      ['ESTABLISHED', ['RA 1 ack 1']],
      ['LAST_ACK', ['RA 2 ack 2']],
      ['TIME_WAIT', []],
    ] as const) {
      const machine = machineIn(state);
      machine.connection.abort();
      t.same([machine.state, machine.connection.error, machine.sent()], ['CLOSED', 0, sends], state);
    }
    const machine = withTimestamps('ESTABLISHED');
    machine.connection.abort();
    machine.flush();
    t.equal(machine.outgoing[0]?.options.timestampEcho, 500, 'a reset has timestamps as well');
  });

  t.test('before anything has come, there is nothing to see', async (t) => {
    const { connection } = machineIn('SYN_SENT');
    t.same(
      [connection.readable, connection.readableBytes, connection.isPeerEnded, connection.mustAcknowledgeNow],
      [null, 0, false, false],
    );
    connection.consume(0);
    connection.keepInput();
    connection.refuseInput(0);
    t.equal(connection.isEstablished, false);
  });

  t.test('a cookie makes an established connection', async (t) => {
    const machine = new Machine(false);
    const options = { ...noOptions, mss: 600 };
    machine.connection.openByCookie({ peerSequence: 2 ** 32 - 50, peerWindow: 5_000, options }, machine.now);
    machine.receive('A', { seq: 1, ack: 1, text: 'GET', window: 5_000 });
    t.same([machine.state, machine.connection.isEstablished, machine.read()], ['ESTABLISHED', true, 'GET']);
    machine.write(Buffer.alloc(600));
    t.same(machine.sent(), ['PA 1 ack 4 +600']);
    machine.receive('A', { seq: 1000, ack: 601, text: 'x' });
    t.same(machine.sent(), ['A 601 ack 4'], 'the window that the cookie has promised is there');
  });

  t.test('timestamps that we never sent are not believed', async (t) => {
    const machine = withTimestamps('ESTABLISHED');
    machine.write('x').sent();
    machine.receive('A', { seq: 1, ack: 2, ...stamped(machine, 501, machine.now + 1_000_000) });
    t.equal(machine.connection.unacknowledgedBytes, 0);
  });
});
