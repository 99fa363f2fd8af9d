/**
 * A chat room: what one guest says, all others read. Each of them comes in with `nc -N 127.0.0.1 8080`.
 *
 * A server that sends to many clients can wait for the slowest, or keep unsent bytes in memory without a limit. A chat must do neither.
 * So a guest whose queue exceeds `MAX_QUEUED_BYTES` is dropped, and the others read that it has left. Lines, names, the number of
 * guests and the time to choose a name are limited as well.
 */

import { createEventLoop, formatSocketAddress, type Stream, type StreamHandler } from '../simplenet/index.ts';
import { portFrom } from './support/port.ts';

const MAX_QUEUED_BYTES = 64 * 1024;
const MAX_LINE_BYTES = 1024;
const MAX_GUESTS = 1000;
const NAMING_MS = 60_000;
const PARTING_MS = 5_000;

const NEWLINE = 0x0a;
const NAME = /^[\p{Letter}\p{Number}_-]{1,16}$/u;

/** Control characters in a line could move the cursor in the terminals of other guests, or do worse. */
const CONTROLS = /\p{Control}/gu;

class Room {
  readonly #guests = new Map<string, Guest>();
  /** Guests with and without a name. */
  count = 0;

  has(name: string): boolean {
    return this.#guests.has(name);
  }

  get names(): string {
    return [...this.#guests.keys()].join(', ') || 'nobody';
  }

  enter(name: string, guest: Guest): void {
    this.tell(`* ${name} has come`);
    this.#guests.set(name, guest);
  }

  leave(name: string, why: string): void {
    this.#guests.delete(name);
    this.tell(`* ${name} has left: ${why}`);
  }

  tell(line: string, except?: Guest): void {
    // A copy, because a guest that reads too slowly is removed meanwhile.
    for (const guest of [...this.#guests.values()]) if (guest !== except) guest.read(line);
  }
}

class Guest implements StreamHandler {
  readonly #room: Room;
  readonly #stream: Stream;
  #name: string | null = null;
  /** The beginning of a line whose end has not come yet. */
  #begun = Buffer.alloc(0);

  constructor(room: Room, stream: Stream) {
    this.#room = room;
    this.#stream = stream;
    room.count++;
    stream.setDeadline(NAMING_MS);
    this.read(`Here are: ${room.names}. Who are you?`);
  }

  /** Gives the guest a line to read. */
  read(line: string): void {
    if (this.#stream.isEnded) return;
    this.#stream.write(Buffer.from(`${line}\n`));
    if (this.#stream.queuedBytes <= MAX_QUEUED_BYTES) return;
    this.#stream.abort();
    this.#leave('reads too slowly');
  }

  onData(_stream: Stream, bytes: Buffer): void {
    if (this.#stream.isEnded) return;
    let rest = Buffer.concat([this.#begun, bytes]);
    for (let end = rest.indexOf(NEWLINE); end !== -1 && !this.#stream.isEnded; end = rest.indexOf(NEWLINE)) {
      if (end > MAX_LINE_BYTES) break;
      this.#said(rest.toString('utf8', 0, end).replace(CONTROLS, ''));
      rest = rest.subarray(end + 1);
    }
    this.#begun = rest;
    if (rest.length > MAX_LINE_BYTES) this.#part(`A line has at most ${MAX_LINE_BYTES} bytes.`, 'talks too long');
  }

  onEnd(): void {
    this.#part('Good bye.', 'end of input');
  }

  onClose(): void {
    this.#room.count--;
    this.#leave('connection lost');
  }

  #said(line: string): void {
    if (line === '/quit') this.#part('Good bye.', '/quit');
    else if (this.#name === null) this.#introduce(line);
    else if (line !== '') this.#room.tell(`${this.#name}: ${line}`, this);
  }

  #introduce(name: string): void {
    if (!NAME.test(name) || this.#room.has(name)) {
      this.read('That is no name, or not yours. Up to 16 letters and digits: who are you?');
      return;
    }
    this.#stream.setDeadline(Number.POSITIVE_INFINITY);
    this.#name = name;
    this.#room.enter(name, this);
    this.read(`Welcome, ${name}. /quit leaves.`);
  }

  /** Ends the stream. The guest still gets what was written, if it takes it within `PARTING_MS`. */
  #part(words: string, why: string): void {
    if (this.#stream.isEnded) return;
    this.read(words);
    this.#stream.end();
    this.#stream.setDeadline(PARTING_MS);
    this.#leave(why);
  }

  #leave(why: string): void {
    const name = this.#name;
    this.#name = null; // another guest may have the name from now on
    if (name !== null) this.#room.leave(name, why);
  }
}

const loop = createEventLoop();
const room = new Room();
const listener = loop.listen({ address: '127.0.0.1', port: portFrom(process.argv[2] ?? '8080') }, (stream) => {
  if (room.count < MAX_GUESTS) return new Guest(room, stream);
  stream.write(Buffer.from('The room is full.\n'));
  stream.end();
  stream.setDeadline(PARTING_MS);
  return { onData: () => {} };
});
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => loop.close());
console.log(`chatting on ${formatSocketAddress(listener.address)}`);
