/**
 * A filter in the kernel: datagrams that do not begin with a magic byte never wake this program.
 *
 * The filter is a program in classic BPF. The kernel checks its few instructions once, and then runs them on each packet for the socket.
 * The `control` hook attaches it between socket(2) and bind(2). After bind(2) datagrams could arrive before the filter.
 */

import { abi, createEventLoop, type FilterInstruction, formatSocketAddress } from '../simplenet/index.ts';
import { portFrom } from './support/port.ts';

const { BPF_ABS, BPF_B, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET } = abi;

const MAGIC = '*';
/** The filter of a UDP socket gets the UDP header as well. */
const UDP_HEADER_SIZE = 8;

const beginsWithMagic: readonly FilterInstruction[] = [
  { code: BPF_LD | BPF_B | BPF_ABS, k: UDP_HEADER_SIZE }, // loads the first byte; without one, the filter returns 0
  { code: BPF_JMP | BPF_JEQ | BPF_K, k: MAGIC.charCodeAt(0), jt: 0, jf: 1 },
  { code: BPF_RET | BPF_K, k: 0xffff_ffff }, // keeps the whole datagram
  { code: BPF_RET | BPF_K, k: 0 }, // drops it
];

const loop = createEventLoop();
const port = loop.bindUdp(
  { address: '127.0.0.1', port: portFrom(process.argv[2] ?? '8080') },
  {
    onMessage: (_port, bytes, from) =>
      console.log(`${formatSocketAddress(from)} sent ${JSON.stringify(String(bytes))}`),
  },
  { control: (socket) => socket.attachFilter(beginsWithMagic) },
);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => loop.close());
console.log(`waiting on ${formatSocketAddress(port.address)} for datagrams that begin with ${MAGIC}`);
