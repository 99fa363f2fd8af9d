/**
 * An experiment: a client and a server, each with a TCP/IP stack of its own, on a simulated wire and a virtual clock.
 *
 * Every choice has a seed, and the clock jumps from one event to the next. So an experiment takes milliseconds, and prints the same each time.
 * Before it begins, both stacks have learned the hardware address of the other, so that ARP delays nothing.
 */

import {
  createStack,
  createWire,
  FlowNumbers,
  type FrameFate,
  frameText,
  type Stack,
  type StackOptions,
  VirtualHost,
  type WireOptions,
} from '../../simplenet/index.ts';

export const CLIENT = '10.9.0.1';
export const SERVER = '10.9.0.2';

/** How long a frame is under way, so that a round trip takes 40 ms. */
const DELAY_MS = 20;

/** The port of the discard protocol, RFC 863. */
const DISCARD_PORT = 9;
/** Longer than a round trip, and until the stacks have announced themselves twice. */
const INTRODUCTION_MS = 5_000;

export interface ExperimentOptions extends WireOptions {
  /** Further options of the two stacks. */
  readonly client?: Partial<StackOptions>;
  readonly server?: Partial<StackOptions>;
  /** Begins with stacks that have just been made, and prints their ARP too. */
  readonly isFresh?: boolean;
  /** Prints no frames at all. */
  readonly isSilent?: boolean;
}

export interface Experiment {
  readonly host: VirtualHost;
  readonly client: Stack;
  readonly server: Stack;
  /** At the end of the process each stack resets the connections that it still has. */
  readonly stopPrinting: () => void;
}

/** A line of the trace without what is the same in each: addresses, ports, timestamps. */
function shorten(text: string): string {
  return text
    .replace(/^IP /, '')
    .replace(/10\.9\.0\.1(\.\d+)?/g, 'client')
    .replace(/10\.9\.0\.2(\.\d+)?/g, 'server')
    .replace(/^(\w+ > \w+): Flags /, '$1 ')
    .replace(/(nop,nop,)?TS val \d+ ecr \d+,?/, '')
    .replace(/, options \[\]/, '');
}

/** Prints a line for each frame. The first one is at 0 ms. */
function createPrinter(): (host: VirtualHost, frame: Buffer, fate: FrameFate) => void {
  const flows = new FlowNumbers();
  let startedAt: number | null = null;
  return (host, frame, fate) => {
    startedAt ??= host.now();
    const time = `${Math.round(host.now() - startedAt)}`.padStart(6);
    const text = shorten(frameText(frame, 0, frame.length, flows));
    console.log(`${time} ms  ${text}${fate === 'carried' ? '' : `  (${fate})`}`);
  };
}

/** Lets both stacks send to each other once. */
async function introduce(host: VirtualHost, client: Stack, server: Stack): Promise<void> {
  const echo = server.bindUdp(
    { address: SERVER, port: DISCARD_PORT },
    { onMessage: (port, bytes, from) => void port.send(bytes, from) },
  );
  const port = client.bindUdp({ address: CLIENT, port: DISCARD_PORT }, { onMessage: () => {} });
  port.send(Buffer.from('hello'), echo.address);
  await host.run(INTRODUCTION_MS);
  echo.close();
  port.close();
  await host.run(INTRODUCTION_MS + 1);
}

export async function createExperiment(options: ExperimentOptions = {}): Promise<Experiment> {
  const { client = {}, server = {}, isFresh = false, isSilent = false, ...wire } = options;
  const host = new VirtualHost();
  const print = createPrinter();
  let isShown = isFresh;
  const [left, right] = createWire({
    delayMs: DELAY_MS,
    ...wire,
    drop: (frame, index, from) => isShown && wire.drop?.(frame, index, from) === true,
    onFrame(frame, from, fate) {
      if (!isShown) return;
      if (!isSilent) print(host, frame, fate);
      wire.onFrame?.(frame, from, fate);
    },
  });
  const clientStack = createStack({ link: left, address: `${CLIENT}/24`, host, seed: 1, ...client });
  const serverStack = createStack({ link: right, address: `${SERVER}/24`, host, seed: 2, ...server });
  if (!isFresh) await introduce(host, clientStack, serverStack);
  isShown = true;
  const stopPrinting = () => {
    isShown = false;
  };
  return { host, client: clientStack, server: serverStack, stopPrinting };
}

/** Prints what happens above TCP, between the lines of the frames. */
export function say(text: string): void {
  console.log(`           ${text}`);
}
