/**
 * A conversation of TLS as a script of bytes, so that the fuzzer can change, cut and replay it. Encrypted records cannot be written down: their keys are others each time. So the bytes say what a client
 * does after a true handshake: which records it sends, what happens to them on the way, and what the program of the server does meanwhile.
 *
 * Whatever it is, the program gets a beginning of what the client has sent, and nothing else; it gets all of it if nobody has touched the records; the end comes once; and all memory of
 * OpenSSL is given back.
 */

import { ECONNRESET } from '../../simplenet/kernel/abi.ts';
import { SystemError } from '../../simplenet/kernel/system-error.ts';
import { acceptTls } from '../../simplenet/layers/accept-tls.ts';
import { openHandles } from '../../simplenet/layers/openssl-handles.ts';
import { createTlsContext } from '../../simplenet/layers/tls-context.ts';
import type { SecureStream } from '../../simplenet/layers/tls-options.ts';
import type { StreamHandler } from '../../simplenet/loop/event-loop.ts';
import { MemoryClient, MemoryStream } from '../simplenet/layers/memory-stream.ts';
import { ecdsa } from '../support/certificates.ts';

/** The first byte of a script. No record of TLS begins with it. */
export const SCRIPT = 0;

const STEP_BYTES = 3;
const MAX_STEPS = 24;
/** The bytes of a client: each follows from its place, so a byte that is missing or comes twice is seen. */
const PERIOD = 251;
const pattern = Buffer.from(Array.from({ length: 500_000 }, (_, i) => i % PERIOD));

let context: ReturnType<typeof createTlsContext> | null = null;

export const serverContext = () => {
  context ??= createTlsContext(ecdsa);
  return context;
};

class Conversation {
  fault: string | null = null;
  readonly #inner = new MemoryStream();
  readonly #client = MemoryClient.ofMany();
  readonly #below: StreamHandler;
  #stream!: SecureStream;
  /** Records that are on their way. */
  #wire: Buffer[] = [];
  #sent = 0;
  #received = 0;
  #closes = 0;
  #ends = 0;
  #isTouched = false;
  #isStopped = false;
  #hasSaidGoodbye = false;
  #isClosedBelow = false;

