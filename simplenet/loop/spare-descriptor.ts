/**
 * SpareDescriptor: an open descriptor of /dev/null. descriptor-shortage.ts closes it when no other descriptor is left, and uses its number.
 *
 * Next: member.ts
 */

import { O_CLOEXEC, O_RDONLY } from '../kernel/abi.ts';
import { Descriptor } from '../kernel/descriptor.ts';
import type { Libc } from '../kernel/libc.ts';
import { check } from '../kernel/system-error.ts';

export class SpareDescriptor {
  readonly #libc: Libc;
  #held: Descriptor;

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#held = new Descriptor(check('open', this.#open()), libc);
  }

  /**
   * Closes the spare descriptor, calls `use`, and opens it again. If another thread takes the number first, there is no spare descriptor:
   * the next calls have nothing to close, and each tries to open it afterwards.
   */
  lend(use: () => void): void {
    this.#held.close();
    use();
    const fd = this.#open();
    if (fd >= 0) this.#held = new Descriptor(fd, this.#libc);
  }

  close(): void {
    this.#held.close();
  }

  #open(): number {
    return this.#libc.open('/dev/null', O_RDONLY | O_CLOEXEC);
  }
}
