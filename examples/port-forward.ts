/**
 * Forwards a port: each client is connected to another server, and bytes pass in both directions at once.
 *
 * Simple forwarders often lack three things. Bytes are taken from one side only as fast as the other takes them (`write` returns
 * false: pause; `onDrain`: resume), so a gigabyte needs no more memory than a line. The end of one direction is passed on, and the other
 * direction goes on. If one side breaks, the other gets a reset: an orderly end would say that all bytes had arrived.
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

/** A peer that has vanished sends nothing. Only the probes of the kernel can detect that, tcp(7). */
const options = { keepAlive: true };

/** A handler for one side, which passes everything on to the other side. */
function passOnTo(other: () => Stream): StreamHandler {
  return {
    onData(stream, bytes) {
      if (!other().write(bytes)) stream.pause();
    },
    onDrain: () => other().resume(),
    onEnd: () => other().end(),
    onClose(_stream, error) {
      if (error === null) return; // both directions have ended; the other side still sends its queued bytes
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
    console.error(error.message); // for example no descriptor left: only this client is affected
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
