/**
 * The server of a siege over TAP, as a process of its own: besieged-over-tap.ts starts it and asks it. It ends when nobody can ask it any more.
 */

import { serve } from '../../../http/index.ts';
import { createStack, openTap } from '../../../simplenet/index.ts';
import type { Question } from './besieged-over-tap.ts';
import { besiegedSite, heldBytes } from './besieged-site.ts';
import { networkOptions, serverOptions } from './siege.ts';

const [options = '{}', timeouts = '{}'] = process.argv.slice(2);
const { address, hardwareAddress } = serverOptions;
const stack = createStack({
  link: openTap('tap0'),
  ...networkOptions,
  address,
  hardwareAddress,
  ...JSON.parse(options),
});
const server = serve(besiegedSite(), { loop: stack, host: '10.9.0.2', port: 80, timeouts: JSON.parse(timeouts) });

process.on('message', async (question: Question) => {
  if (question === 'memory') process.send?.(heldBytes());
  else if (question === 'statistics') process.send?.(stack.statistics);
  else {
    await server.close({ graceMs: 0 });
    stack.close();
    process.send?.('closed');
  }
});
process.once('disconnect', () => process.exit());
process.send?.('listening');
