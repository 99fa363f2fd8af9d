/**
 * Internet counters: what became of frames and packets, and why some were dropped.
 *
 * Next: internet-layer.ts
 */

export interface InternetCounters {
  /** Frames from the link, and packets for us in them. */
  receivedFrames: number;
  receivedPackets: number;
  /** Packets of ours, whether they are already on the link or wait for ARP. */
  sentPackets: number;
  /** A length, a checksum or a field is wrong; also a source route. */
  malformed: number;
  /** For another host, or for a protocol of Ethernet that we do not speak. */
  notForUs: number;
  /** From an address that no other host can have: our own (LAND), a broadcast, a loopback address. */
  martians: number;
  /** To everyone, and of a kind that only one host may answer: an echo (smurf), a segment of TCP. */
  broadcastsIgnored: number;
  /** Fragments refused, and packets given up because others needed their room or because fragments were missing. */
  fragmentsRefused: number;
  reassemblyTimeouts: number;
  /** ICMP messages without meaning for us, and errors that do not quote a packet of ours. */
  icmpIgnored: number;
  icmpErrorsSent: number;
  /** Errors not sent: too many, or about a packet that must not be answered. */
  icmpErrorsSuppressed: number;
  /** Another host uses our address. */
  addressConflicts: number;
  /** Packets that waited for ARP and had to make room. */
  queueOverflows: number;
  /** The link had no room for a frame. */
  linkOverflows: number;
}

export function newInternetCounters(): InternetCounters {
  return {
    receivedFrames: 0,
    receivedPackets: 0,
    sentPackets: 0,
    malformed: 0,
    notForUs: 0,
    martians: 0,
    broadcastsIgnored: 0,
    fragmentsRefused: 0,
    reassemblyTimeouts: 0,
    icmpIgnored: 0,
    icmpErrorsSent: 0,
    icmpErrorsSuppressed: 0,
    addressConflicts: 0,
    queueOverflows: 0,
    linkOverflows: 0,
  };
}
