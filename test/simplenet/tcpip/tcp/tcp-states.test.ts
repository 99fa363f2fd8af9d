/** The ways between the states, against figure 5 of RFC 9293. */

import t from 'tap';
import * as states from '../../../../simplenet/tcpip/tcp/tcp-states.ts';

const all = Array.from({ length: 11 }, (_, state) => state);
/** Without CLOSED, which may follow every other state. */
const ways = [
  'CLOSED -> LISTEN',
  'CLOSED -> SYN_SENT',
  'CLOSED -> SYN_RECEIVED', // by a cookie
  'LISTEN -> SYN_RECEIVED',
  'SYN_SENT -> SYN_RECEIVED',
  'SYN_SENT -> ESTABLISHED',
  'SYN_RECEIVED -> ESTABLISHED',
  'ESTABLISHED -> FIN_WAIT_1',
  'ESTABLISHED -> CLOSE_WAIT',
  'FIN_WAIT_1 -> FIN_WAIT_2',
  'FIN_WAIT_1 -> CLOSING',
  'FIN_WAIT_1 -> TIME_WAIT',
  'FIN_WAIT_2 -> TIME_WAIT',
  'CLOSE_WAIT -> LAST_ACK',
  'CLOSING -> TIME_WAIT',
];

t.test('each way is allowed or refused', async (t) => {
  for (const from of all) {
    for (const to of all) {
      const way = `${states.nameOfState(from)} -> ${states.nameOfState(to)}`;
      const isEnd = to === states.CLOSED && from !== states.CLOSED;
      if (isEnd || ways.includes(way)) t.equal(states.enter(from, to), to, way);
      else t.throws(() => states.enter(from, to), { message: /must not go from/ }, way);
    }
  }
});

t.test('what a state allows', async (t) => {
  const named = (is: (state: number) => boolean): string[] => all.filter(is).map(states.nameOfState);
  t.same(named(states.canSend), ['ESTABLISHED', 'CLOSE_WAIT']);
  t.same(named(states.canReceive), ['ESTABLISHED', 'FIN_WAIT_1', 'FIN_WAIT_2']);
  t.equal(named(states.isSynchronized).length, 8);
});
