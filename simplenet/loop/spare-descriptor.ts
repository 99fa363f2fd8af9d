/**
 * SpareDescriptor: a descriptor that is given up when no other is left.
 *
 * Next: member.ts
 */

import { O_CLOEXEC, O_RDONLY } from '../kernel/abi.ts';
import { Descriptor } from '../kernel/descriptor.ts';
import type { Libc } from '../kernel/libc.ts';
import { check } from '../kernel/system-error.ts';

/** A descriptor that does nothing but keep its number from others, until it is needed. */
export class SpareDescriptor {
  readonly #libc: Libc;
  #held: Descriptor;

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#held = new Descriptor(check('open', this.#open()), libc);
  }

  /** Frees the number while `use` runs. Does nothing where another thread has snatched it earlier. */
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
