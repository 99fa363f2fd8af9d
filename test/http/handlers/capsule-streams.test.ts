/** CapsuleStreams: who waits for whom, without sockets. connect-context.test.ts has the rest, on sockets. */

import { test } from 'tap';
import { CapsuleStreams } from '../../../http/handlers/capsule-streams.ts';
import { DATAGRAM, encodeCapsule } from '../../../http/handlers/capsules.ts';
import { TunnelStreams } from '../../../http/handlers/tunnel-streams.ts';
import { MemoryStream } from '../../support/memory-server.ts';

const LIMIT = 10;

test('a datagram behind a capsule that is not read waits until the program reads that', async (t) => {
  const stream = new MemoryStream(false);
  const tunnel = new TunnelStreams(stream, Number.POSITIVE_INFINITY, LIMIT);
  const streams = new CapsuleStreams(tunnel, { tunnelBufferBytes: LIMIT, capsuleBytes: 100 });
  const capsules = streams.openCapsules().readable.getReader();
  const datagrams = streams.datagrams().readable.getReader();
  const send = (bytes: Uint8Array) => tunnel.onData(stream, Buffer.from(bytes));

  send(encodeCapsule(5, new Uint8Array(LIMIT)));
  await new Promise(setImmediate);
  let isRead = false;
  const reading = datagrams.read().then(({ value }) => {
    isRead = true;
    return value;
  });
  send(encodeCapsule(DATAGRAM, Buffer.from('behind')));
  await new Promise(setImmediate);
  t.notOk(isRead);
  t.equal((await capsules.read()).value?.data.byteLength, LIMIT);
  t.same(await reading, new Uint8Array(Buffer.from('behind')));
});
