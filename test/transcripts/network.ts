/**
 * The network in which the application of the transcripts listens: loopback of the kernel, or with TRANSCRIPTS_TAP=tap0 a stack of our own behind
 * that interface. Then the client is still a socket of the kernel, in the same process.
 *
 * Next: stage.ts
 */

import { createStack, type EventLoop, openTap } from '../../simplenet/index.ts';

const ADDRESS = '10.9.0.2';

function networkOf(tap: string | undefined): { readonly host: string; readonly loop?: EventLoop } {
  if (tap === undefined) return { host: '127.0.0.1' };
  return { host: ADDRESS, loop: createStack({ link: openTap(tap), address: `${ADDRESS}/24` }) };
}

export const network = networkOf(process.env.TRANSCRIPTS_TAP);
