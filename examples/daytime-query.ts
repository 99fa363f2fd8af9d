/**
 * Asks a DAYTIME server for the time: `daytime-query host:port`, with `-u` over UDP.
 *
 * A name can have several addresses, and some of them may not work: they are tried in order until one answers. Each wait has a limit.
 * Over TCP the kernel would try to connect for two minutes. Over UDP the question or the answer may be lost, and a wait without a limit
 * would not end.
 */

import { formatSocketAddress, NetSocket, type SocketAddress, UdpSocket } from '../simplenet/index.ts';
import { lookUp } from './support/look-up.ts';
import { Patience } from './support/patience.ts';

const USAGE = 'Usage: npm run example -- daytime-query [-u] HOST:PORT';
const PATIENCE_MS = 2000;
const MAX_BYTES = 1024;

function overUdp(address: SocketAddress): string {
  const socket = UdpSocket.connectTo(address);
  try {
    socket.send(Buffer.alloc(0)); // RFC 867: the content of the question does not matter
    mustAnswer(socket.wait('readable', PATIENCE_MS), address);
    return socket.receive(MAX_BYTES).bytes.toString('latin1');
  } finally {
    socket.close();
  }
}

function overTcp(address: SocketAddress): string {
  const patience = new Patience(PATIENCE_MS);
  const socket = NetSocket.connectTo(address, { connectTimeoutMs: patience.leftMs });
  try {
    const buffer = Buffer.alloc(MAX_BYTES);
    for (let length = 0; length < buffer.length; ) {
      mustAnswer(socket.wait('readable', patience.leftMs), address);
      const size = socket.read(buffer, length);
      if (size === 0) return buffer.toString('latin1', 0, length);
      length += size;
    }
    throw new Error(`${formatSocketAddress(address)} does not tell the time: it sends more than a line`);
  } finally {
    socket.close();
  }
}

function mustAnswer(hasAnswered: boolean, address: SocketAddress): void {
  if (!hasAnswered) throw new Error(`no answer from ${formatSocketAddress(address)} within ${PATIENCE_MS} ms`);
}

/** Returns the answer of the first address that has one. If no address answers, throws the error of the last one. */
function ask(over: (address: SocketAddress) => string, addresses: readonly SocketAddress[]): string {
  let failure: unknown;
  for (const address of addresses) {
    try {
      return over(address);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

const args = process.argv.slice(2);
const isUdp = args[0] === '-u';
const [target, ...others] = isUdp ? args.slice(1) : args;
if (target === undefined || others.length > 0) throw new Error(USAGE);
const answer = ask(isUdp ? overUdp : overTcp, await lookUp(target));
// The bytes come from the network and go to a terminal, which would run some of them as commands.
console.log(answer.replace(/[^\x20-\x7e\n]/g, '').trim());
