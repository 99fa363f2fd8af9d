/**
 * Byte order: the number 0x0A0B in the memory of this machine, on the wire, and what comes of mixing them up.
 *
 * A number of two bytes can be stored with its low byte first (little-endian, as x64 and arm64 do) or with its high byte
 * first (big-endian). Two machines must use the same order on the wire: the protocols of the Internet send the high byte first. C
 * programs convert numbers with htons(3) and its relatives. JavaScript programs rarely need to: writeUInt16BE names the order.
 */

import { encodeSocketAddress, htonl, htons, ntohs, UdpSocket } from '../simplenet/index.ts';

const PATIENCE_MS = 1000;

/** A typed array stores its numbers in the byte order of the machine. */
const memoryOf = (numbers: Uint16Array | Uint32Array) => Buffer.from(numbers.buffer);
const hex = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
const show = (what: string, result: string) => console.log(`${what.padEnd(40)} ${result}`);

const socket = UdpSocket.bindTo({ address: '127.0.0.1', port: 0 });

/** Sends bytes to our own socket and returns what arrives. The network transports bytes, and does not convert numbers. */
function overTheWire(bytes: Uint8Array): Buffer {
  socket.sendTo(bytes, socket.localAddress);
  if (!socket.wait('readable', PATIENCE_MS)) throw new Error('the datagram is lost');
  return socket.receive().bytes;
}

const number = 0x0a0b;
show('0x0a0b in memory', hex(memoryOf(new Uint16Array([number]))));
show('htons(0x0a0b) in memory', hex(memoryOf(new Uint16Array([htons(number)]))));
show('htonl(0x0a0b0c0d) in memory', hex(memoryOf(new Uint32Array([htonl(0x0a0b0c0d)]))));

const port = encodeSocketAddress({ address: '127.0.0.1', port: number });
show('sockaddr_in of 127.0.0.1, port 0x0a0b', hex(port.subarray(0, 8))); // family as in memory, port as on the wire

const sent = overTheWire(memoryOf(new Uint16Array([htons(number)])));
const [received] = new Uint16Array(new Uint8Array(sent).buffer) as unknown as [number];
show('sent with htons, on the wire', hex(sent));
show('received with ntohs', `0x${ntohs(received).toString(16).padStart(4, '0')}`);

const unturned = overTheWire(memoryOf(new Uint16Array([256])));
show('256 sent without htons, on the wire', hex(unturned));
show('received with ntohs', String(unturned.readUInt16BE())); // readUInt16BE is ntohs at an offset of a Buffer
socket.close();
