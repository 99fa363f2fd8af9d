import { constants } from 'node:os';
import { test } from 'tap';
import { FAILED } from '../../command/command-error.ts';
import { listenFrom, MAX_PORTS } from '../../command/free-port.ts';
import { SystemError } from '../../simplenet/index.ts';

const busyAt = (port: number) => new SystemError('bind', -constants.errno.EADDRINUSE, { address: '::', port });

/** Listens where `busy` ports in a row are busy, from 100 on. */
const world = (busy: number) => (port: number) => {
  if (port < 100 + busy) throw busyAt(port);
  return port;
};

test('the first port that is not busy', async (t) => {
  t.equal(listenFrom(100, world(0)), 100);
  t.equal(listenFrom(100, world(1)), 101);
  t.equal(listenFrom(100, world(MAX_PORTS - 1)), 100 + MAX_PORTS - 1);
});

test('one more busy port is too many', async (t) => {
  const message = `the ports 100 to ${100 + MAX_PORTS - 1} are busy: name one with --port`;
  t.throws(() => listenFrom(100, world(MAX_PORTS)), { message, exitCode: FAILED });
});

test('any other error is not about the port', async (t) => {
  const error = new SystemError('bind', -constants.errno.EACCES);
  let calls = 0;
  const listen = () => {
    calls++;
    throw error;
  };
  t.throws(() => listenFrom(100, listen), error);
  t.equal(calls, 1);
  const ofMetrics = busyAt(9_100);
  t.throws(
    () =>
      listenFrom(100, () => {
        throw ofMetrics;
      }),
    ofMetrics,
    'another port is busy',
  );
});
