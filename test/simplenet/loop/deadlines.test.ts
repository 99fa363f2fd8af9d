/** Deadlines, on a clock that the test turns by hand. */

import t from 'tap';
import { ActiveClock } from '../../../simplenet/loop/active-clock.ts';
import { Deadlines, type Timed } from '../../../simplenet/loop/deadlines.ts';
import type { Alarm, Host } from '../../../simplenet/loop/host.ts';
import { Random } from '../../simulation/random.ts';

const TICK_MS = 100;

/** A host whose time stands still until it is told to pass. */
class HandHost implements Host {
  time = 1000;
  alarmsSet = 0;
  readonly #alarms = new Set<{ at: number; callback: () => void }>();

  now(): number {
    return this.time;
  }

  wallNow(): number {
    return this.time;
  }

  alarm(delayMs: number, callback: () => void): Alarm {
    this.alarmsSet++;
    const alarm = { at: this.time + delayMs, callback };
    this.#alarms.add(alarm);
    return { cancel: () => void this.#alarms.delete(alarm) };
  }

  /** How many alarms are set. */
  get pending(): number {
    return this.#alarms.size;
  }

  /** Lets time pass, and each alarm ring in its moment. */
  pass(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const [next] = [...this.#alarms].sort((a, b) => a.at - b.at);
      if (next === undefined || next.at > end) break;
      this.time = Math.max(this.time, next.at);
      this.#alarms.delete(next);
      next.callback();
    }
    this.time = end;
  }

  watch(): never {
    throw new Error('deadlines watch no descriptors');
  }

  soon(): never {
    throw new Error('deadlines put nothing off');
  }

  raise(error: unknown): never {
    throw error;
  }
}

/** Something timed that notes when its time was up. */
class Patient implements Timed {
  deadlineAt = Number.POSITIVE_INFINITY;
  deadlineSlot = -1;
  readonly firedAt: number[] = [];
  readonly #host: HandHost;
  readonly #then: () => void;

  constructor(host: HandHost, then: () => void = () => {}) {
    this.#host = host;
    this.#then = then;
  }

