/**
 * Machine: one connection and a peer that is played by the test, segment by segment. All numbers are relative: our SYN has number 0, and
 * so has that of the peer.
 */

import type { CongestionFactory } from '../../../../simplenet/tcpip/tcp/congestion.ts';
import { BufferBudget } from '../../../../simplenet/tcpip/tcp/growing-buffer.ts';
import {
  ACK,
  decodeSegment,
  encodeSegmentHead,
  FIN,
  noOptions,
  PSH,
  RST,
  SYN,
  type TcpOptions,
  type TcpSegment,
  URG,
} from '../../../../simplenet/tcpip/tcp/segment.ts';
import { TcpConnection } from '../../../../simplenet/tcpip/tcp/tcp-connection.ts';
import { defaultTcpLimits, type TcpLimits } from '../../../../simplenet/tcpip/tcp/tcp-limits.ts';
import type { OutgoingSegment, TcpSetup } from '../../../../simplenet/tcpip/tcp/tcp-setup.ts';
import { nameOfState } from '../../../../simplenet/tcpip/tcp/tcp-states.ts';
import { FixedWindow } from './fixed-window.ts';

/** Both streams pass the end of the numbers soon. */
const OURS = 2 ** 32 - 100;
const THEIRS = 2 ** 32 - 50;
const START = 1_000;
/** What the peer offers unless the test says otherwise. */
export const WINDOW = 10_000;

export interface Peer {
  readonly seq?: number;
  readonly ack?: number;
  readonly text?: string | Buffer;
  readonly window?: number;
  readonly options?: Partial<TcpOptions>;
}

export interface MachineOptions {
  readonly limits?: Partial<TcpLimits>;
  readonly congestion?: CongestionFactory;
  readonly setup?: Partial<TcpSetup>;
  /** The options in the peer's SYN. */
  readonly options?: Partial<TcpOptions>;
}

export const letters: Readonly<Record<string, number>> = { F: FIN, S: SYN, R: RST, P: PSH, A: ACK, U: URG };

function flagsOf(text: string): number {
  return [...text].reduce((flags, letter) => flags | (letters[letter] as number), 0);
}

export class Machine {
  now = START;
  readonly connection: TcpConnection;
  /** Segments sent since `sent` was read last. */
  outgoing: TcpSegment[] = [];
  /** What `emit` returns. */
  result = 0;
  readonly #options: MachineOptions;

  constructor(isActive: boolean, options: MachineOptions = {}) {
    this.#options = options;
    this.connection = new TcpConnection({
      isActive,
      initialSequence: OURS,
      maxSegmentBytes: 1000,
      sendBufferBytes: 20_000,
      maxSendBufferBytes: 0,
      receiveBufferBytes: 8_000,
      maxReceiveBufferBytes: 0,
      bufferBudget: new BufferBudget(0),
      limits: { ...defaultTcpLimits, ...options.limits },
      congestion: options.congestion ?? ((bytes) => new FixedWindow(bytes)),
      timestampOffset: 0,
      ...options.setup,
    });
  }

  get state(): string {
    return nameOfState(this.connection.state);
  }

  /** The peer sends a segment, whose flags are letters of FSRPAU. */
  receive(flags: string, { seq = 0, ack = 0, text = '', window = WINDOW, options = {} }: Peer = {}): this {
    const bytes = Buffer.from(text);
    this.connection.receive(
      {
        sourcePort: 1,
        destinationPort: 2,
        sequence: (THEIRS + seq) >>> 0,
        acknowledgment: flags.includes('A') ? (OURS + ack) >>> 0 : 0,
        flags: flagsOf(flags),
        window,
        urgent: 0,
        options: { ...noOptions, ...options },
        bytes,
        start: 0,
        end: bytes.length,
      },
      this.now,
    );
    return this;
  }

