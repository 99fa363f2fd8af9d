/**
 * An echo server: what comes in goes out again. Run it with `npm start`, talk to it with `nc 127.0.0.1 8080`.
 */

import { parseArgs } from 'node:util';
import { createEventLoop, formatSocketAddress, type StreamHandler, trace } from './simplenet/index.ts';

const usage = `Usage: npm start -- [--host ADDRESS] [--port NUMBER] [--trace]
  --host   the address to listen on (HOST, 127.0.0.1)
  --port   the port, 0 for any that is free (PORT, 8080)
  --trace  write every system call to standard error
  --help   show this`;

/** A peer that reads slower than it writes is read no further until it has caught up: so memory stays bounded. */
const echo: StreamHandler = {
  onData(stream, bytes) {
    if (!stream.write(bytes)) stream.pause();
  },
  onDrain(stream) {
    stream.resume();
  },
  onClose(_stream, error) {
    if (error !== null) console.error(error.message);
  },
};

function settings(): { host: string; port: number; trace: boolean; help: boolean } {
  const { values } = parseArgs({
    options: {
      host: { type: 'string', default: process.env.HOST ?? '127.0.0.1' },
      port: { type: 'string', default: process.env.PORT ?? '8080' },
      trace: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  // Number('') is 0, which would be any port.
  return { ...values, port: values.port.trim() === '' ? Number.NaN : Number(values.port) } as ReturnType<
    typeof settings
  >;
}

function main(): void {
  const { host, port, trace: isTraced, help } = settings();
  if (help) {
    console.log(usage);
    return;
  }
  if (isTraced) trace();
  const loop = createEventLoop();
  const listener = loop.listen({ address: host, port }, () => echo, { noDelay: true });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => loop.close());
  const where = formatSocketAddress(listener.address);
  console.log(
    `Echoing on ${where}. In another terminal, type:  nc ${where.replace(/:(\d+)$/, ' $1').replace(/[[\]]/g, '')}`,
  );
}

try {
  main();
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
