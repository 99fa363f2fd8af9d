/**
 * TlsLoad: load from c/tls-load.c, for the workloads of HTTPS. It has no substitute: wrk makes no handshakes on purpose, and our own generator has no TLS.
 *
 * Next: wrk-load.ts
 */

import { join } from 'node:path';
import { developmentCertificate } from '../simplenet/index.ts';
import { MissingLoad, runLoad } from './c-load.ts';
import { compileC, NotCompiled } from './c-programs.ts';
import { pinned } from './cores.ts';
import type { LoadGenerator, LoadOrder, LoadResult, LoadWatch } from './load.ts';

/** Makes the certificate of all servers, with a key on the curve P-256. Returns the file that holds both. */
export function writeCertificate(temporaryFolder: string): string {
  const { path, whyNotKept } = developmentCertificate({ folder: join(temporaryFolder, 'certificate') });
  if (path === null) throw new Error(`there is no certificate for HTTPS: ${whyNotKept}`);
  return path;
}

export class TlsLoad implements LoadGenerator {
  readonly title = 'C with OpenSSL (benchmarks/c/tls-load.c), 1 thread';
  readonly canPace = false;
  readonly #program: string;
  readonly #cpu: number | undefined;

  private constructor(program: string, cpu: number | undefined) {
    this.#program = program;
    this.#cpu = cpu;
  }

  /** Throws MissingLoad if it cannot run here. */
  static prepare(temporaryFolder: string, cpu: number | undefined): TlsLoad {
    try {
      return new TlsLoad(compileC('tls-load', temporaryFolder, ['ssl', 'crypto']), cpu);
    } catch (error) {
      if (!(error instanceof NotCompiled)) throw error;
      const advice = error.message.includes('openssl/') ? '; get them with: apt-get install libssl-dev' : '';
      throw new MissingLoad(`${error.message}${advice}`);
    }
  }

  run(order: LoadOrder, watch: LoadWatch): Promise<LoadResult> {
    return runLoad(this.command(order), order.seconds, watch);
  }

  /** It writes `ready` when each connection has had one response, and then waits for a line: so it also holds idle connections. */
  command({ port, requestFile, connections, pipeline, seconds, tls }: LoadOrder): readonly string[] {
    const args = [port, connections, pipeline, seconds].map(String);
    return pinned([this.#program, ...args, requestFile, tls ?? 'kept'], this.#cpu);
  }
}