  /** Lets it send what it may. */
  flush(): this {
    this.connection.transmit(this.now, (segment) => this.#emit(segment));
    return this;
  }

  /** Lets time pass, and each deadline in its moment. */
  pass(ms: number): this {
    const end = this.now + ms;
    while (this.connection.deadlineAt <= end) {
      this.now = Math.max(this.now, this.connection.deadlineAt);
      this.connection.onDeadline(this.now);
      this.flush();
    }
    this.now = end;
    return this;
  }

  write(text: string | Buffer): this {
    const bytes = Buffer.from(text);
    this.connection.write(bytes, 0, bytes.length, false);
    return this;
  }

  /** All that is readable, consumed. */
  read(): string {
    let text = '';
    for (let bytes = this.connection.readable; bytes !== null; bytes = this.connection.readable) {
      text += bytes.toString('latin1');
      this.connection.consume(bytes.length);
    }
    return text;
  }

  /** What was sent since the last call, one text for each segment: flags, numbers, and the text if there is one. */
  sent(): string[] {
    this.flush();
    const texts = this.outgoing.map((segment) => this.describe(segment));
    this.outgoing = [];
    return texts;
  }

  describe(segment: TcpSegment): string {
    const flags = Object.keys(letters).filter((letter) => (segment.flags & (letters[letter] as number)) !== 0);
    const sequence = (segment.sequence - OURS) | 0;
    const acknowledgment = (segment.flags & ACK) === 0 ? '' : ` ack ${(segment.acknowledgment - THEIRS) | 0}`;
    const length = segment.end - segment.start;
    return `${flags.join('')} ${sequence}${acknowledgment}${length === 0 ? '' : ` +${length}`}`;
  }

  #emit(segment: OutgoingSegment): number {
    if (this.result !== 0) return this.result;
    const bytes = Buffer.alloc(60 + segment.length);
    const { sequence, acknowledgment, flags, window, urgent, options } = segment;
    const head = { sourcePort: 2, destinationPort: 1, sequence, acknowledgment, flags, window, urgent, options };
    const start = encodeSegmentHead(bytes, 0, head);
    if (!segment.copyPayload(bytes, start)) return -14;
    this.outgoing.push(decodeSegment(bytes, 0, start + segment.length) as TcpSegment);
    return 0;
  }

  /** The options of the peer's SYN. */
  get peerOptions(): Partial<TcpOptions> {
    return this.#options.options ?? { mss: 1000 };
  }
}

/** A machine in the state, with everything sent so far forgotten. Our next number is 1, or 2 after FIN; so is that of the peer. */
export function machineIn(state: string, options: MachineOptions = {}): Machine {
  const machine = new Machine(state === 'SYN_SENT', options);
  if (state !== 'CLOSED') ways[state]?.(machine);
  machine.sent();
  return machine;
}

const ways: Readonly<Record<string, (machine: Machine) => void>> = {
  LISTEN: (machine) => machine.connection.open(machine.now),
  SYN_SENT: (machine) => machine.connection.open(machine.now),
  SYN_RECEIVED: (machine) => {
    machine.connection.open(machine.now);
    machine.receive('S', { options: machine.peerOptions }).flush();
  },
  ESTABLISHED: (machine) => {
    ways.SYN_RECEIVED?.(machine);
    const { timestampValue = -1 } = machine.peerOptions;
    const options = timestampValue < 0 ? {} : { timestampValue, timestampEcho: machine.now };
    machine.receive('A', { seq: 1, ack: 1, options }).flush();
  },
  FIN_WAIT_1: (machine) => {
    ways.ESTABLISHED?.(machine);
    machine.connection.close(machine.now);
    machine.flush();
  },
  FIN_WAIT_2: (machine) => {
    ways.FIN_WAIT_1?.(machine);
    machine.receive('A', { seq: 1, ack: 2 }).flush();
  },
  CLOSE_WAIT: (machine) => {
    ways.ESTABLISHED?.(machine);
    machine.receive('FA', { seq: 1, ack: 1 }).flush();
  },
  CLOSING: (machine) => {
    ways.FIN_WAIT_1?.(machine);
    machine.receive('FA', { seq: 1, ack: 1 }).flush();
  },
  LAST_ACK: (machine) => {
    ways.CLOSE_WAIT?.(machine);
    machine.connection.close(machine.now);
    machine.flush();
  },
  TIME_WAIT: (machine) => {
    ways.FIN_WAIT_2?.(machine);
    machine.receive('FA', { seq: 1, ack: 2 }).flush();
  },
};

export const allStates = [
  'CLOSED',
  'LISTEN',
  'SYN_SENT',
  ...Object.keys(ways).filter((state) => !/LISTEN|SYN_SENT/.test(state)),
];
