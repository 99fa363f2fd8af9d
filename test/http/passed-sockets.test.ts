/** Which sockets systemd has passed to a process, by the environment. */

import { test } from 'tap';
import { markTaken, passedSockets } from '../../http/passed-sockets.ts';

const PID = 42;

test('the sockets that were passed', async (t) => {
  const env = { LISTEN_PID: '42', LISTEN_FDS: '3', LISTEN_FDNAMES: 'http::admin' };
  t.same(passedSockets(env, PID), [
    { name: 'http', fd: 3, isTaken: false },
    { name: 'unknown', fd: 4, isTaken: false },
    { name: 'admin', fd: 5, isTaken: false },
  ]);
  t.same(passedSockets({ LISTEN_PID: '42', LISTEN_FDS: '1' }, PID), [{ name: 'unknown', fd: 3, isTaken: false }]);
  t.same(passedSockets(env, PID + 1), [], 'they are for another process');
  t.equal(passedSockets({ ...env, LISTEN_FDS: '1024' }, PID).length, 1_024);
  for (const LISTEN_FDS of ['0', '-1', '1.5', 'x', '', '1025', undefined]) {
    t.same(passedSockets({ ...env, LISTEN_FDS }, PID), [], String(LISTEN_FDS));
  }
  t.same(passedSockets({}, PID), []);
  t.same(passedSockets(), [], 'this process was not started by systemd');
});

test('a socket that a server has taken is still told', async (t) => {
  markTaken([1_000]);
  const env = { LISTEN_PID: '42', LISTEN_FDS: '1000' };
  t.same(
    passedSockets(env, PID).filter(({ isTaken }) => isTaken),
    [{ name: 'unknown', fd: 1_000, isTaken: true }],
  );
});