  constructor(lost: number) {
    this.#sent = lost;
    const handler: StreamHandler = {
      onData: (_stream, bytes) => this.#receive(bytes),
      onEnd: () => void this.#ends++,
      onClose: () => void this.#closes++,
    };
    const onConnection = (stream: SecureStream) => {
      this.#stream = stream;
      return handler;
    };
    this.#below = acceptTls(serverContext(), onConnection, { recordsPerTurn: 4 })(this.#inner);
    this.#below.onData(this.#inner, this.#client.hello());
    this.#below.onData(this.#inner, this.#client.finish(this.#inner.take()));
    if (this.#stream.tls === null) this.fault = 'the handshake is not complete';
  }

  #receive(bytes: Buffer): void {
    const at = this.#received % PERIOD;
    if (this.#closes > 0) this.fault ??= 'bytes after the end';
    if (this.#received + bytes.length > this.#sent || !bytes.equals(pattern.subarray(at, at + bytes.length)))
      this.fault ??= `${bytes.length} bytes at ${this.#received} of ${this.#sent} are not those of the client`;
    this.#received += bytes.length;
  }

  #seal(length: number): Buffer {
    if (this.#hasSaidGoodbye) return Buffer.alloc(0);
    const at = this.#sent % PERIOD;
    this.#sent += length;
    return this.#client.sealBytes(pattern.subarray(at, at + length));
  }

  step(what: number, a: number, b: number): void {
    const { length } = this.#wire;
    switch (what % 14) {
      case 0:
        this.#wire.push(this.#seal(1 + ((a * 256 + b) % 20_000)));
        break;
      case 1:
        this.#updateKeys();
        break;
      case 2: // a byte is another one
        this.#touch((record) => {
          const at = (a * 256 + b) % record.length;
          record[at] = (record[at] as number) ^ (1 << (a % 8));
          return record;
        });
        break;
      case 3: // a record that is not encrypted
        this.#isTouched = true;
        this.#wire.push(
          Buffer.concat([Buffer.of(a % 2 === 0 ? a : 20 + (a % 5), 3, 3, 0, b % 64), Buffer.alloc(b % 50, a)]),
        );
        break;
      case 4:
        if (!this.#hasSaidGoodbye) this.#wire.push(this.#client.goodbye());
        this.#hasSaidGoodbye = true;
        break;
      case 5: // they arrive, in pieces
        this.#deliver(a < 128 ? Number.POSITIVE_INFINITY : 1 + b);
        break;
      case 6:
        this.#program(a, b);
        break;
      case 7: // the end is missing
        this.#touch((record) => record.subarray(0, (a * 256 + b) % record.length));
        break;
      case 8: // the last one comes twice, or two change places
        if (length > 0) this.#wire.push(Buffer.from(this.#wire[length - 1] as Buffer));
        if (length > 1 && a % 2 === 0)
          [this.#wire[length - 2], this.#wire[length - 1]] = [
            this.#wire[length - 1] as Buffer,
            this.#wire[length - 2] as Buffer,
          ];
        this.#isTouched = true;
        break;
      case 9: // the peer takes nothing, or takes all
        this.#inner.isFull = a % 2 === 0;
        if (!this.#inner.isFull && this.#inner.queuedBytes > 0) {
          this.#inner.queuedBytes = 0;
          if (!this.#isClosedBelow) this.#below.onDrain?.(this.#inner);
        }
        break;
      case 10: // another length
        this.#touch((record) => {
          record.writeUInt16BE((record.readUInt16BE(3) + a - 128) & 0xffff, 3);
          return record;
        });
        break;
      case 11:
        this.#turns();
        break;
      case 12:
        this.#client.open(this.#inner.take());
        break;
      default:
        if (a > 200) this.#break(b % 2 === 0);
    }
  }

  #updateKeys(): void {
    if (this.#hasSaidGoodbye) return;
    try {
      this.#wire.push(this.#client.updateKeys());
    } catch (error) {
      // A client that reads a change of keys at the same time cannot begin another one.
      if (!(error instanceof RangeError)) throw error;
    }
  }

  #touch(change: (record: Buffer) => Buffer): void {
    const record = this.#wire.pop();
    if (record === undefined || record.length < 5) return;
    this.#isTouched = true;
    this.#wire.push(change(Buffer.from(record)));
  }

  #deliver(pieceBytes: number): void {
    const bytes = Buffer.concat(this.#wire);
    this.#wire = [];
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      for (let turns = 0; this.#inner.isPaused && turns < bytes.length && this.#inner.turns > 0; turns++) this.#turns();
      if (this.#isClosedBelow || this.#inner.isPaused) {
        this.#wire = [bytes.subarray(at)];
        return;
      }
      // A stream lends its bytes: they are others afterwards.
      const piece = Buffer.from(bytes.subarray(at, at + pieceBytes));
      this.#below.onData(this.#inner, piece);
      piece.fill(0xee);
    }
  }

  #turns(): void {
    if (this.#inner.turns === 0 || this.#isClosedBelow) return;
    this.#inner.turns = 0;
    this.#below.onTurn?.(this.#inner);
  }

  #program(a: number, b: number): void {
    const stream = this.#stream;
    if (a % 8 > 4) this.#isStopped = true;
    switch (a % 8) {
      case 0:
      case 1:
        stream.pause();
        break;
      case 2:
      case 3:
        stream.resume();
        break;
      case 4:
        if (!stream.isEnded) stream.write(pattern, b * 64);
        break;
      case 5:
        stream.end();
        break;
      case 6:
        stream.close();
        break;
      default:
        stream.abort();
    }
  }

  /** The connection ends below, with FIN or with RST. */
  #break(isReset: boolean): void {
    if (this.#isClosedBelow) return;
    this.#isTouched = true;
    if (isReset) {
      this.#isClosedBelow = true;
      this.#below.onClose?.(this.#inner, new SystemError('recv', -ECONNRESET));
    } else if (!this.#inner.isPaused) this.#below.onEnd?.(this.#inner);
  }

  /** All that is on its way arrives, and everything ends. */
  async end(): Promise<void> {
    this.#stream.resume();
    for (let rounds = 0; rounds < 1_000 && (this.#wire.length > 0 || this.#inner.turns > 0); rounds++) {
      this.#turns();
      this.#deliver(Number.POSITIVE_INFINITY);
      if (this.#isClosedBelow) break;
    }
    const isWhole = !this.#isTouched && !this.#isStopped;
    if (isWhole && this.#received !== this.#sent)
      this.fault ??= `${this.#received} bytes of ${this.#sent} have arrived`;
    if (isWhole && this.#ends !== Number(this.#hasSaidGoodbye)) this.fault ??= `${this.#ends} ends`;
    if (this.#ends > 1) this.fault ??= 'more than one end';
    if (!this.#isClosedBelow) this.#below.onClose?.(this.#inner, null);
    this.#stream.resume();
    await null;
    await null;
    if (this.#closes !== 1) this.fault ??= `onClose was called ${this.#closes} times`;
    this.#client.free();
  }
}

/** Plays a script. Returns what is wrong, or null. `lost`: so many bytes, the judge believes, were sent before: a test of the judge. */
export async function converse(script: Uint8Array, lost = 0): Promise<string | null> {
  serverContext();
  const before = openHandles().SSL;
  const conversation = new Conversation(lost);
  const steps = Math.min(MAX_STEPS, Math.floor((script.length - 1) / STEP_BYTES));
  for (let i = 0; i < steps && conversation.fault === null; i++) {
    const [what = 0, a = 0, b = 0] = script.subarray(1 + i * STEP_BYTES);
    conversation.step(what, a, b);
  }
  await conversation.end();
  const after = openHandles().SSL;
  return conversation.fault ?? (after === before ? null : `${after - before} SSL objects were not freed`);
}
