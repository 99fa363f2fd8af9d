/**
 * LoopOptions: the socket options of a socket on an event loop.
 *
 * An event loop takes its options when it opens something, so they can be set before bind(2) or connect(2), and not after that. An option that
 * the loop does not have is refused: a program must not believe in a limit that nothing keeps.
 *
 * SO_LINGER is the exception. It says what close(2) does, so the socket itself keeps it, and it can be set at any time.
 */

import { abi, type SocketOptions } from '../../simplenet/index.ts';

const { EINVAL, ENOPROTOOPT, EOPNOTSUPP, IPPROTO_TCP, SOL_SOCKET } = abi;

const INT_SIZE = 4;
const LINGER_SIZE = 8;

/** The options that a loop may have. A number is a size or a time, and has no value until it is set. */
const rows = {
  reuseAddress: { level: SOL_SOCKET, option: abi.SO_REUSEADDR, isFlag: true },
  reusePort: { level: SOL_SOCKET, option: abi.SO_REUSEPORT, isFlag: true },
  broadcast: { level: SOL_SOCKET, option: abi.SO_BROADCAST, isFlag: true },
  keepAlive: { level: SOL_SOCKET, option: abi.SO_KEEPALIVE, isFlag: true },
  sendBufferBytes: { level: SOL_SOCKET, option: abi.SO_SNDBUF, isFlag: false },
  receiveBufferBytes: { level: SOL_SOCKET, option: abi.SO_RCVBUF, isFlag: false },
  noDelay: { level: IPPROTO_TCP, option: abi.TCP_NODELAY, isFlag: true },
  userTimeoutMs: { level: IPPROTO_TCP, option: abi.TCP_USER_TIMEOUT, isFlag: false },
} as const satisfies { readonly [name in keyof SocketOptions]: object };

export type LoopOptionName = keyof typeof rows;

export const ALL_LOOP_OPTIONS = Object.keys(rows) as LoopOptionName[];

export function isOfTcp(name: LoopOptionName): boolean {
  return rows[name].level === IPPROTO_TCP;
}

function nameOf(level: number, option: number): LoopOptionName | undefined {
  return ALL_LOOP_OPTIONS.find((name) => rows[name].level === level && rows[name].option === option);
}

export class LoopOptions {
  /** Bytes that are not sent yet are dropped at close(2), and the peer gets RST. */
  resetsAtClose = false;
  readonly #supported: readonly LoopOptionName[];
  readonly #values: Map<LoopOptionName, number>;

  constructor(supported: readonly LoopOptionName[], values: ReadonlyMap<LoopOptionName, number> = new Map()) {
    this.#supported = supported;
    this.#values = new Map(values);
  }

  /** The options of a connection that a listener with these has accepted. */
  inherited(): LoopOptions {
    const options = new LoopOptions(this.#supported, this.#values);
    options.resetsAtClose = this.resetsAtClose;
    return options;
  }

  /** As the methods of a loop take them. */
  asSocketOptions(): SocketOptions {
    const entries = [...this.#values].map(([name, value]) => [name, rows[name].isFlag ? value !== 0 : value]);
    return Object.fromEntries(entries);
  }

  /** setsockopt(2). `isOpen`: the loop has the socket already, so nothing can change. The value that is set may be set once more. */
  set(level: number, option: number, bytes: Buffer, isOpen: boolean): number {
    if (level === SOL_SOCKET && option === abi.SO_LINGER) return this.#setLinger(bytes);
    const name = nameOf(level, option);
    if (name === undefined || !this.#supported.includes(name)) return -ENOPROTOOPT;
    if (bytes.length < INT_SIZE) return -EINVAL;
    const value = rows[name].isFlag ? Number(bytes.readInt32LE(0) !== 0) : bytes.readInt32LE(0);
    if (value === this.#values.get(name) || (rows[name].isFlag && value === this.#get(name))) return 0;
    if (isOpen) return -EOPNOTSUPP;
    this.#values.set(name, value);
    return 0;
  }

  /** getsockopt(2) of an option of the loop, or of SO_LINGER. Null: it is another option, or the loop has a value of its own. */
  get(level: number, option: number): Buffer | null {
    if (level === SOL_SOCKET && option === abi.SO_LINGER) {
      const linger = Buffer.alloc(LINGER_SIZE);
      linger.writeInt32LE(Number(this.resetsAtClose), 0);
      return linger;
    }
    const name = nameOf(level, option);
    const value = name === undefined ? undefined : this.#get(name);
    return value === undefined ? null : intBytes(value);
  }

  #get(name: LoopOptionName): number | undefined {
    return this.#values.get(name) ?? (rows[name].isFlag && this.#supported.includes(name) ? 0 : undefined);
  }

  /** struct linger { int on @0; int seconds @4; }. close(2) cannot wait here, so only the time 0 is possible. */
  #setLinger(bytes: Buffer): number {
    if (bytes.length < LINGER_SIZE) return -EINVAL;
    const isOn = bytes.readInt32LE(0) !== 0;
    if (isOn && bytes.readInt32LE(4) !== 0) return -EOPNOTSUPP;
    this.resetsAtClose = isOn;
    return 0;
  }
}

export function intBytes(value: number): Buffer {
  const bytes = Buffer.alloc(INT_SIZE);
  bytes.writeInt32LE(value, 0);
  return bytes;
}
