/**
 * Linux's ends of the transfers of beside-linux.long.ts, in a network namespace of their own. A line on standard input starts them, when
 * beside-linux-relay.ts has brought the interfaces here. Prints `ready`, and a line of JSON for each transfer that has arrived.
 *
 *     node beside-linux-peer.js receive ADDRESS,...
 *     node beside-linux-peer.js send ADDRESS,...
 */

import { once } from 'node:events';
import { createEventLoop } from '../../../simplenet/index.ts';
import { receiveTransfers, sendTransfer } from './beside-linux-transfer.ts';

const [role, list = ''] = process.argv.slice(2);
const addresses = list.split(',');
const loop = createEventLoop();
console.log('ready');
await once(process.stdin, 'data');
if (role === 'receive') {
  for (const address of addresses) {
    receiveTransfers(loop, address, (ms) => console.log(JSON.stringify({ address, ms })));
  }
  console.log('listening');
} else {
  for (const address of addresses) sendTransfer(loop, address);
}
process.stdin.on('end', () => process.exit()).resume();
