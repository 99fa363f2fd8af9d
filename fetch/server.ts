/**
 * Server: the listeners of one handler object, opened, refused and ended together. `serve` makes it.
 *
 *     unbound --listen--> listening --close--> closing --> closed: resolves
 *                             \________destroy____\______> closed: rejects
 *
 * Next: index.ts
 */

import { type ContextApp, type HttpRequest, isMarked } from '../http/index.ts';
import { bindingOf, type ListenOptions, type ServerOptions } from './listen-options.ts';
import { Listener, type ListenerOwner } from './listener.ts';
import { PendingWork } from './pending-work.ts';

/**
 * A handler object and its listeners: what `serve` returns.
 *
 * ```ts
 * import { type Server, type ServerContext, serve } from 'simplenet/fetch';
 *
 * const server: Server = serve({ fetch: (ctx: ServerContext) => new Response(ctx.request.url) }, { port: 8080 });
 * for (const listener of server) console.log(listener.address);
 * process.once('SIGTERM', () => void server.close());
 * await server.closed;
 * ```
 */
export class Server implements Iterable<Listener> {
  /** While true, requests get 503 and no handler is called, on all listeners. Connections stay open. */
  busy = false;
  /** Resolves after `close`; rejects after `destroy`. */
  readonly closed: Promise<void>;
  readonly #app: ContextApp;
  readonly #options: ServerOptions;
  readonly #listeners = new Set<Listener>();
  readonly #work = new PendingWork();
  #isClosing = false;
  #isOver = false;
  #resolveClosed!: () => void;
  #rejectClosed!: (reason: unknown) => void;
  #forgetSignal: () => void = () => {};

  /** @internal */
  constructor(app: ContextApp, options: ServerOptions) {
    this.#app = app;
    this.#options = options;
    this.closed = new Promise<void>((resolve, reject) => {
      this.#resolveClosed = resolve;
      this.#rejectClosed = reject;
    });
    this.closed.then(undefined, () => {}); // a program need not look at it
    const { signal } = options;
    if (signal?.aborted === true) this.destroy(signal.reason);
    else if (options.port !== undefined || signal !== undefined) this.#open(options);
    else bindingOf(options, {}); // a mistake shows at once
    if (signal !== undefined && !this.#isOver) this.#endWith(signal);
  }

  /** Listens on one more address. */
  async listen(options: ListenOptions = {}): Promise<Listener> {
    if (this.#isClosing) throw new DOMException('the server is closed', 'InvalidStateError');
    return this.#open(options);
  }

  /** The listeners that are open. */
  [Symbol.iterator](): Iterator<Listener> {
    return this.#listeners.values();
  }

  /** Stops with grace: responses under way are completed, and work of `waitUntil` is waited for. */
  close(): Promise<void> {
    if (!this.#isClosing) {
      this.#isClosing = true;
      void this.#end();
    }
    return this.closed;
  }

  /** Ends all connections now. `closed` rejects with the error, or with an AbortError. */
  destroy(error?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#isClosing = true;
    this.#forgetSignal();
    const reason = error ?? new DOMException('the server was destroyed', 'AbortError');
    this.#rejectClosed(reason);
    for (const listener of this.#listeners) listener.destroy(reason);
    this.#work.clear();
  }

  /** As `close()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #open(options: ListenOptions): Listener {
    const binding = bindingOf(options, this.#options);
    const isBusy = () => this.busy;
    const owner: ListenerOwner = {
      get busy() {
        return isBusy();
      },
      autoContinue: this.#options.autoContinue ?? true,
      waitUntil: (promise: Promise<unknown>, request: HttpRequest, limitMs) =>
        this.#work.add(promise, request, limitMs),
      forget: (listener) => this.#listeners.delete(listener),
    };
    const listener = new Listener(this.#app, binding, owner);
    this.#listeners.add(listener);
    return listener;
  }

  async #end(): Promise<void> {
    // A listener that is destroyed meanwhile has said so itself.
    await Promise.allSettled([...this.#listeners].map((listener) => listener.close()));
    await this.#work.settled();
    if (this.#isOver) return;
    this.#isOver = true;
    this.#forgetSignal();
    this.#resolveClosed();
  }

  /** A signal can outlive many servers. */
  #endWith(signal: AbortSignal): void {
    const end = () => this.destroy(signal.reason);
    signal.addEventListener('abort', end, { once: true });
    this.#forgetSignal = () => signal.removeEventListener('abort', end);
  }
}

/**
 * Makes a server of a handler object. With a port, or a signal, it listens at once, and throws if it cannot. Without, call `listen`.
 *
 * ```ts
 * import { PROTOCOL_MARKER, type ServerContext, serve } from 'simplenet/fetch';
 *
 * const app = {
 *   [PROTOCOL_MARKER]: 1,
 *   fetch: (ctx: ServerContext) => new Response(`hello ${ctx.remoteAddress.address}\n`),
 * };
 * serve(app, { port: 8080 });
 * ```
 */
export function serve(handler: ContextApp, options: ServerOptions = {}): Server {
  isMarked(handler); // throws for a version that is not known here; without a marker the object is taken for one of this API
  return new Server(handler, options);
}