  onDeadline(): void {
    this.firedAt.push(this.#host.time);
    this.#then();
  }
}

function setUp(): { host: HandHost; deadlines: Deadlines } {
  const host = new HandHost();
  const clock = new ActiveClock(TICK_MS);
  // No sockets to look at first.
  const judge = () => deadlines.judge(clock.after(deadlines.alarmAt, host.time));
  const deadlines = new Deadlines(host, clock, TICK_MS, judge);
  return { host, deadlines };
}

/** The first moment is `at`, the last one a tick later. */
function isInTime(patient: Patient, at: number): boolean {
  const [firedAt, ...more] = patient.firedAt;
  return firedAt !== undefined && more.length === 0 && firedAt >= at && firedAt <= at + TICK_MS;
}

t.test('a deadline fires once, never early, and at most a tick late', async (t) => {
  for (const delay of [0, 1, 50, 99, 100, 101, 150, 199, 200, 1000, 12_345]) {
    const { host, deadlines } = setUp();
    const patient = new Patient(host);
    const at = host.time + delay;
    deadlines.set(patient, at);
    host.pass(delay + 10 * TICK_MS);
    t.ok(isInTime(patient, at), `${delay} ms: ${patient.firedAt.map((moment) => moment - at)}`);
    host.pass(100_000);
    t.equal(patient.firedAt.length, 1);
    t.equal(host.pending, 0, 'no alarm without a deadline');
  }
});

t.test('one that is past already fires within a tick, and not inside of set', async (t) => {
  const { host, deadlines } = setUp();
  const patient = new Patient(host);
  deadlines.set(patient, host.time - 500);
  t.same(patient.firedAt, []);
  host.pass(TICK_MS);
  t.equal(patient.firedAt.length, 1);
});

t.test('at n - 1 not yet, at n', async (t) => {
  const { host, deadlines } = setUp();
  const patient = new Patient(host);
  deadlines.set(patient, host.time + 5 * TICK_MS);
  host.pass(5 * TICK_MS - 1);
  t.same(patient.firedAt, []);
  host.pass(1);
  t.equal(patient.firedAt.length, 1);
});

t.test('an alarm that rings early does not let a deadline fire early', async (t) => {
  // Timers of Node may come a fraction of a millisecond too soon.
  const { host, deadlines } = setUp();
  const early = host.alarm.bind(host);
  host.alarm = (delayMs, callback) => early(delayMs - 0.7, callback);
  const patient = new Patient(host);
  const at = host.time + 300;
  deadlines.set(patient, at);
  host.pass(10 * TICK_MS);
  t.ok(isInTime(patient, at), String(patient.firedAt));
});

t.test('a deadline that is moved, later or sooner, fires at the last one set', async (t) => {
  const { host, deadlines } = setUp();
  const patient = new Patient(host);
  const start = host.time;
  for (let i = 0; i < 20; i++) {
    deadlines.set(patient, host.time + 300);
    host.pass(250);
  }
  t.same(patient.firedAt, []);
  host.pass(1000);
  t.ok(isInTime(patient, start + 19 * 250 + 300), String(patient.firedAt));

  const sooner = new Patient(host);
  deadlines.set(sooner, host.time + 60_000);
  const at = host.time + 200;
  deadlines.set(sooner, at);
  host.pass(100_000);
  t.ok(isInTime(sooner, at), String(sooner.firedAt));
});

t.test('short deadlines, set again and again, do not delay others', async (t) => {
  const { host, deadlines } = setUp();
  const patient = new Patient(host);
  const at = host.time + 10;
  deadlines.set(patient, at);
  for (let i = 0; i < 40; i++) {
    deadlines.set(new Patient(host), host.time + 10);
    host.pass(50);
  }
  t.ok(isInTime(patient, at), `fired ${patient.firedAt.map((moment) => moment - at)} ms late`);
});

t.test('Infinity takes a deadline back', async (t) => {
  const { host, deadlines } = setUp();
  const patient = new Patient(host);
  deadlines.set(patient, Number.POSITIVE_INFINITY);
  t.equal(host.pending, 0, 'there was none');
  deadlines.set(patient, host.time + 100);
  deadlines.set(patient, Number.POSITIVE_INFINITY);
  host.pass(1000);
  t.same(patient.firedAt, []);
  t.equal(host.pending, 0, 'and no alarm rings for nobody');
  deadlines.set(patient, host.time + 100);
  host.pass(1000);
  t.equal(patient.firedAt.length, 1, 'it can be set again');
});

t.test('removed ones never fire', async (t) => {
  const { host, deadlines } = setUp();
  const patients = Array.from({ length: 5 }, () => new Patient(host));
  for (const patient of patients) deadlines.set(patient, host.time + 200);
  const [first, second, third, fourth, fifth] = patients as [Patient, Patient, Patient, Patient, Patient];
  deadlines.remove(fifth);
  deadlines.remove(first);
  deadlines.remove(third);
  deadlines.remove(third);
  deadlines.remove(new Patient(host));
  host.pass(1000);
  t.same(
    patients.map((patient) => patient.firedAt.length),
    [0, 1, 0, 1, 0],
  );
  for (const patient of [first, third, fifth]) t.equal(patient.deadlineSlot, -1);
  deadlines.remove(second);
  deadlines.remove(fourth);
  deadlines.set(first, host.time + 200);
  host.pass(1000);
  t.equal(first.firedAt.length, 1, 'a removed one can come back');
});

t.test('a callback may set, move and remove whatever it likes', async (t) => {
  const { host, deadlines } = setUp();
  const at = host.time + 200;
  const victim = new Patient(host);
  const moved = new Patient(host);
  const late = new Patient(host);
  const killer = new Patient(host, () => {
    deadlines.remove(killer);
    deadlines.remove(victim);
    deadlines.set(moved, at + 1000);
    deadlines.set(late, host.time + 300);
  });
  const again: Patient = new Patient(host, () => {
    if (again.firedAt.length < 3) deadlines.set(again, host.time + 200);
  });
  for (const patient of [killer, again, victim, moved]) deadlines.set(patient, at);
  host.pass(10_000);
  t.equal(killer.firedAt.length, 1);
  t.same(victim.firedAt, [], 'removed within the sweep in which it was due');
  t.ok(isInTime(moved, at + 1000), String(moved.firedAt));
  t.equal(late.firedAt.length, 1);
  t.equal(again.firedAt.length, 3, 'one that sets itself again');
  t.equal(host.pending, 0);
});

t.test('a deadline that is removed and set again within a sweep passes at its new time', async (t) => {
  const { host, deadlines } = setUp();
  const at = host.time + 200;
  const other = new Patient(host);
  const first = new Patient(host, () => {
    deadlines.remove(other);
    deadlines.set(other, at + 500);
  });
  deadlines.set(first, at);
  deadlines.set(other, at);
  host.pass(10_000);
  t.ok(isInTime(other, at + 500), String(other.firedAt));
});

t.test('ten thousand, at random: each in its time, with few alarms', async (t) => {
  const { host, deadlines } = setUp();
  const random = new Random(5);
  const start = host.time;
  const all = Array.from({ length: 10_000 }, (): [Patient, number] => [
    new Patient(host),
    start + random.below(20_000),
  ]);
  for (const [patient, at] of all) {
    deadlines.set(patient, start + random.below(20_000));
    deadlines.set(patient, at);
  }
  const removed = new Set<Patient>();
  for (const [patient] of random.shuffle(all).slice(0, 3000)) {
    deadlines.remove(patient);
    removed.add(patient);
  }
  const patients = all.filter(([patient]) => !removed.has(patient));
  host.pass(25_000);
  t.same(
    patients.filter(([patient, at]) => !isInTime(patient, at)).map(([patient, at]) => [at, patient.firedAt]),
    [],
  );
  t.ok([...removed].every((patient) => patient.firedAt.length === 0));
  t.ok(host.alarmsSet <= 20_000 / TICK_MS + 20, `${host.alarmsSet} alarms`);
  t.equal(host.pending, 0);
});

t.test('never more than one alarm, and none for a deadline that only moves away', async (t) => {
  const { host, deadlines } = setUp();
  const patient = new Patient(host);
  deadlines.set(patient, host.time + 1000);
  const before = host.alarmsSet;
  for (let i = 1; i < 500; i++) deadlines.set(patient, host.time + 1000 + i);
  t.equal(host.alarmsSet, before);
  t.equal(host.pending, 1);
});

t.test(
  'between the alarm and the look at the sockets, a deadline that is past already needs no other alarm',
  async (t) => {
    const host = new HandHost();
    const deadlines = new Deadlines(host, new ActiveClock(TICK_MS), TICK_MS, () => {});
    const patient = new Patient(host);
    const other = new Patient(host);
    deadlines.set(patient, host.time + 200);
    host.pass(200);
    t.equal(deadlines.isDue, true);
    deadlines.set(other, host.time - 50);
    t.equal(host.pending, 0);
    t.same([patient.firedAt, other.firedAt], [[], []], 'nobody was judged');
    deadlines.judge(host.time);
    t.equal(deadlines.isDue, false);
    t.same([patient.firedAt.length, other.firedAt.length], [1, 1]);
  },
);

t.test('close: no alarm is left', async (t) => {
  const { host, deadlines } = setUp();
  const patient = new Patient(host);
  deadlines.set(patient, host.time + 100);
  deadlines.close();
  t.equal(host.pending, 0);
  host.pass(1000);
  t.same(patient.firedAt, []);
  deadlines.close();
});
