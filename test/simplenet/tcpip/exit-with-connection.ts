/** A process that ends with an open connection of its own stack. What its peer then finds on the wire is printed. */

import { writeSync } from 'node:fs';
import type { EventLoop } from '../../../simplenet/loop/event-loop.ts';
import { createWire } from '../../../simplenet/tcpip/link/simulated-wire.ts';
import { createStack } from '../../../simplenet/tcpip/stack.ts';
import { RST } from '../../../simplenet/tcpip/tcp/segment.ts';
import { segmentIn } from './stack-bench.ts';

const STDOUT = 1;

let isEnding = false;
const [left, right] = createWire({
  onFrame(frame, from) {
    const segment = segmentIn(frame);
    if (!isEnding || from !== 1 || segment === null) return;
    const { flags, bytes, start, end } = segment;
    writeSync(STDOUT, `${(flags & RST) === 0 ? 'bytes' : 'reset'} ${bytes.toString('latin1', start, end)}\n`);
  },
});
const server: EventLoop = createStack({ link: left, address: '10.9.0.1/24' });
const client: EventLoop = createStack({ link: right, address: '10.9.0.2/24' });
const closed: EventLoop = createStack({ link: createWire()[0], address: '10.9.0.3/24' });
closed.close();
server.listen({ address: '0.0.0.0', port: 80 }, () => ({ onData: () => {} }));
client.listen({ address: '0.0.0.0', port: 80 }, () => ({ onData: () => {} }));
client.connect(
  { address: '10.9.0.1', port: 80 },
  {
    onOpen(stream) {
      stream.write(Buffer.from('written in the last turn'));
      isEnding = true;
      process.exit();
    },
    onData: () => {},
    onClose: () => writeSync(STDOUT, 'onClose\n'),
  },
);
