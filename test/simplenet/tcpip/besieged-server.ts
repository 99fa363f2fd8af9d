/**
 * BesiegedServer: a siege (siege.ts) in one process. The wire is simulated, and so is time; promises of the server are Node's own, so the
 * world waits for one real macrotask now and then.
 */

import { type Server, serve, type Timeouts } from '../../../http/index.ts';
import { observeFrames } from '../../../simplenet/tcpip/link/observed-link.ts';
import { createWire, type WireOptions } from '../../../simplenet/tcpip/link/simulated-wire.ts';
import { createStack, type Stack, type StackOptions, type StackStatistics } from '../../../simplenet/tcpip/stack.ts';
import { SimulatedHost } from '../../simulation/simulated-host.ts';
import { SimulatedKernel } from '../../simulation/simulated-kernel.ts';
import { besiegedSite, heldBytes } from './besieged-site.ts';
import { networkOptions, Siege, serverOptions } from './siege.ts';

const STEPS_PER_MACROTASK = 16;

export class BesiegedServer extends Siege {
  override readonly isSimulated = true;
  override readonly promptMs = 2_000;
  /** Frames that wait on the wire are the memory of the test, so a flood comes in pieces. */
  protected override readonly framesAtOnce = 1_000;
  readonly server: Stack;
  readonly #host: SimulatedHost;
  readonly #http: Server;

  constructor(options: Partial<StackOptions> = {}, timeouts: Partial<Timeouts> = {}, wire: WireOptions = {}) {
    const host = new SimulatedHost(new SimulatedKernel({ seed: 1 }), { seed: 1 });
    const [left, right] = createWire(wire);
    super(host, right);
    this.#host = host;
    const link = observeFrames(left, (frame, direction) => {
      if (direction === 'sent') this.hear(frame);
    });
    this.server = createStack({ host, link, ...networkOptions, ...serverOptions, ...options });
    this.#http = serve(besiegedSite(), { loop: this.server, host: '10.9.0.2', port: 80, timeouts });
    this.claimAddresses();
  }

  /** The attacker hears a frame of the server when it leaves, and not when a wire with faults brings it. */
  protected override received(): void {}

  override statistics(): Promise<StackStatistics> {
    return Promise.resolve(this.server.statistics);
  }

  override memoryBytes(): Promise<number> {
    return Promise.resolve(heldBytes());
  }

  override async pass(ms: number): Promise<void> {
    let isOver = false;
    this.#host.alarm(ms, () => {
      isOver = true;
    });
    await this.until(() => isOver);
  }

  protected override delivered(): Promise<void> {
    return this.pass(1);
  }

  override async until(condition: () => boolean): Promise<void> {
    for (let steps = 1; !condition(); steps++) {
      this.#host.step();
      if (steps % STEPS_PER_MACROTASK === 0) await new Promise(setImmediate);
    }
    if (this.#host.raised.length > 0) throw this.#host.raised[0];
  }

  override async close(): Promise<string[]> {
    await Promise.all([this.#http.close({ graceMs: 0 }), this.until(() => this.server.openCount === 0)]);
    this.server.close();
    this.friend.close();
    await this.until(() => this.#host.alarmCount === 0);
    return this.#host.raised.map(String);
  }
}
