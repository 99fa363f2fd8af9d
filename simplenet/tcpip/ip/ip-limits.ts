/**
 * The limits of ARP, IP and ICMP. Their defaults suit a server on a network of a few hundred hosts.
 *
 * Next: arp-cache.ts
 */

export interface IpLimits {
  /** How many neighbours the ARP cache knows. */
  readonly arpEntries: number;
  /** How many packets wait for the hardware address of one neighbour. RFC 1122 section 2.3.2.2 asks for at least one, the latest. */
  readonly arpQueuedPackets: number;
  /** How many bytes wait for the hardware addresses of all neighbours. */
  readonly arpQueuedBytes: number;
  /** How often a neighbour is asked before it counts as unreachable, and how long each answer may take (RFC 1122 section 2.3.2.1: 1 s). */
  readonly arpRequests: number;
  readonly arpRetryMs: number;
  /** How long an answer is believed. After that the neighbour is asked again, by its next use. */
  readonly arpReachableMs: number;
  /** How long `send` returns EHOSTUNREACH after a neighbour has not answered. */
  readonly arpFailedMs: number;
  /** How many packets are put together at a time, and what their fragments may occupy. The oldest packet makes room. */
  readonly reassemblyPackets: number;
  readonly reassemblyBytes: number;
  /** How many fragments one packet may have: 65,535 bytes over the smallest path MTU that we believe (552) make 124. */
  readonly reassemblyFragments: number;
  readonly reassemblyMs: number;
  /** How many ICMP errors are sent per second, and at once after a pause. */
  readonly icmpErrorsPerSecond: number;
  readonly icmpErrorBurst: number;
  /** How many destinations have a path MTU of their own, and how long it is believed (RFC 1191 section 6.3: 10 minutes). */
  readonly pathMtuEntries: number;
  readonly pathMtuMs: number;
}

export const defaultIpLimits: IpLimits = {
  arpEntries: 512,
  arpQueuedPackets: 16,
  arpQueuedBytes: 262_144,
  arpRequests: 3,
  arpRetryMs: 1_000,
  arpReachableMs: 60_000,
  arpFailedMs: 3_000,
  reassemblyPackets: 64,
  reassemblyBytes: 1_048_576,
  reassemblyFragments: 128,
  reassemblyMs: 30_000,
  icmpErrorsPerSecond: 100,
  icmpErrorBurst: 50,
  pathMtuEntries: 256,
  pathMtuMs: 600_000,
};
