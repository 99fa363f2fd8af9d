/** The floods of attacks.ts, heavy. */

import t from 'tap';
import * as attacks from './attacks.ts';

t.test('a SYN flood of 100,000', { timeout: 0 }, (t) => attacks.synFlood(t, 100_000));
t.test('a SYN flood of 50,000 from the local network', { timeout: 0 }, (t) => attacks.localSynFlood(t, 50_000));
t.test('100,000 guessed cookies', { timeout: 0 }, (t) => attacks.cookieGuesses(t, 100_000));
t.test('blind injection, 80,000 segments', { timeout: 0 }, (t) => attacks.blindInjection(t, 20_000));
t.test('100,000 fragments', { timeout: 0 }, (t) => attacks.fragmentFlood(t, 100_000));
t.test('2,000 closed windows', { timeout: 0 }, (t) => attacks.zeroWindows(t, 2_000, 0));
t.test('2,000 tiny windows', { timeout: 0 }, (t) => attacks.zeroWindows(t, 2_000, 1));
t.test('80,000 lies by ARP', { timeout: 0 }, (t) => attacks.arpLies(t, 20_000));
t.test('35,000 lies by ICMP', { timeout: 0 }, (t) => attacks.icmpLies(t, 5_000));
t.test('100,000 packets to closed ports', { timeout: 0 }, (t) => attacks.closedPorts(t, 100_000));
t.test('holes in 200 connections', { timeout: 0 }, (t) => attacks.holes(t, 200));
