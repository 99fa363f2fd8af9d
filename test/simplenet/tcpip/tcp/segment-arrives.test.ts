/** Segment x state, in the order and the words of RFC 9293 section 3.10.7. */

import t from 'tap';
import { ECONNREFUSED, ECONNRESET } from '../../../../simplenet/kernel/abi.ts';
import { allStates, Machine, machineIn, type Peer } from './machine.ts';

interface Row {
  readonly title: string;
  readonly state: string;
  readonly flags: string;
  readonly peer?: Peer;
  /** The state that follows, by default the same. */
  readonly next?: string;
  /** What is sent in reply, by default nothing. */
  readonly sends?: readonly string[];
  readonly error?: number;
}

const synchronized = allStates.slice(allStates.indexOf('SYN_RECEIVED'));
/** The states in which our FIN is sent, so that our next number is 2. */
const afterOurFin = ['FIN_WAIT_1', 'FIN_WAIT_2', 'CLOSING', 'LAST_ACK', 'TIME_WAIT'];
/** The states in which the peer's FIN has come, so that its next number is 2. */
const afterTheirFin = ['CLOSE_WAIT', 'CLOSING', 'LAST_ACK', 'TIME_WAIT'];

/** The numbers that are right in a state. */
function right(state: string): { seq: number; ack: number } {
  return { seq: afterTheirFin.includes(state) ? 2 : 1, ack: afterOurFin.includes(state) ? 2 : 1 };
}

/** The ACK that answers what is not acceptable: SND.NXT and RCV.NXT. */
function plainAck(state: string): string {
  const { seq, ack } = right(state);
  return `A ${ack} ack ${seq}`;
}

