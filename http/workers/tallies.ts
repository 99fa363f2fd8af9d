/**
 * Tallies: what the workers of a site have counted, at their supervisor: each one by its last word, and all those that have ended in one sum.
 *
 * A sum over the workers that answer would fall when one of them ends or is late. For Prometheus a counter that falls has begun again at 0, so it would see as much traffic as the
 * site has ever had. A worker that drains tells its tally at its end. Of one that is killed what it has counted since it was last asked is lost.
 *
 * Next: questions.ts
 */

import { addUp, type MetricFamily, withoutGauges } from '../metrics/metric-families.ts';
import type { WorkerProcess } from './worker-process.ts';

type Tally = readonly MetricFamily[];

/** The tallies of one subject: a server of the site. */
class Subject {
  readonly latest = new Map<WorkerProcess, Tally>();
  ended: Tally = [];
}

export class Tallies {
  readonly #subjects = new Map<string, Subject>();

  note(worker: WorkerProcess, subject: string, tally: unknown): void {
    const known = this.#subjects.get(subject) ?? new Subject();
    this.#subjects.set(subject, known);
    known.latest.set(worker, tally as Tally);
  }

  /** Nothing more comes from this worker. */
  ended(worker: WorkerProcess): void {
    for (const subject of this.#subjects.values()) {
      const last = subject.latest.get(worker);
      if (last === undefined) continue;
      subject.latest.delete(worker);
      subject.ended = addUp([subject.ended, withoutGauges(last)]);
    }
  }

  /** Those of all workers but one, which has told its own. */
  besides(worker: WorkerProcess, subject: string): readonly Tally[] {
    const { latest, ended } = this.#subjects.get(subject) as Subject;
    const others = [...latest].filter(([each]) => each !== worker).map(([, tally]) => tally);
    return [...others, ended];
  }
}
