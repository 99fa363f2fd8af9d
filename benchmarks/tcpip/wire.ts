/**
 * Wire: two stacks in this process, joined by a wire without faults. One sends as fast as the other takes it. Prints a line of JSON.
 *
 *     node build/benchmarks/tcpip/wire.js [MEGABYTES]
 *
 * Next: server.ts
 */

import { createStack, createWire } from '../../simplenet/index.ts';

const MEGABYTE = 1_000_000;
const PIECE = Buffer.alloc(65_536, 'simplenet ');
const WARM_UP_BYTES = 100 * MEGABYTE;
const PORT = 9;

const measuredBytes = Number(process.argv[2] ?? 1_000) * MEGABYTE;
const totalBytes = WARM_UP_BYTES + measuredBytes;

const [left, right] = createWire();
const sender = createStack({ link: left, address: '10.9.0.1/24' });
const receiver = createStack({ link: right, address: '10.9.0.2/24' });
let received = 0;
let startedAt = 0;
let cpuBefore = process.cpuUsage();

receiver.listen({ address: '10.9.0.2', port: PORT }, () => ({
  onData(stream, bytes) {
    const before = received;
    received += bytes.length;
    if (before < WARM_UP_BYTES && received >= WARM_UP_BYTES) {
      startedAt = performance.now();
      cpuBefore = process.cpuUsage();
    }
    if (received < totalBytes) return;
    const seconds = (performance.now() - startedAt) / 1_000;
    const { user, system } = process.cpuUsage(cpuBefore);
    console.log(JSON.stringify({ bytes: measuredBytes, seconds, cpuSeconds: (user + system) / 1e6 }));
    stream.abort();
    receiver.close();
    sender.close();
  },
}));

sender.connect(
  { address: '10.9.0.2', port: PORT },
  {
    onOpen(stream) {
      while (stream.write(PIECE)) {}
    },
    onDrain(stream) {
      while (stream.write(PIECE)) {}
    },
    onData() {},
  },
);
