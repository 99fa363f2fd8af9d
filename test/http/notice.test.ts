import { test } from 'tap';
import { Notice, type Patience } from '../../http/notice.ts';

/** A clock that the test moves, and what was stopped when, with which grace. */
class Scene {
  readonly stops: (readonly [atMs: number, graceMs: number, idleGraceMs: number])[] = [];
  readonly notice: Notice;
  #now = 0;
  readonly #alarms = new Map<object, readonly [atMs: number, callback: () => void]>();

  constructor() {
    const after = (delayMs: number, callback: () => void) => {
      const alarm = { cancel: () => void this.#alarms.delete(alarm) };
      this.#alarms.set(alarm, [this.#now + delayMs, callback]);
      return alarm;
    };
    this.notice = new Notice(() => this.#now, after);
  }

  get alarms(): number {
    return this.#alarms.size;
  }

  give(patience: Patience): void {
    this.notice.give(patience, ({ graceMs, idleGraceMs }) => this.stops.push([this.#now, graceMs, idleGraceMs]));
  }

  passMs(ms: number): void {
    this.#now += ms;
    for (const [alarm, [at, callback]] of this.#alarms) {
      if (at > this.#now) continue;
      this.#alarms.delete(alarm);
      callback();
    }
  }
}

const ENDLESS = Number.POSITIVE_INFINITY;

test('without a notice it stops at once', async (t) => {
  const scene = new Scene();
  scene.give({ noticeMs: 0, graceMs: 10, idleGraceMs: 1 });
  t.same(scene.stops, [[0, 10, 1]]);
  t.equal(scene.alarms, 0);
});

test('it stops when the notice is over, and not before', async (t) => {
  const scene = new Scene();
  scene.give({ noticeMs: 5, graceMs: 10, idleGraceMs: 1 });
  scene.passMs(4);
  t.same(scene.stops, []);
  scene.passMs(1);
  t.same(scene.stops, [[5, 10, 1]]);
});

test('a later call makes the notice and the grace shorter, never longer', async (t) => {
  const scene = new Scene();
  scene.give({ noticeMs: ENDLESS, graceMs: 10, idleGraceMs: 1 });
  t.equal(scene.alarms, 0, 'one without an end needs no alarm');
  scene.give({ noticeMs: 50, graceMs: 20, idleGraceMs: 2 });
  scene.give({ noticeMs: 60, graceMs: 5, idleGraceMs: 3 });
  scene.passMs(30);
  scene.give({ noticeMs: 20, graceMs: 30, idleGraceMs: 4 });
  t.equal(scene.alarms, 1);
  scene.give({ noticeMs: 19, graceMs: 30, idleGraceMs: 5 });
  t.equal(scene.alarms, 1);
  scene.passMs(18);
  t.same(scene.stops, []);
  scene.passMs(1);
  t.same(scene.stops, [[49, 5, 5]]);
  scene.passMs(ENDLESS);
  t.equal(scene.stops.length, 1);
});

test('a call without notice ends it', async (t) => {
  const scene = new Scene();
  scene.give({ noticeMs: 50, graceMs: 10, idleGraceMs: 1 });
  scene.passMs(20);
  scene.give({ noticeMs: 0, graceMs: 20, idleGraceMs: 2 });
  t.same(scene.stops, [[20, 10, 2]]);
  t.equal(scene.alarms, 0);
});
