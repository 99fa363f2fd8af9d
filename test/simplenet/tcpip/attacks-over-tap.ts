/** The attacks of attacks.ts over TAP devices. attacks-over-tap.long.ts starts this program in a network namespace. */

import t from 'tap';
import * as attacks from './attacks.ts';
import { BesiegedOverTap } from './besieged-over-tap.ts';
import type { Besiege } from './siege.ts';

/** One attack after another: they share the devices. */
let siege: BesiegedOverTap | null = null;
const overTap: Besiege = async (options, timeouts) => {
  siege = await BesiegedOverTap.begin(options, timeouts);
  return siege;
};

t.afterEach(async (t) => {
  await siege?.end();
  t.comment(siege?.report);
});

t.test('a SYN flood of 100,000', (t) => attacks.synFlood(t, 100_000, overTap));
t.test('blind injection of resets, SYNs and bytes, 4,000 segments', (t) => attacks.blindInjection(t, 1_000, overTap));
t.test('an ACK storm', (t) => attacks.ackStorm(t, overTap));
t.test('30,000 fragments', (t) => attacks.fragmentFlood(t, 30_000, overTap));
t.test('500 closed windows', (t) => attacks.zeroWindows(t, 500, 0, '/large', overTap));
t.test('500 closed windows and a response in pieces', (t) => attacks.zeroWindows(t, 500, 0, '/stream', overTap));
t.test('500 tiny windows', (t) => attacks.zeroWindows(t, 500, 1, '/large', overTap));
t.test('impossible sources: LAND, smurf, martians', (t) => attacks.impossibleSources(t, overTap));
