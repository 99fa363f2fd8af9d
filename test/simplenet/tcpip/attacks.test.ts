/** Attacks on a server on a stack of our own, at small size. attacks.long.ts makes the floods heavy. */

import t from 'tap';
import * as attacks from './attacks.ts';

t.test('a SYN flood', (t) => attacks.synFlood(t, 4_000));
t.test('a SYN flood from the local network', (t) => attacks.localSynFlood(t, 2_000));
t.test('guessed cookies', (t) => attacks.cookieGuesses(t, 2_000));
t.test('blind injection of resets, SYNs and bytes', (t) => attacks.blindInjection(t, 500));
t.test('challenge ACKs', (t) => attacks.challengeAcks(t));
t.test('an ACK storm', (t) => attacks.ackStorm(t));
t.test('a flood of fragments', (t) => attacks.fragmentFlood(t, 2_000));
t.test('tricks with fragments', (t) => attacks.fragmentTricks(t));
t.test('closed windows', (t) => attacks.zeroWindows(t, 100, 0));
t.test('closed windows and a response in pieces', (t) => attacks.zeroWindows(t, 50, 0, '/stream'));
t.test('tiny windows', (t) => attacks.zeroWindows(t, 50, 1));
t.test('impossible sources: LAND, smurf, martians', (t) => attacks.impossibleSources(t));
t.test('lies by ARP', (t) => attacks.arpLies(t, 500));
t.test('lies by ICMP', (t) => attacks.icmpLies(t, 300));
t.test('acknowledgments of what was never sent', (t) => attacks.wrongAcknowledgments(t));
t.test('strange options', (t) => attacks.strangeOptions(t));
t.test('lies about time', (t) => attacks.timestampLies(t));
t.test('TIME_WAIT', (t) => attacks.timeWait(t, 6));
t.test('closed ports', (t) => attacks.closedPorts(t, 4_000));
t.test('holes', (t) => attacks.holes(t, 10));
t.test('strange flags', (t) => attacks.strangeFlags(t));
