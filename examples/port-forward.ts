/**
 * Forwards a port: whoever connects here talks to somebody else, in both directions at once.
 *
 * Three things make the difference between this and a program that works until it matters. Bytes are taken from one side only
 * as fast as the other takes them (`write` answers false: pause; `onDrain`: resume), so it needs no more memory for a
 * gigabyte than for a line. An end is passed on and not taken for the end of all: the other direction may have much to say
 * yet. And where one side breaks, the other is told so by a reset: an orderly end would say that all had arrived.
 */

import { lookup } from 'node:dns/promises';
import {
  createEventLoop,
  type EventLoop,
  formatSocketAddress,
  type InternetAddress,
  type Stream,
  type StreamHandler,
  SystemError,
} from '../simplenet/index.ts';

const usage = 'Usage: npm run example -- port-forward [ADDRESS:]PORT HOST:PORT';

const LAST_PORT = 65_535;

/** A peer that has vanished says nothing; only the kernel's probes find out, tcp(7). */
const options = { keepAlive: true };

/** `80`, `127.0.0.1:80`, `[::1]:80`, `localhost:80`. */
async function parseAddress(text: string | undefined): Promise<InternetAddress> {
  const [, bracketed, plain, port] = /^(?:(?:\[(.+)\]|([^:]+)):)?(\d{1,5})$/.exec(text ?? '') ?? [];
  if (port === undefined || Number(port) > LAST_PORT) throw new Error(usage);
  const host = bracketed ?? plain ?? '127.0.0.1';
  return { address: (await lookup(host)).address, port: Number(port) };
}

/** What is done about one side, for the sake of the other. */
function passOnTo(other: () => Stream): StreamHandler {
  return {
    onData(stream, bytes) {
      if (!other().write(bytes)) stream.pause();
    },
    onDrain: () => other().resume(),
    onEnd: () => other().end(),
    onClose(_stream, error) {
      if (error === null) return; // both have ended, and the other side still sends what it was given
      if (error.syscall === 'connect') console.error(error.message);
      other().abort();
    },
  };
}

function forward(loop: EventLoop, client: Stream, target: InternetAddress): StreamHandler {
  try {
    const onward = loop.connect(
      target,
      passOnTo(() => client),
      options,
    );
    return passOnTo(() => onward);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    console.error(error.message); // no descriptor left: bad for this client, and for no other
    client.abort();
    return { onData: () => {} };
  }
}

async function main(from: string | undefined, to: string | undefined): Promise<void> {
  if (to === undefined) throw new Error(usage);
  const [address, target] = [await parseAddress(from), await parseAddress(to)];
  const loop = createEventLoop();
  const listener = loop.listen(address, (client) => forward(loop, client, target), options);
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => loop.close());
  console.log(`forwarding ${formatSocketAddress(listener.address)} to ${formatSocketAddress(target)}`);
}

try {
  await main(process.argv[2], process.argv[3]);
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