const rows: Row[] = [
  {
    title: 'CLOSED: a segment with ACK gets a reset with its number',
    state: 'CLOSED',
    flags: 'A',
    peer: { ack: 7 },
    sends: ['R 7'],
  },
  {
    title: 'CLOSED: one without ACK gets a reset that acknowledges it',
    state: 'CLOSED',
    flags: 'S',
    peer: { seq: 4, text: 'ab' },
    sends: ['RA 100 ack 7'],
  },
  { title: 'CLOSED: a reset gets none', state: 'CLOSED', flags: 'R' },

  { title: 'LISTEN, first: RST is ignored', state: 'LISTEN', flags: 'R' },
  { title: 'LISTEN, second: ACK gets a reset', state: 'LISTEN', flags: 'A', peer: { ack: 9 }, sends: ['R 9'] },
  { title: 'LISTEN, second: SYN, ACK gets a reset', state: 'LISTEN', flags: 'SA', peer: { ack: 9 }, sends: ['R 9'] },
  { title: 'LISTEN, third: SYN', state: 'LISTEN', flags: 'S', next: 'SYN_RECEIVED', sends: ['SA 0 ack 1'] },
  {
    title: 'LISTEN, third: the data of a SYN is not acknowledged',
    state: 'LISTEN',
    flags: 'S',
    peer: { text: 'early' },
    next: 'SYN_RECEIVED',
    sends: ['SA 0 ack 1'],
  },
  { title: 'LISTEN: SYN with FIN is dropped', state: 'LISTEN', flags: 'SF' },
  { title: 'LISTEN, fourth: anything else is dropped', state: 'LISTEN', flags: 'P', peer: { text: 'x' } },

  {
    title: 'SYN_SENT, first: an ACK of what was not sent gets a reset',
    state: 'SYN_SENT',
    flags: 'A',
    peer: { ack: 2 },
    sends: ['R 2'],
  },
  {
    title: 'SYN_SENT, first: so does an ACK that is too old',
    state: 'SYN_SENT',
    flags: 'SA',
    peer: { ack: 0 },
    sends: ['R 0'],
  },
  { title: 'SYN_SENT, first: a reset with such an ACK is dropped', state: 'SYN_SENT', flags: 'RA', peer: { ack: 0 } },
  {
    title: 'SYN_SENT, second: RST with an acceptable ACK',
    state: 'SYN_SENT',
    flags: 'RA',
    peer: { ack: 1 },
    next: 'CLOSED',
    error: ECONNREFUSED,
  },
  { title: 'SYN_SENT, second: RST without ACK is dropped', state: 'SYN_SENT', flags: 'R' },
  {
    title: 'SYN_SENT, fourth: SYN, ACK',
    state: 'SYN_SENT',
    flags: 'SA',
    peer: { ack: 1 },
    next: 'ESTABLISHED',
    sends: ['A 1 ack 1'],
  },
  {
    title: 'SYN_SENT, fourth: SYN alone, both sides have opened',
    state: 'SYN_SENT',
    flags: 'S',
    next: 'SYN_RECEIVED',
    sends: ['SA 0 ack 1'],
  },
  { title: 'SYN_SENT, fifth: neither SYN nor RST is dropped', state: 'SYN_SENT', flags: 'A', peer: { ack: 1 } },

  ...synchronized.flatMap((state): Row[] => {
    const { seq, ack } = right(state);
    const reset = state === 'TIME_WAIT' || state === 'SYN_RECEIVED' ? 0 : ECONNRESET;
    return [
      {
        title: `${state}, first: text from before the window gets an ACK`,
        state,
        flags: 'A',
        peer: { seq: seq - 1, ack, text: 'x' },
        sends: [plainAck(state)],
      },
      {
        title: `${state}, first: text from behind the window gets an ACK`,
        state,
        flags: 'A',
        peer: { seq: seq + 20_000, ack, text: 'x' },
        sends: [plainAck(state)],
      },
      {
        title: `${state}, first: a reset outside the window gets nothing`,
        state,
        flags: 'R',
        peer: { seq: seq + 20_000 },
      },
      {
        title: `${state}, second: RST exactly at RCV.NXT`,
        state,
        flags: 'R',
        peer: { seq },
        next: 'CLOSED',
        error: state === 'SYN_RECEIVED' ? ECONNRESET : reset,
      },
      {
        title: `${state}, second: RST elsewhere in the window gets a challenge ACK`,
        state,
        flags: 'R',
        peer: { seq: seq + 10 },
        sends: [plainAck(state)],
      },
      {
        title: `${state}, fourth: SYN in the window gets a challenge ACK`,
        state,
        flags: 'S',
        peer: { seq: seq + 1 },
        sends: [plainAck(state)],
      },
      { title: `${state}, fifth: without ACK it is dropped`, state, flags: 'P', peer: { seq } },
    ];
  }),

  {
    title: 'SYN_RECEIVED: the SYN again gets the SYN, ACK again',
    state: 'SYN_RECEIVED',
    flags: 'S',
    sends: ['SA 0 ack 1'],
  },
  {
    title: 'SYN_RECEIVED, fifth: ACK of our SYN',
    state: 'SYN_RECEIVED',
    flags: 'A',
    peer: { seq: 1, ack: 1 },
    next: 'ESTABLISHED',
  },
  {
    title: 'SYN_RECEIVED, fifth: an ACK that is too old gets a reset',
    state: 'SYN_RECEIVED',
    flags: 'A',
    peer: { seq: 1, ack: 0 },
    sends: ['R 0'],
  },
  {
    title: 'SYN_RECEIVED, fifth: so does one of what was not sent',
    state: 'SYN_RECEIVED',
    flags: 'A',
    peer: { seq: 1, ack: 2 },
    sends: ['R 2'],
  },
  {
    title: 'SYN_RECEIVED: SYN, ACK of a peer that has opened as well',
    state: 'SYN_RECEIVED',
    flags: 'SA',
    peer: { ack: 1 },
    next: 'ESTABLISHED',
    sends: ['A 1 ack 1'],
  },
  {
    title: 'SYN_RECEIVED: SYN, ACK with a wrong ACK',
    state: 'SYN_RECEIVED',
    flags: 'SA',
    peer: { ack: 5 },
    sends: ['R 5'],
  },
  {
    title: 'SYN_RECEIVED: text and FIN with the ACK',
    state: 'SYN_RECEIVED',
    flags: 'FA',
    peer: { seq: 1, ack: 1, text: 'all' },
    next: 'CLOSE_WAIT',
    sends: ['A 1 ack 5'],
  },

  ...['ESTABLISHED', 'FIN_WAIT_1', 'FIN_WAIT_2', 'CLOSE_WAIT', 'CLOSING', 'LAST_ACK'].flatMap((state): Row[] => {
    const { seq, ack } = right(state);
    return [
      {
        title: `${state}, fifth: an ACK of what was not sent gets an ACK`,
        state,
        flags: 'A',
        peer: { seq, ack: ack + 1 },
        sends: [plainAck(state)],
      },
      {
        title: `${state}, fifth: an ACK from before all that could be in flight gets an ACK`,
        state,
        flags: 'A',
        peer: { seq, ack: ack - 10_002 },
        sends: [plainAck(state)],
      },
      { title: `${state}, fifth: an old ACK is ignored`, state, flags: 'A', peer: { seq, ack: ack - 1 } },
    ];
  }),
  {
    title: 'ESTABLISHED, seventh: text',
    state: 'ESTABLISHED',
    flags: 'A',
    peer: { seq: 1, ack: 1, text: 'hello' },
    sends: ['A 1 ack 6'],
  },
  {
    title: 'ESTABLISHED, sixth: urgent text stays in its place',
    state: 'ESTABLISHED',
    flags: 'UA',
    peer: { seq: 1, ack: 1, text: 'now' },
    sends: ['A 1 ack 4'],
  },
  {
    title: 'FIN_WAIT_1, seventh: text',
    state: 'FIN_WAIT_1',
    flags: 'A',
    peer: { seq: 1, ack: 1, text: 'hello' },
    sends: ['A 2 ack 6'],
  },
  {
    title: 'FIN_WAIT_2, seventh: text',
    state: 'FIN_WAIT_2',
    flags: 'A',
    peer: { seq: 1, ack: 2, text: 'hello' },
    sends: ['A 2 ack 6'],
  },
  ...['CLOSE_WAIT', 'CLOSING', 'LAST_ACK'].map((state): Row => {
    const { seq } = right(state);
    return {
      title: `${state}, seventh: text behind FIN is ignored`,
      state,
      flags: 'A',
      peer: { seq, ack: 1, text: 'more' },
    };
  }),
  {
    title: 'ESTABLISHED, eighth: FIN',
    state: 'ESTABLISHED',
    flags: 'FA',
    peer: { seq: 1, ack: 1 },
    next: 'CLOSE_WAIT',
    sends: ['A 1 ack 2'],
  },
  {
    title: 'FIN_WAIT_1, fifth: ACK of our FIN',
    state: 'FIN_WAIT_1',
    flags: 'A',
    peer: { seq: 1, ack: 2 },
    next: 'FIN_WAIT_2',
  },
  {
    title: 'FIN_WAIT_1, eighth: FIN without the ACK of ours',
    state: 'FIN_WAIT_1',
    flags: 'FA',
    peer: { seq: 1, ack: 1 },
    next: 'CLOSING',
    sends: ['A 2 ack 2'],
  },
  {
    title: 'FIN_WAIT_1, eighth: FIN with the ACK of ours',
    state: 'FIN_WAIT_1',
    flags: 'FA',
    peer: { seq: 1, ack: 2 },
    next: 'TIME_WAIT',
    sends: ['A 2 ack 2'],
  },
  {
    title: 'FIN_WAIT_2, eighth: FIN',
    state: 'FIN_WAIT_2',
    flags: 'FA',
    peer: { seq: 1, ack: 2 },
    next: 'TIME_WAIT',
    sends: ['A 2 ack 2'],
  },
  {
    title: 'CLOSING, fifth: ACK of our FIN',
    state: 'CLOSING',
    flags: 'A',
    peer: { seq: 2, ack: 2 },
    next: 'TIME_WAIT',
  },
  { title: 'LAST_ACK, fifth: ACK of our FIN', state: 'LAST_ACK', flags: 'A', peer: { seq: 2, ack: 2 }, next: 'CLOSED' },
  ...['CLOSE_WAIT', 'CLOSING', 'LAST_ACK', 'TIME_WAIT'].map((state): Row => {
    const { ack } = right(state);
    return {
      title: `${state}: FIN again gets an ACK`,
      state,
      flags: 'FA',
      peer: { seq: 1, ack },
      sends: [plainAck(state)],
    };
  }),
  {
    title: 'TIME_WAIT: a SYN that could open the next connection is for the owner',
    state: 'TIME_WAIT',
    flags: 'S',
    peer: { seq: 100 },
    sends: ['A 2 ack 2'],
  },
  { title: 'TIME_WAIT: a bare ACK gets nothing', state: 'TIME_WAIT', flags: 'A', peer: { seq: 2, ack: 2 } },
];

