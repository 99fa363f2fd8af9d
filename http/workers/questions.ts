/**
 * Questions: what one worker asks all others, at the supervisor, which gathers the answers.
 *
 * A worker that hangs must not hold up the others: after a second the question is answered with what has come.
 *
 * Next: worker-options.ts
 */

import { type Alarm, nodeHost } from '../../simplenet/index.ts';
import type { FromWorker } from './messages.ts';
import { Tallies } from './tallies.ts';
import type { WorkerProcess } from './worker-process.ts';

export const ANSWER_MS = 1_000;

interface Question {
  readonly asker: WorkerProcess;
  /** Its number, chosen by the asker. */
  readonly id: number;
  readonly waiting: Set<WorkerProcess>;
  readonly values: unknown[];
  /** For whose tallies it is; null for answers as they are. */
  readonly tallied: string | null;
  readonly alarm: Alarm;
}

export class Questions {
  readonly tallies = new Tallies();
  readonly #open = new Map<number, Question>();
  #lastNumber = 0;

  /** Asks `others`, and tells `asker` what they have answered; or, if it is for tallies, those of all, also of a worker that is late. */
  ask(
    asker: WorkerProcess,
    { id, subject, tally }: Extract<FromWorker, { kind: 'ask' }>,
    others: readonly WorkerProcess[],
  ): void {
    if (tally !== undefined) this.tallies.note(asker, subject, tally);
    const number = ++this.#lastNumber;
    const waiting = new Set(others.filter((each) => each.channel.offer({ kind: 'asked', id: number, subject })));
    const alarm = nodeHost.alarm(ANSWER_MS, () => this.#close(number));
    this.#open.set(number, { asker, id, waiting, values: [], tallied: tally === undefined ? null : subject, alarm });
    this.#closeIfComplete(number);
  }

  answered(worker: WorkerProcess, number: number, value: unknown): void {
    const question = this.#open.get(number);
    if (question === undefined || !question.waiting.delete(worker)) return; // too late
    if (value !== undefined && question.tallied !== null) this.tallies.note(worker, question.tallied, value);
    else if (value !== undefined) question.values.push(value);
    this.#closeIfComplete(number);
  }

  /** The worker answers nothing any more. */
  ended(worker: WorkerProcess): void {
    for (const [number, { waiting }] of this.#open) if (waiting.delete(worker)) this.#closeIfComplete(number);
  }

  #closeIfComplete(number: number): void {
    if (this.#open.get(number)?.waiting.size === 0) this.#close(number);
  }

  #close(number: number): void {
    const { asker, id, values, tallied, alarm } = this.#open.get(number) as Question;
    this.#open.delete(number);
    alarm.cancel();
    asker.channel.order({
      kind: 'answers',
      id,
      values: tallied === null ? values : this.tallies.besides(asker, tallied),
    });
  }
}
