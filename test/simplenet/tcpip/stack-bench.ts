/** Two stacks on a wire in simulated time, with short ways to connect them. */

import type { ConnectOptions, ListenerOptions, Stream, StreamHandler } from '../../../simplenet/loop/event-loop.ts';
import { decodeIpv4, PROTOCOL_TCP } from '../../../simplenet/tcpip/ip/ipv4-packet.ts';
import { decodeEthernet, ETHERTYPE_IPV4 } from '../../../simplenet/tcpip/link/ethernet-frame.ts';
import type { Link } from '../../../simplenet/tcpip/link/link.ts';
import { decodeSegment, type TcpSegment } from '../../../simplenet/tcpip/tcp/segment.ts';
import { Recorder } from '../../contracts/recorder.ts';
import type { StackWorld } from '../../contracts/stack-world.ts';

export interface Pair {
  readonly client: Stream;
  readonly clientSees: Recorder;
  readonly server: Stream;
  readonly serverSees: Recorder;
}

export interface PairSetup {
  readonly server?: Partial<StreamHandler>;
  readonly client?: Partial<StreamHandler>;
  readonly listen?: ListenerOptions;
  readonly connect?: ConnectOptions;
}

/** An open connection from the right stack to the left one. */
export async function connectPair(world: StackWorld, setup: PairSetup = {}): Promise<Pair> {
  const serverSees = new Recorder(setup.server);
  const clientSees = new Recorder(setup.client);
  let server: Stream | null = null;
  const listener = world.left.listen(
    world.anyAddress,
    (stream) => {
      server = stream;
      return serverSees;
    },
    setup.listen,
  );
  const client = world.right.connect(listener.address, clientSees, setup.connect);
  await world.until(() => server !== null && clientSees.opens > 0, 'the connection is open');
  listener.close();
  return { client, clientSees, server: server as unknown as Stream, serverSees };
}

/** Lets time pass in a world. */
export async function pass(world: StackWorld, ms: number): Promise<void> {
  let isOver = false;
  world.host.alarm(ms, () => {
    isOver = true;
  });
  await world.until(() => isOver, `${ms} ms have passed`);
}

/** The segment in a frame, or null. */
export function segmentIn(frame: Buffer): TcpSegment | null {
  const ethernet = decodeEthernet(frame, 0, frame.length);
  if (ethernet?.type !== ETHERTYPE_IPV4) return null;
  const packet = decodeIpv4(frame, ethernet.start, ethernet.end);
  return packet?.protocol === PROTOCOL_TCP ? decodeSegment(frame, packet.start, packet.end) : null;
}

/** A link whose `receive` throws from `lose` on. */
export function losableLink(link: Link): Link & { lose(error: Error): void } {
  let lost: Error | null = null;
  let wake = (): void => {};
  return {
    mtu: link.mtu,
    send: (frame, length) => lost === null && link.send(frame, length),
    receive(into) {
      if (lost !== null) throw lost;
      return link.receive(into);
    },
    watch(host, onReadable) {
      const watch = link.watch(host, onReadable);
      wake = () => watch.turnSoon();
      return watch;
    },
    close: () => link.close(),
    lose(error) {
      lost = error;
      wake();
    },
  };
}
