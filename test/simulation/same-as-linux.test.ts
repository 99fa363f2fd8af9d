/**
 * The simulated kernel beside the real one: both run the same scenarios and must return the same results.
 *
 * A simulation that is wrong makes programs right for a world that does not exist. If this test fails, Linux is right.
 *
 * Here the tour of the simulation ends.
 */

import { getSystemErrorName } from 'node:util';
import { test } from 'tap';
import { AF_INET6, SOCK_STREAM } from '../../simplenet/kernel/abi.ts';
import { libc } from '../../simplenet/kernel/libc.ts';
import { encodeSocketAddress } from '../../simplenet/kernel/socket-address.ts';
import { linuxScenarios, Witness } from './linux-scenarios.ts';
import { SimulatedKernel } from './simulated-kernel.ts';

/** On the real loopback interface things arrive within the call, nearly always; this is for the other times. */
const SETTLE_MS = 3;
const sleepCell = new Int32Array(new SharedArrayBuffer(4));

function ipv6Refusal(): string | false {
  const fd = libc.socket(AF_INET6, SOCK_STREAM, 0);
  const address = encodeSocketAddress({ address: '::1', port: 0 });
  const result = fd < 0 ? fd : libc.bind(fd, address, address.length);
  if (fd >= 0) libc.close(fd);
  return result < 0 ? `this machine has no IPv6 (${getSystemErrorName(result)})` : false;
}

function onLinux(scenario: (witness: Witness) => void, run: string): string[] {
  const witness = new Witness(libc, () => Atomics.wait(sleepCell, 0, 0, SETTLE_MS), run);
  try {
    scenario(witness);
    return witness.notes;
  } finally {
    witness.closeAll();
  }
}

const noIpv6 = ipv6Refusal();

for (const [name, scenario] of Object.entries(linuxScenarios)) {
  const skip = /ipv6|both families|bind:/.test(name) ? noIpv6 : false;
  test(name, { skip }, (t) => {
    const expected = onLinux(scenario, `${process.pid}`);
    for (const delayedDelivery of [0, 0.5, 1]) {
      for (let seed = 1; seed <= 5; seed++) {
        const kernel = new SimulatedKernel({ seed, faults: { delayedDelivery } });
        const witness = new Witness(kernel.libc, () => kernel.deliverAll(), `${process.pid}`);
        scenario(witness);
        t.same(witness.notes, expected, `seed ${seed}, delayed delivery ${delayedDelivery}`);
        witness.closeAll();
        t.same(kernel.report(), [], 'nothing is misused, nothing leaks');
      }
    }
    t.end();
  });
}
