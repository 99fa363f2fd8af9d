/**
 * A frame as it is on the wire: the bytes of the first segment of a connection, layer by layer.
 *
 * The offsets are those of RFC 826 (the type), 791 (IPv4) and 9293 (TCP). The frame comes from a stack that connects to another one.
 */

import { createExperiment, SERVER } from '../support/experiment.ts';

/** Where each part of the frame begins, if IPv4 has no options. */
const parts: readonly (readonly [name: string, length: number])[] = [
  ['Ethernet: to', 6],
  ['Ethernet: from', 6],
  ['Ethernet: type, IPv4', 2],
  ['IPv4: version, header words, class', 2],
  ['IPv4: total length', 2],
  ['IPv4: identification, fragment', 4],
  ['IPv4: time to live, protocol TCP', 2],
  ['IPv4: header checksum', 2],
  ['IPv4: source', 4],
  ['IPv4: destination', 4],
  ['TCP: source port', 2],
  ['TCP: destination port', 2],
  ['TCP: sequence number', 4],
  ['TCP: acknowledgment', 4],
  ['TCP: header words, flags', 2],
  ['TCP: window', 2],
  ['TCP: checksum', 2],
  ['TCP: urgent pointer', 2],
  ['TCP: option MSS', 4],
  ['TCP: the other options', Number.POSITIVE_INFINITY],
];

function printParts(frame: Buffer): void {
  let at = 0;
  for (const [name, length] of parts) {
    const end = Math.min(at + length, frame.length);
    const bytes = frame
      .subarray(at, end)
      .toString('hex')
      .replace(/..(?=.)/g, '$& ');
    console.log(`${String(at).padStart(3)}  ${name.padEnd(36)}${bytes}`);
    at = end;
  }
}

let isPrinted = false;
const { host, client, server } = await createExperiment({
  isSilent: true,
  onFrame(frame) {
    if (isPrinted) return;
    isPrinted = true;
    printParts(frame);
  },
});
server.listen({ address: SERVER, port: 80 }, () => ({ onData: () => {} }));
client.connect({ address: SERVER, port: 80 }, { onData: () => {} }).end();
await host.run();
