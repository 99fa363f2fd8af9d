/**
 * Forwards a port: whoever connects here talks to somebody else, in both directions at once.
 *
 * Three things make the difference between this and a program that works until it matters. Bytes are taken from one side only
 * as fast as the other takes them (`write` answers false: pause; `onDrain`: resume), so it needs no more memory for a
 * gigabyte than for a line. An end is passed on and not taken for the end of all: the other direction may have much to say
 * yet. And where one side breaks, the other is told so by a reset: an orderly end would say that all had arrived.
 */

import {
  createEventLoop,
  formatSocketAddress,
  type SocketAddress,
  type Stream,
  type StreamHandler,
  SystemError,
} from '../simplenet/index.ts';
import { lookUp } from './support/look-up.ts';

/** A peer that has vanished says nothing; only the kernel's probes find out, tcp(7). */
const options = { keepAlive: true };

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

function forward(client: Stream, target: SocketAddress): StreamHandler {
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

const [from, to, ...others] = process.argv.slice(2);
if (from === undefined || to === undefined || others.length > 0) {
  throw new Error('Usage: npm run example -- port-forward [ADDRESS:]PORT HOST:PORT');
}
const [address] = await lookUp(/^\d+$/.test(from) ? `127.0.0.1:${from}` : from);
const [target] = await lookUp(to);
const loop = createEventLoop();
const listener = loop.listen(address, (client) => forward(client, target), options);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => loop.close());
console.log(`forwarding ${formatSocketAddress(listener.address)} to ${formatSocketAddress(target)}`);
