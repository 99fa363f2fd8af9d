/** What a stack reports about its connections, before, during and after a transfer. */

import t from 'tap';
import { createStack, createWire, VirtualHost } from '../../../simplenet/index.ts';

t.test('a report follows a connection from its SYN to its end', async (t) => {
  const host = new VirtualHost();
  const [left, right] = createWire({ delayMs: 20, seed: 1 });
  const client = createStack({ link: left, address: '10.9.0.1/24', host, seed: 1 });
  const server = createStack({ link: right, address: '10.9.0.2/24', host, seed: 2 });
  const remoteAddress = { address: '10.9.0.2', port: 80 };
  server.listen(remoteAddress, (stream) => {
    stream.pause();
    server.after(300, () => stream.resume());
    return { onData: () => {} };
  });
  t.same(client.connections(), []);
  const stream = client.connect(remoteAddress, { onData: () => {} });
  stream.write(Buffer.alloc(3_000));
  const [before] = client.connections();
  t.match(before, {
    localAddress: { address: '10.9.0.1' },
    remoteAddress,
    state: 'SYN_SENT',
    congestionWindowBytes: 0,
    slowStartThreshold: Number.POSITIVE_INFINITY,
    peerWindowBytes: 0,
    unacknowledgedBytes: 3_000,
    smoothedRoundTripMs: null,
    retransmissionTimeoutMs: 1_000,
  });
  await host.run(90);
  const [during] = client.connections();
  t.match(during, { state: 'ESTABLISHED', congestionWindowBytes: 14_480, inFlightBytes: 3_000 });
  t.ok((during?.smoothedRoundTripMs as number) >= 40);
  t.match(server.connections(), [{ remoteAddress: { address: '10.9.0.1' }, state: 'ESTABLISHED' }]);
  await host.run(200);
  t.match(client.connections(), [{ inFlightBytes: 0, unacknowledgedBytes: 0 }]);
  t.match(server.connections(), [{ unreadBytes: 3_000 }]);
  await host.run(400);
  t.match(server.connections(), [{ unreadBytes: 0 }]);
  stream.end();
  await host.run(1_000);
  t.same(client.connections(), [], 'TIME_WAIT is not reported');
  t.same(server.connections(), []);
  client.close();
  server.close();
  await host.run(3_000);
});