t.test('segment x state', async (t) => {
  for (const { title, state, flags, peer, next = state, sends = [], error = 0 } of rows) {
    const machine = machineIn(state);
    t.equal(machine.state, state, `${title}: begins`);
    machine.receive(flags, peer);
    t.same([machine.state, machine.sent(), machine.connection.error], [next, sends, error], title);
    t.equal(machine.connection.hasOutput, false, `${title}: nothing is left to send`);
  }
});

t.test('an active open that is refused after a simultaneous one says so', async (t) => {
  const machine = new Machine(true);
  machine.connection.open(machine.now);
  machine.receive('S').flush();
  t.equal(machine.state, 'SYN_RECEIVED');
  machine.receive('R', { seq: 1 });
  t.same([machine.state, machine.connection.error], ['CLOSED', ECONNREFUSED]);
});

t.test('before our SYN has left, no segment is an answer to it', async (t) => {
  const machine = new Machine(true);
  machine.connection.open(machine.now);
  machine.receive('SA', { ack: 0 });
  t.same(machine.sent(), ['R 0', 'S 0']);
});

t.test('challenge ACKs are bounded for each second, ACKs of text are not', async (t) => {
  const machine = machineIn('ESTABLISHED', { limits: { challengeAcksPerSecond: 3 } });
  const count = (flags: string, peer: Peer): number => {
    let sent = 0;
    for (let i = 0; i < 10; i++) sent += machine.receive(flags, peer).sent().length;
    return sent;
  };
  t.equal(count('S', { seq: 1 }), 3, 'SYN');
  machine.pass(1000);
  t.equal(count('R', { seq: 5 }), 3, 'RST');
  machine.pass(1000);
  t.equal(count('A', { seq: 0, ack: 1 }), 3, 'an empty segment in the wrong place');
  t.equal(count('A', { seq: 0, ack: 1, text: 'x' }), 10, 'text that came before');
  machine.pass(60_000);
  t.equal(count('S', { seq: 0 }), 3, 'the SYN again');
});
