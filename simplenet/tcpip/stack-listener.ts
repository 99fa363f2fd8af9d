/**
 * StackListener: a port of the stack that takes connections. The TCP layer completes handshakes; there is no queue of connections that wait
 * to be accepted, because each becomes a stream in the turn in which its handshake ends.
 *
 * Next: stack-udp-port.ts
 */

import type { SocketAddress } from '../kernel/socket-address.ts';
import type { SystemError } from '../kernel/system-error.ts';
import type { AdoptListenerOptions, Listener, OnConnection, Stream } from '../loop/event-loop.ts';
import type { Alarm } from '../loop/host.ts';
import type { StackContext, StackMember } from './stack-context.ts';
import type { TcpListener } from './tcp/tcp-layer.ts';

export class StackListener implements Listener, StackMember {
  /** There is no other process with this stack, and no socket. */
  readonly fd = -1;
  isShared = false;
  needsSettle = false;
  readonly #context: StackContext;
  readonly #onConnection: OnConnection;
  readonly #options: AdoptListenerOptions;
  #port: TcpListener | null = null;
  #address: SocketAddress = { address: '', port: 0 };
  #isClosing = false;
  #closingAlarm: Alarm | null = null;
  readonly #onClosed: (() => void)[] = [];

  constructor(context: StackContext, onConnection: OnConnection, options: AdoptListenerOptions) {
    this.#context = context;
    this.#onConnection = onConnection;
    this.#options = options;
  }

  get address(): SocketAddress {
    return this.#address;
  }

  /** The TCP layer takes connections for it now. */
  opened(port: TcpListener, address: SocketAddress): void {
    this.#port = port;
    this.#address = address;
  }

  /** The program chooses the handler of a new connection. If that throws, the connection ends. */
  accept(stream: Stream): void {
    try {
      stream.handler = this.#onConnection(stream);
    } catch (error) {
      stream.abort();
      this.#context.host.raise(error);
    }
  }

  /** No further member is allowed. Returns whether the program closes one. If `onShortage` throws, it is as if it were not there. */
  makesRoom(): boolean {
    try {
      return this.#options.onShortage?.() === true;
    } catch (error) {
      this.#context.host.raise(error);
      return false;
    }
  }

  close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#closingAlarm?.cancel();
    this.#port?.close();
    this.#context.turn.settleLater(this);
  }

  lose(error: SystemError): void {
    if (this.#isClosing) return;
    this.close();
    if (this.#options.onFailure === undefined) this.#context.host.raise(error);
    else this.#options.onFailure(error);
  }

  closeWhenEmpty(waitMs: number, onClosed: () => void): void {
    this.#onClosed.push(onClosed);
    if (this.#isClosing) {
      this.#context.turn.settleLater(this);
      return;
    }
    this.#port?.ignoreSyn();
    this.#closingAlarm ??= this.#context.host.alarm(waitMs, () => this.close());
  }

  /** `onFailure` or `onClosed` threw. There is nothing to do: the listener is closed already. */
  onThrow(): void {}

  settle(): void {
    this.#context.forget(this);
    for (const onClosed of this.#onClosed.splice(0)) onClosed();
  }
}
