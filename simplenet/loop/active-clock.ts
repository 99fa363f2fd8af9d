/**
 * ActiveClock: the host's clock without the time in which the process was stalled. All deadlines are set and judged on it.
 *
 * A handler can block the thread, and a process can be stopped (SIGSTOP, a virtual machine that is paused). The loop reads nothing
 * during that time, so the time must not count against a client. The loop always knows when it expects to run again: at its next
 * alarm, and at the beginning of a turn for the end of that turn. Time beyond that moment and one tick is a stall. It is left out.
 *
 * One tick of each stall counts. Otherwise deadlines would never pass in a process whose every turn is long, and a slow client
 * could hold its connection without end.
 *
 * Next: deadlines.ts
 */

export class ActiveClock {
  readonly #tickMs: number;
  #stalledMs = 0;

  constructor(tickMs: number) {
    this.#tickMs = tickMs;
  }

  /** The active time of a moment on the host's clock. */
  at(hostNow: number): number {
    return hostNow - this.#stalledMs;
  }

  /** As `at`, after a wait or work that was expected to end at `expectedAt` (active time). Leaves out what is more than a tick later. */
  after(expectedAt: number, hostNow: number): number {
    const now = hostNow - this.#stalledMs;
    const latest = expectedAt + this.#tickMs;
    if (now <= latest) return now;
    this.#stalledMs += now - latest;
    return latest;
  }
}
