/**
 * Chaos: connections that send, stop, pause and close at random, on a kernel that cuts, interrupts, refuses and resets. No single
 * operation has to succeed. What must hold all the same:
 *
 * - Every stream gets onClose exactly once, and no callback afterwards.
 * - The received bytes are a prefix of the sent bytes: no byte is lost, doubled or out of order before the break.
 * - If both sides ended without an error, all bytes have arrived.
 * - In the end no descriptor is left, and none was ever used after it was closed.
 */

import assert from 'node:assert/strict';
import type { Stream, StreamHandler } from '../../simplenet/loop/event-loop.ts';
import { Random } from '../simulation/random.ts';
import { noFaults } from '../simulation/simulated-faults.ts';
import { Recorder } from './recorder.ts';
import type { SimulatedWorld } from './simulated-world.ts';

const CLIENTS = 12;
const MAX_BYTES = 30_000;
const PATIENCE_MS = 60_000;

/** One side of a connection: the bytes that it sends, and how many are sent. */
class Talker {
  readonly recorder: Recorder;
  readonly speech: Buffer;
  said = 0;
  hasLeft = false;
  readonly #random: Random;

  constructor(random: Random, salt: number) {
    this.#random = random;
    this.speech = Buffer.alloc(random.below(MAX_BYTES), salt);
    for (let i = 0; i < this.speech.length; i++) this.speech[i] = (i * 7 + salt) & 0xff;
    const reaction: Partial<StreamHandler> = {
      onOpen: (stream) => this.#talk(stream),
      onData: (stream) => this.#listen(stream),
      onDrain: (stream) => this.#talk(stream),
      onEnd: (stream) => this.#talk(stream),
      onTimeout: (stream) => stream.abort(),
    };
    this.recorder = new Recorder(reaction);
  }

  /** Something that a program may do between turns. */
  act(): void {
    const { stream } = this.recorder;
    if (stream === null || this.recorder.isClosed) return;
    this.recorder.calling(() => {
      stream.resume();
      this.#talk(stream);
    });
  }

  #listen(stream: Stream): void {
    if (this.#random.chance(0.1)) stream.pause();
    if (this.#random.chance(0.02)) this.#leave(stream);
    else this.#talk(stream);
  }

  #talk(stream: Stream): void {
    while (!stream.isEnded && stream.queuedBytes === 0 && this.said < this.speech.length) {
      const length = Math.min(1 + this.#random.below(5_000), this.speech.length - this.said);
      const piece = this.speech.subarray(this.said, this.said + length);
      this.said += length;
      if (this.#random.chance(0.5)) stream.write(Buffer.from(piece));
      else stream.writeOwned(piece);
      if (this.#random.chance(0.3)) return;
    }
    if (this.said === this.speech.length && !stream.isEnded) stream.end();
  }

  #leave(stream: Stream): void {
    this.hasLeft = true;
    if (this.#random.chance(0.5)) stream.close();
    else stream.abort();
  }
}

function checkSpeech(speaker: Talker, hearer: Recorder): void {
  const heard = hearer.received;
  assert.ok(
    heard.equals(speaker.speech.subarray(0, heard.length)),
    'the received bytes are a prefix of the sent bytes',
  );
  const wasFine = [speaker.recorder, hearer].every((side) => side.error === null && side.timeouts === 0);
  if (hearer.ends === 1 && wasFine && !speaker.hasLeft)
    assert.equal(heard.length, speaker.speech.length, 'all arrived');
}

export async function chaos(world: SimulatedWorld, seed: number): Promise<void> {
  const random = new Random(seed ^ 0x5eed);
  const { faults } = world.kernel;
  world.kernel.faults = { ...noFaults }; // a server that cannot even start is another test
  const servers = new Map<number, Talker>();
  const listener = world.loop.listen(world.anyAddress, (stream) => {
    const talker = new Talker(random, 100 + servers.size);
    talker.recorder.stream = stream;
    const { remoteAddress } = stream;
    assert.ok('port' in remoteAddress);
    servers.set(remoteAddress.port, talker);
    stream.setDeadline(PATIENCE_MS);
    return talker.recorder;
  });
  world.kernel.faults = faults;
  const clients: Talker[] = [];
  const ports = new Map<Talker, number>();
  for (let i = 0; i < CLIENTS; i++) {
    const talker = new Talker(random, i);
    try {
      const stream = world.loop.connect(listener.address, talker.recorder);
      talker.recorder.stream = stream;
      clients.push(talker);
    } catch (error) {
      // No descriptor or no memory: connect throws at once, and leaves nothing open.
      assert.match(String((error as { code?: string }).code), /EMFILE|ENOBUFS/);
      continue;
    }
    for (let steps = random.below(20); steps > 0; steps--) world.host.step();
    const { stream } = talker.recorder;
    if (stream !== null && !talker.recorder.isClosed && talker.recorder.opens > 0) {
      const { localAddress } = stream;
      if ('port' in localAddress) ports.set(talker, localAddress.port);
    }
  }
  const isOver = () => [...clients, ...servers.values()].every((talker) => talker.recorder.isClosed);
  for (let round = 0; round < 2_000 && !isOver(); round++) {
    for (let steps = random.below(30); steps > 0; steps--) world.host.step();
    for (const talker of [...clients, ...servers.values()]) if (random.chance(0.5)) talker.act();
  }
  // Peace: what has not ended by now ends by its deadline.
  world.kernel.faults = { ...noFaults };
  for (const talker of clients) if (!talker.recorder.isClosed) talker.recorder.stream?.setDeadline(PATIENCE_MS);
  await world.until(isOver, 'all ends');
  listener.close();
  await world.quiet();
  for (const talker of [...clients, ...servers.values()]) {
    assert.deepEqual(talker.recorder.complaints, []);
    assert.equal(talker.recorder.closes, 1);
  }
  for (const client of clients) {
    const server = servers.get(ports.get(client) ?? -1);
    if (server === undefined) continue;
    checkSpeech(client, server.recorder);
    checkSpeech(server, client.recorder);
  }
  assert.equal(world.loop.openCount, 0);
}
