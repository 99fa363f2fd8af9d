/**
 * ServerProcess: a running peer, pinned to its core, and the CPU time that it has used so far.
 *
 * Next: response-reader.ts
 */

import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { endChild, firstLineOf, startChild } from './children.ts';
import { pinned } from './cores.ts';
import { type CpuReading, readCpu, residentBytes } from './cpu-time.ts';
import type { Peer } from './peers.ts';

const START_MS = 15_000;

/** The time that the helper threads of the garbage collector get to return memory. */
const COLLECTION_MS = 300;

export class ServerProcess {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #collectsOnRequest: boolean;

  private constructor(child: ChildProcess, port: number, collectsOnRequest: boolean) {
    this.#child = child;
    this.port = port;
    this.#collectsOnRequest = collectsOnRequest;
  }

  /** `filesFolder` is that of `writeFiles`. `tlsFile` has certificate and key; null: no TLS. */
  static async start(
    peer: Pick<Peer, 'title' | 'collectsOnRequest'>,
    command: readonly string[],
    filesFolder: string,
    tlsFile: string | null,
    cpu: number | undefined,
  ): Promise<ServerProcess> {
    const site = new URL('site.js', import.meta.url).href;
    const env = {
      SITE: site,
      FILES: filesFolder,
      NODE_ENV: 'production',
      ...(tlsFile === null ? {} : { TLS: tlsFile }),
    };
    const child = startChild(pinned(command, cpu), env);
    try {
      const port = Number(await firstLineOf(child, START_MS));
      if (!(port > 0)) throw new Error('its first line is not its port');
      return new ServerProcess(child, port, peer.collectsOnRequest);
    } catch (error) {
      await endChild(child);
      throw new Error(`${peer.title} does not start: ${(error as Error).message}`);
    }
  }

  get #pid(): number {
    if (this.#child.pid === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null) {
      throw new Error(`the server ended with ${this.#child.signalCode ?? this.#child.exitCode}`);
    }
    return this.#child.pid;
  }

  readCpu(): CpuReading {
    return readCpu(this.#pid);
  }

  residentBytes(): number {
    return residentBytes(this.#pid);
  }

  /** Returns resident memory, after a garbage collection if the peer supports that. */
  async settledBytes(): Promise<number> {
    if (this.#collectsOnRequest) process.kill(this.#pid, 'SIGUSR2');
    await sleep(COLLECTION_MS);
    return this.residentBytes();
  }

  stop(): Promise<void> {
    return endChild(this.#child);
  }
}
