/**
 * StackListener: a port of the stack that takes connections. The TCP layer completes handshakes; there is no queue of connections that wait
 * to be accepted, because each becomes a stream in the turn in which its handshake ends.
 *
 * Next: stack-udp-port.ts
 */

import type { SocketAddress } from '../kernel/socket-address.ts';
import type { SystemError } from '../kernel/system-error.ts';
import type { Listener, OnConnection, Stream } from '../loop/event-loop.ts';
import type { Alarm } from '../loop/host.ts';
import type { StackContext, StackMember } from './stack-context.ts';
import type { TcpListener } from './tcp/tcp-layer.ts';

export class StackListener implements Listener, StackMember {
  needsSettle = false;
  readonly #context: StackContext;
  readonly #onConnection: OnConnection;
  readonly #onFailure: ((error: SystemError) => void) | undefined;
  #port: TcpListener | null = null;
  #address: SocketAddress = { address: '', port: 0 };
  #isClosing = false;
  #closingAlarm: Alarm | null = null;
  readonly #onClosed: (() => void)[] = [];

  constructor(
    context: StackContext,
    onConnection: OnConnection,
    onFailure: ((error: SystemError) => void) | undefined,
  ) {
    this.#context = context;
    this.#onConnection = onConnection;
    this.#onFailure = onFailure;
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

  close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#closingAlarm?.cancel();
    this.#context.turn.settleLater(this);
  }

  lose(error: SystemError): void {
    if (this.#isClosing) return;
    this.close();
    if (this.#onFailure === undefined) this.#context.host.raise(error);
    else this.#onFailure(error);
  }

  closeWhenEmpty(waitMs: number, onClosed: () => void): void {
    this.#onClosed.push(onClosed);
    if (this.#isClosing) {
      this.#context.turn.settleLater(this);
      return;
    }
    this.#port?.ignoreSyn();
    this.#closingAlarm = this.#context.host.alarm(waitMs, () => this.close());
  }

  /** `onClosed` threw. There is nothing to do: the listener is closed already. */
  onThrow(): void {}

  settle(): void {
    this.#port?.close();
    this.#port = null;
    this.#context.forget(this);
    for (const onClosed of this.#onClosed.splice(0)) onClosed();
  }
}
