/**
 * A crowd: three connections on the simulated kernel, for the tests of what leaves them in one turn.
 *
 * Next: send-batch.test.ts
 */

import type { Stream, StreamHandler } from '../../../simplenet/loop/event-loop.ts';
import type { LoopLimits } from '../../../simplenet/loop/loop-limits.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { Recorder } from '../../contracts/recorder.ts';
import { SimulatedWorld } from '../../contracts/simulated-world.ts';
import { noFaults } from '../../simulation/simulated-faults.ts';

export interface Connection {
  readonly stream: Stream;
  readonly recorder: Recorder;
  readonly peer: NetSocket;
}

/** Three connections on the simulated kernel. `reaction` is what each does with data. */
export async function crowd(
  reaction: Partial<StreamHandler>,
  limits: Partial<LoopLimits> = {},
): Promise<{ world: SimulatedWorld; connections: Connection[] }> {
  const world = new SimulatedWorld(1, noFaults, limits);
  const recorders: Recorder[] = [];
  const listener = world.loop.listen(world.anyAddress, (stream) => {
    const recorder = new Recorder(reaction);
    recorder.stream = stream;
    recorders.push(recorder);
    return recorder;
  });
  const connections: Connection[] = [];
  for (let i = 0; i < 3; i++) {
    const peer = NetSocket.connectTo(listener.address, { libc: world.kernel.peerLibc });
    await world.until(() => recorders.length === i + 1, 'it is accepted');
    const recorder = recorders[i] as Recorder;
    peer.setNonBlocking(true); // `arrived` reads until nothing is left
    connections.push({ stream: recorder.stream as Stream, recorder, peer });
  }
  await world.quiet();
  return { world, connections };
}

/** Every peer sends, and the loop takes its turn. */
export async function allSend(world: SimulatedWorld, connections: readonly Connection[]): Promise<void> {
  const before = connections.map(({ recorder }) => recorder.byteLength);
  for (const { peer } of connections) peer.writeAll(Buffer.from('?'));
  await world.until(() => connections.every(({ recorder }, i) => recorder.byteLength > (before[i] as number)), 'heard');
}

/** All that has arrived at the peer; `ends` whether its end has come, too. */
export function arrived(peer: NetSocket): { text: string; ends: boolean } {
  const buffer = Buffer.alloc(200_000);
  let text = '';
  for (;;) {
    const length = peer.tryRead(buffer, 0, buffer.length);
    if (length <= 0) return { text, ends: length === 0 };
    text += buffer.toString('latin1', 0, length);
  }
}

export async function end(world: SimulatedWorld, connections: readonly Connection[]): Promise<string[]> {
  for (const { peer } of connections) peer.close();
  await world.until(() => connections.every(({ recorder }) => recorder.isClosed), 'all end');
  await world.close();
  return connections.flatMap(({ recorder }) => recorder.complaints);
}

/** Replaces send(2), and returns a function that restores it. */
export function refusing(world: SimulatedWorld, result: number): () => void {
  const { libc } = world.kernel;
  const { send } = libc;
  libc.send = () => result;
  return () => {
    libc.send = send;
  };
}
