/**
 * TAP links and Linux, in a network namespace that has nothing else: tap-link.test.ts starts this program in one. It prints a line of JSON for each
 * scenario.
 *
 * The contract of links needs two ends: two TAP devices behind one bridge of Linux.
 */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { setImmediate as nextRound } from 'node:timers/promises';
import type { SystemError } from '../../../../simplenet/kernel/system-error.ts';
import { nodeHost } from '../../../../simplenet/loop/node-host.ts';
import {
  BROADCAST_HARDWARE_ADDRESS,
  decodeEthernet,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  writeEthernetHeader,
} from '../../../../simplenet/tcpip/link/ethernet-frame.ts';
import type { Link } from '../../../../simplenet/tcpip/link/link.ts';
import { openTap } from '../../../../simplenet/tcpip/link/tap-link.ts';
import { linkContract } from '../../../contracts/link.ts';

export interface NamespaceOutcome {
  readonly name: string;
  readonly error?: string;
  readonly skipped?: string;
}

const WAIT_MS = 5_000;
const OUR_ADDRESS = 0x02_00_00_00_00_02;

function ip(command: string): string {
  const { status, stdout, stderr } = spawnSync('ip', command.split(' '), { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${command}: ${stderr}`);
  return stdout;
}

function report(outcome: NamespaceOutcome): void {
  console.log(JSON.stringify(outcome));
}

async function scenario(name: string, run: () => void | Promise<void>): Promise<void> {
  try {
    await run();
    report({ name });
  } catch (error) {
    report({ name, error: (error as Error).stack ?? String(error) });
  }
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  while (!condition()) {
    assert.ok(performance.now() < deadline, what);
    await nextRound();
  }
}

/** IPv6 sends packets by itself, on every interface that comes up. Some systems have no such file, and no IPv6. */
const withoutIpv6 = ['all', 'default'].map((which) => `/proc/sys/net/ipv6/conf/${which}/disable_ipv6`);
for (const file of withoutIpv6.filter(existsSync)) writeFileSync(file, '1');

/** A TAP device with an address at Linux's end. */
function tapWithAddress(name: string, address: string): Link {
  const link = openTap(name);
  ip(`addr add ${address} dev ${name}`);
  ip(`link set ${name} up`);
  return link;
}

/** What the kernel counts as received from the cable. */
function receivedBy(name: string): { packets: number; bytes: number } {
  const [interface_] = JSON.parse(ip(`-j -s link show ${name}`)) as [
    { stats64: { rx: { packets: number; bytes: number } } },
  ];
  const { packets, bytes } = interface_.stats64.rx;
  return { packets, bytes };
}

/** A reply to an ARP request. */
function arpReply(request: Buffer): Buffer {
  const reply = Buffer.from(request.subarray(0, 42));
  writeEthernetHeader(reply, 0, request.readUIntBE(6, 6), OUR_ADDRESS, ETHERTYPE_ARP);
  reply.writeUInt16BE(2, 20);
  reply.writeUIntBE(OUR_ADDRESS, 22, 6);
  request.copy(reply, 28, 38, 42); // our address is the one that was asked for
  request.copy(reply, 32, 22, 32); // the target is whoever asked
  return reply;
}

/** The reply to an ICMP echo request. Of the check sum only the type has changed, from 8 to 0 (RFC 1624). */
function echoReply(request: Buffer): Buffer {
  const reply = Buffer.from(request);
  writeEthernetHeader(reply, 0, request.readUIntBE(6, 6), OUR_ADDRESS, ETHERTYPE_IPV4);
  request.copy(reply, 26, 30, 34);
  request.copy(reply, 30, 26, 30);
  reply[34] = 0;
  const sum = request.readUInt16BE(36) + 0x0800;
  reply.writeUInt16BE((sum & 0xffff) + (sum >>> 16), 36);
  return reply;
}

await scenario(
  'ping of Linux: its ARP request and its echo arrive in turns of Node’s loop, and our replies reach it',
  async () => {
    const link = tapWithAddress('tap0', '10.9.0.1/24');
    const seen: string[] = [];
    const into = Buffer.alloc(2_000);
    const watch = link.watch(nodeHost, () => {
      for (let length = link.receive(into); length > 0; length = link.receive(into)) {
        const frame = decodeEthernet(into, 0, length);
        if (frame?.type === ETHERTYPE_ARP && frame.destination === BROADCAST_HARDWARE_ADDRESS) {
          seen.push('who-has');
          assert.equal(link.send(arpReply(into), 42), true);
        } else if (frame?.type === ETHERTYPE_IPV4 && frame.destination === OUR_ADDRESS) {
          seen.push('echo');
          assert.equal(link.send(echoReply(into.subarray(0, length)), length), true);
        }
      }
      return false;
    });
    const before = receivedBy('tap0');
    const ping = spawn('ping', ['-n', '-c', '2', '-i', '0.2', '-W', '4', '10.9.0.2'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    ping.stdout.on('data', (text: Buffer) => {
      output += text;
    });
    const [code] = (await once(ping, 'close')) as [number];
    const after = receivedBy('tap0');
    watch.close();
    link.close();
    assert.equal(code, 0, output);
    assert.match(output, /2 packets transmitted, 2 received, 0% packet loss/);
    assert.deepEqual(seen.slice(0, 3), ['who-has', 'echo', 'echo']);
    assert.ok(after.packets - before.packets >= 3, 'Linux counts our frames');
  },
);

await scenario('Linux counts a frame that we send, whatever is in it', () => {
  const link = tapWithAddress('tap0', '10.9.0.1/24');
  const frame = Buffer.alloc(100);
  writeEthernetHeader(frame, 0, BROADCAST_HARDWARE_ADDRESS, OUR_ADDRESS, 0x88b5);
  const before = receivedBy('tap0');
  assert.equal(link.send(frame, 100), true);
  const after = receivedBy('tap0');
  link.close();
  assert.deepEqual([after.packets - before.packets, after.bytes - before.bytes], [1, 100]);
});

await scenario('a frame that is larger than our MTU is dropped', async () => {
  const link = tapWithAddress('tap0', '10.9.0.1/24');
  ip('link set tap0 mtu 2000');
  ip('neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev tap0');
  const ping = (bytes: number) =>
    spawnSync('ping', ['-c', '1', '-W', '1', '-M', 'do', '-s', String(bytes), '10.9.0.2']);
  ping(1_473); // 28 bytes of headers in front: one byte too many
  ping(1_472);
  const into = Buffer.alloc(4_000);
  assert.equal(link.receive(into), 1_514);
  assert.equal(link.receive(into), 0);
  link.close();
});

await scenario('an interface that is down loses frames, and goes on when it is up', () => {
  const link = tapWithAddress('tap0', '10.9.0.1/24');
  const frame = Buffer.alloc(60);
  writeEthernetHeader(frame, 0, BROADCAST_HARDWARE_ADDRESS, OUR_ADDRESS, 0x88b5);
  ip('link set tap0 down');
  assert.equal(link.send(frame, 60), false);
  assert.equal(link.receive(Buffer.alloc(2_000)), 0);
  ip('link set tap0 up');
  assert.equal(link.send(frame, 60), true);
  link.close();
});

await scenario('a deleted interface: the watch has a turn, in which receive throws', async () => {
  const link = tapWithAddress('tap0', '10.9.0.1/24');
  let error: SystemError | null = null;
  const watch = link.watch(nodeHost, () => {
    try {
      link.receive(Buffer.alloc(2_000));
    } catch (thrown) {
      error = thrown as SystemError;
      watch.close();
    }
    return false;
  });
  ip('link delete tap0');
  await until(() => error !== null, 'the deletion is reported');
  assert.match(String(error), /read EBADFD: .* tap0 \(the interface was deleted\)$/);
  assert.equal(link.send(Buffer.alloc(60), 60), false);
  link.close();
});

await scenario(
  'a name that is in use: EBUSY; the name of another kind of interface: EINVAL; free again after close',
  () => {
    const link = openTap('tap0');
    assert.throws(() => openTap('tap0'), { code: 'EBUSY' });
    assert.throws(() => openTap('lo'), { code: 'EINVAL' });
    link.close();
    openTap('tap0').close();
    assert.throws(() => ip('link show tap0'), /does not exist/, 'the interface has gone with its descriptor');
  },
);

await scenario('an interface of `ip tuntap` stays, and can be joined', () => {
  ip('tuntap add tap7 mode tap');
  openTap('tap7').close();
  openTap('tap7').close();
  ip('link delete tap7');
});

async function pairBehindBridge(): Promise<[Link, Link]> {
  ip('link add br0 type bridge mcast_snooping 0');
  ip('link set br0 up');
  const names = ['tap1', 'tap2'];
  const ends = names.map((name) => openTap(name)) as [Link, Link];
  for (const name of names) ip(`link set ${name} master br0 up`);
  // The bridge gets to know a moment later that the cables are in.
  await until(
    () => names.every((name) => ip(`-d link show ${name}`).includes('state forwarding')),
    'the bridge forwards',
  );
  return ends;
}

for (const [name, run] of Object.entries(linkContract)) {
  try {
    const ends = await pairBehindBridge();
    await scenario(`${name} (TAP devices behind a bridge)`, () => run(ends));
    for (const end of ends) end.close();
    ip('link delete br0');
  } catch (error) {
    report({ name, skipped: `no bridge here: ${(error as Error).message}` });
  }
}

process.exit(); // a scenario that failed may have left a watch open
