/**
 * Asks a DAYTIME server for the time: `daytime-query host:port`, with `-u` over UDP.
 *
 * A name may stand for several addresses, one of which need not work: each is tried until one answers. None of the calls
 * waits without a limit. Over TCP the kernel would try to connect for two minutes; over UDP the question or the answer may
 * be lost, and then nothing would come for ever.
 */

import { lookup } from 'node:dns/promises';
import { parseArgs } from 'node:util';
import { formatSocketAddress, NetSocket, type SocketAddress, SystemError, UdpSocket } from '../simplenet/index.ts';

const USAGE = 'Usage: daytime-query [-u] HOST:PORT, an IPv6 address in brackets: [::1]:8013';
const PATIENCE_MS = 2000;
const MOST_BYTES = 1024;

/** Waits with what is left of the time for one address. */
class Patience {
  readonly #giveUpAt = performance.now() + PATIENCE_MS;

  wait(socket: NetSocket | UdpSocket, direction: 'readable' | 'writable', address: SocketAddress): void {
    const leftMs = Math.max(0, Math.ceil(this.#giveUpAt - performance.now()));
    if (socket.wait(direction, leftMs)) return;
    throw new Error(`no answer from ${formatSocketAddress(address)} within ${PATIENCE_MS} ms`);
  }
}

function overUdp(address: SocketAddress, patience: Patience): string {
  const socket = UdpSocket.connectTo(address);
  try {
    socket.send(Buffer.alloc(0)); // RFC 867: what it says does not matter
    patience.wait(socket, 'readable', address);
    const buffer = Buffer.alloc(MOST_BYTES);
    return buffer.toString('latin1', 0, socket.receiveFrom(buffer).length);
  } finally {
    socket.close();
  }
}

function overTcp(address: SocketAddress, patience: Patience): string {
  const socket = NetSocket.connectTo(address, { nonBlocking: true });
  try {
    patience.wait(socket, 'writable', address); // connect(2): writable when it has come to an end, good or bad
    const errno = socket.takeError();
    if (errno !== 0) throw new SystemError('connect', -errno, address as { address: string; port: number });
    const buffer = Buffer.alloc(MOST_BYTES);
    for (let length = 0; length < buffer.length; ) {
      patience.wait(socket, 'readable', address);
      const size = socket.read(buffer, length);
      if (size === 0) return buffer.toString('latin1', 0, length);
      length += size;
    }
    throw new Error(`${formatSocketAddress(address)} does not tell the time: it sends more than a line`);
  } finally {
    socket.close();
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { u: { type: 'boolean', short: 'u' } },
    allowPositionals: true,
  });
  const match = /^(?:\[([^[\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(positionals[0] ?? '');
  if (match === null || positionals.length > 1) throw new Error(USAGE);
  const addresses = await lookup((match[1] ?? match[2]) as string, { all: true });
  let failure: unknown;
  for (const { address } of addresses) {
    try {
      const ask = values.u === true ? overUdp : overTcp;
      const answer = ask({ address, port: Number(match[3]) }, new Patience());
      // A stranger's bytes go to a terminal, which takes some of them for commands.
      console.log(answer.replace(/[^\x20-\x7e\n]/g, '').trim());
      return;
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

try {
  await main();
} catch (error) {
  console.error((error as Error).message.split('. ')[0]); // one sentence: parseArgs would add a lecture
  process.exitCode = 1;
}
