/** Who may begin, who waits and who is turned away, without a server: at each limit, one more, and as time passes. */

import { type Test, test } from 'tap';
import { Admission, type Applicant } from '../../../http/connection/admission.ts';
import { LoopDelay, SAME_OVERLOAD_MS, STAYS_MS } from '../../../http/connection/loop-delay.ts';
import { defaultLimits, defaultTimeouts } from '../../../http/limits.ts';
import type { SocketAddress, UdpHandler, UdpPort } from '../../../simplenet/index.ts';

/** A clock that a test moves on, with alarms; and a line for datagrams to ourselves, which a test lets through. */
class Clock {
  now = 0;
  isTurnSpent = false;
  readonly sent: Buffer[] = [];
  isClosed = false;
  /** What the kernel says to a datagram. */
  hasRoom = true;
  #handler!: UdpHandler;
  #alarms: { readonly at: number; readonly ring: () => void }[] = [];

  exactNow(): number {
    return this.now;
  }

  after(delayMs: number, ring: () => void) {
    const alarm = { at: this.now + delayMs, ring };
    this.#alarms.push(alarm);
    const cancel = () => {
      this.#alarms = this.#alarms.filter((other) => other !== alarm);
    };
    return { cancel };
  }

  pass(ms: number): void {
    this.now += ms;
    const due = this.#alarms.filter(({ at }) => at <= this.now);
    this.#alarms = this.#alarms.filter(({ at }) => at > this.now);
    for (const { ring } of due) ring();
  }

  get alarms(): number {
    return this.#alarms.length;
  }

  readonly #port: UdpPort = {
    address: { path: '\0here' },
    send: (bytes) => {
      if (this.hasRoom) this.sent.push(Buffer.from(bytes));
      return this.hasRoom;
    },
    close: () => {
      this.isClosed = true;
    },
  };

  bindUdp(_address: SocketAddress, handler: UdpHandler): UdpPort {
    this.#handler = handler;
    return this.#port;
  }

  deliver(bytes = this.sent.shift() as Buffer): void {
    this.#handler.onMessage(this.#port, bytes, { path: '\0here' });
  }
}

class Request implements Applicant {
  state = 'new';
  awaitedTurns = 0;
  readonly #onAdmitted: (request: Request) => void;

  constructor(onAdmitted: (request: Request) => void = () => {}) {
    this.#onAdmitted = onAdmitted;
  }

  admitted(): void {
    this.state = 'admitted';
    this.#onAdmitted(this);
  }

  queued(): void {
    this.state = 'queued';
  }

  turnedAway(): void {
    this.state = 'turned away';
  }

  awaitTurn(): void {
    this.awaitedTurns++;
  }

  /** How far its client is behind. */
  behindMs = 0;

  press(): number {
    return this.behindMs;
  }

  refuseIfSlow(): boolean {
    if (this.behindMs === 0) return false;
    this.state = 'refused';
    this.onRefused();
    return true;
  }

  onRefused: () => void = () => {};
}

function admissionWith(requestsInFlight: number, requestsQueued: number, clock = new Clock()) {
  const limits = { ...defaultLimits, requestsInFlight, requestsQueued };
  const admission = new Admission(clock, limits, { ...defaultTimeouts, queueMs: 100 }, null);
  const enter = () => {
    const request = new Request();
    admission.enter(request);
    return request;
  };
  return { admission, clock, enter };
}

const statesOf = (requests: readonly Request[]) => requests.map(({ state }) => state);

test('n are admitted, m wait, and the next is turned away', async (t) => {
  const { admission, enter } = admissionWith(2, 3);
  const requests = Array.from({ length: 6 }, enter);
  t.same(statesOf(requests), ['admitted', 'admitted', 'queued', 'queued', 'queued', 'turned away']);
  t.same([admission.inFlight, admission.queued], [2, 3]);
});

test('a free place goes to the one who has waited longest, and nobody overtakes the line', async (t) => {
  const { admission, enter } = admissionWith(1, 3);
  const [first, second, third] = [enter(), enter(), enter()];
  admission.leave(first);
  const late = enter();
  t.same(statesOf([second, third, late]), ['queued', 'queued', 'queued'], 'not within the call');
  await null;
  t.same(statesOf([second, third, late]), ['admitted', 'queued', 'queued']);
  admission.leave(third);
  admission.leave(second);
  admission.leave(second);
  await null;
  t.same(statesOf([third, late]), ['queued', 'admitted'], 'who has left the line is not called');
  t.same([admission.inFlight, admission.queued], [1, 0]);
});

test('two places that come free at once are both filled', async (t) => {
  const { admission, enter } = admissionWith(2, 3);
  const [first, second, ...waiting] = Array.from({ length: 5 }, enter) as [Request, Request, ...Request[]];
  admission.leave(first);
  admission.leave(second);
  await null;
  t.same(statesOf(waiting), ['admitted', 'admitted', 'queued']);
});

test('a long line of handlers that answer at once is no deep recursion', async (t) => {
  const { admission } = admissionWith(1, 100_000);
  const first = new Request();
  admission.enter(first);
  const requests = Array.from({ length: 100_000 }, () => new Request((request) => admission.leave(request)));
  for (const request of requests) admission.enter(request);
  admission.leave(first);
  await null;
  t.ok(requests.every(({ state }) => state === 'admitted'));
  t.equal(admission.inFlight, 0);
});

/** Requests whose handlers answer at once wait behind one at work. The turn is spent once `handlersPerTurn` of them have run. */
function synchronousLine(count: number, handlersPerTurn: number) {
  const { admission, clock, enter } = admissionWith(1, count);
  const first = enter();
  let ran = 0;
  const line = Array.from(
    { length: count },
    () =>
      new Request((request) => {
        clock.isTurnSpent = ++ran >= handlersPerTurn;
        admission.leave(request);
      }),
  );
  for (const request of line) admission.enter(request);
  const turn = () => {
    clock.isTurnSpent = false;
    ran = 0;
    admission.goOn();
  };
  return { admission, clock, first, line, turn };
}

test('when the time of the turn is spent, the line goes on in another turn', async (t) => {
  const { admission, first, line, turn } = synchronousLine(5, 2);
  const begun = () => line.filter(({ state }) => state === 'admitted').length;
  admission.leave(first);
  await null;
  t.equal(begun(), 2);
  t.same(
    line.map(({ awaitedTurns }) => awaitedTurns),
    [0, 0, 1, 0, 0],
    'the first in line asks for the turn',
  );
  const late = new Request();
  admission.enter(late);
  await null;
  t.same([begun(), late.state], [2, 'queued'], 'nothing begins before the turn');
  turn();
  t.equal(begun(), 4);
  turn();
  t.same([begun(), late.state], [5, 'admitted']);
  turn();
  t.same([admission.inFlight, admission.queued], [1, 0], 'a turn that nobody waits for changes nothing');
});

test('a place that comes free when the turn is spent waits for the next turn, in which one begins at least', async (t) => {
  const { admission, clock, first, line } = synchronousLine(2, 1);
  clock.isTurnSpent = true;
  admission.leave(first);
  await null;
  t.same(statesOf(line), ['queued', 'queued']);
  admission.goOn();
  t.same(statesOf(line), ['admitted', 'queued']);
});

test('who leaves the line, or is turned away, while the line waits for its turn passes that on', async (t) => {
  const { admission, clock, first, line } = synchronousLine(4, 1);
  const [one, two, three, four] = line as [Request, Request, Request, Request];
  clock.isTurnSpent = true;
  admission.leave(first);
  await null;
  admission.leave(two);
  await null;
  t.same([one.awaitedTurns, three.awaitedTurns], [1, 0], 'another one that leaves changes nothing');
  admission.leave(one);
  await null;
  t.same([three.awaitedTurns, four.awaitedTurns], [1, 0]);
  clock.pass(60);
  const late = new Request();
  admission.enter(late);
  clock.pass(40);
  await null;
  t.same(statesOf([three, four, late]), ['queued', 'turned away', 'queued'], 'the free place is for the first');
  admission.leave(three);
  await null;
  t.equal(late.awaitedTurns, 1);
  clock.isTurnSpent = false;
  admission.leave(late);
  await null;
  t.same([admission.inFlight, admission.queued], [0, 0]);
});

test('who waits longer than queueMs is turned away, each at its own time', async (t) => {
  const { admission, clock, enter } = admissionWith(1, 3);
  const first = enter();
  const second = enter();
  clock.pass(60);
  const third = enter();
  clock.pass(39);
  t.same(statesOf([second, third]), ['queued', 'queued'], 'after 99 ms');
  clock.pass(1);
  t.same(statesOf([second, third]), ['turned away', 'queued'], 'after 100 ms');
  clock.pass(59);
  t.equal(third.state, 'queued');
  clock.pass(1);
  t.equal(third.state, 'turned away');
  t.equal(clock.alarms, 0, 'with an empty line there is no alarm');
  t.equal(first.state, 'admitted', 'time does not end what is at work');
  enter();
  t.equal(clock.alarms, 1);
  admission.close();
  t.equal(clock.alarms, 0);
});

/** All places are taken by clients that are `behind`, and the line is full. */
function slowWorld(behind: readonly number[], maxQueued: number) {
  const world = admissionWith(behind.length, maxQueued);
  const { admission, enter } = world;
  const slow = behind.map((behindMs) => {
    const request = enter();
    request.behindMs = behindMs;
    request.onRefused = () => admission.leave(request);
    return request;
  });
  const line = Array.from({ length: maxQueued }, enter);
  return { ...world, slow, line };
}

test('if the line is full, the slowest client at work makes room, and the first in line gets its place', async (t) => {
  const { admission, enter, slow, line } = slowWorld([1_000, 5_000, 999], 2);
  const late = [enter(), enter(), enter()];
  t.same(statesOf(slow), ['refused', 'refused', 'admitted']);
  t.same(statesOf(late), ['queued', 'queued', 'turned away'], 'one that is behind by less makes no room');
  t.equal(admission.isFull, true);
  await null;
  t.same(statesOf(line), ['admitted', 'admitted']);
  t.same([admission.inFlight, admission.queued], [3, 2]);
});

test('before the first ones in line are turned away, slow clients make room', async (t) => {
  const { admission, clock, slow, line } = slowWorld([2_000, 0, 3_000], 4);
  clock.pass(99);
  t.same(statesOf(slow), ['admitted', 'admitted', 'admitted'], 'none is ended while the line may get on without');
  clock.pass(1);
  t.same(statesOf(slow), ['refused', 'admitted', 'refused']);
  t.same(statesOf(line), ['queued', 'queued', 'turned away', 'turned away']);
  t.equal(clock.alarms, 1);
  await null;
  t.same(statesOf(line), ['admitted', 'admitted', 'turned away', 'turned away']);
  clock.pass(100);
  t.same([admission.inFlight, admission.queued, clock.alarms], [3, 0, 0]);
});

test('who is about to get a free place is not turned away, though its time is over', async (t) => {
  const { admission, clock, first, line, turn } = synchronousLine(2, 1);
  clock.isTurnSpent = true;
  admission.leave(first);
  await null;
  clock.pass(100);
  t.same(statesOf(line), ['queued', 'turned away'], 'there is one free place');
  turn();
  t.equal(line[0]?.state, 'admitted');
});

test('there is one alarm, also if those who are turned away come again at once', async (t) => {
  const { admission, clock, enter } = admissionWith(1, 10);
  enter();
  const again: Request[] = [];
  class Pipeline extends Request {
    override turnedAway(): void {
      super.turnedAway();
      const next = new Request();
      again.push(next);
      admission.enter(next);
    }
  }
  const first = new Pipeline();
  admission.enter(first);
  clock.pass(50);
  const second = new Pipeline();
  admission.enter(second);
  t.equal(clock.alarms, 1);
  clock.pass(50);
  t.same([first.state, second.state], ['turned away', 'queued']);
  t.equal(clock.alarms, 1, 'for the second one');
  clock.pass(50);
  t.same(statesOf([second, ...again]), ['turned away', 'queued', 'queued']);
  t.equal(clock.alarms, 1);
  clock.pass(49);
  t.same(statesOf(again), ['queued', 'queued'], 'after 99 ms');
  clock.pass(1);
  t.same(statesOf(again), ['turned away', 'queued'], 'after 100 ms');
  admission.close();
  t.equal(clock.alarms, 0);
});

test('if all in line are turned away at once and come again, their time begins anew', async (t) => {
  const { admission, clock } = admissionWith(1, 10);
  admission.enter(new Request());
  const states: string[] = [];
  const come = () => {
    const request = new Request();
    request.turnedAway = () => {
      states.push('turned away');
      come();
    };
    admission.enter(request);
  };
  come();
  come();
  clock.pass(100);
  t.same([states.length, admission.queued, clock.alarms], [2, 2, 1]);
  clock.pass(99);
  t.equal(states.length, 2);
  clock.pass(1);
  t.same([states.length, admission.queued, clock.alarms], [4, 2, 1]);
});

/** A datagram is sent, or arrives, between two requests; `is` is a request. */
function late(t: Test, maxMs = 50) {
  const clock = new Clock();
  clock.now = 1_000;
  const delay = new LoopDelay(clock, maxMs);
  const is = (expected: boolean, what: string) => t.equal(delay.isTooLong(), expected, what);
  return { clock, delay, is };
}

test('a datagram to ourselves is sent after the turn of a request, and again after a while', async (t) => {
  const { clock, delay, is } = late(t);
  is(false, 'nothing is known yet');
  t.equal(clock.sent.length, 0, 'not within the turn');
  clock.pass(3);
  t.equal(clock.sent.length, 1);
  clock.pass(1);
  clock.deliver();
  is(false, 'which took 1 ms');
  clock.pass(18);
  is(false, '19 ms after it was sent');
  clock.pass(0);
  t.equal(clock.sent.length, 0);
  clock.pass(1);
  t.equal(clock.sent.length, 0, 'without a request none is sent');
  is(false, '20 ms');
  is(false, 'and another request');
  t.equal(clock.alarms, 1);
  delay.close();
  t.equal(clock.alarms, 0);
  t.ok(clock.isClosed);
});

test('a delay is too long when it has stayed above the limit: at the limit, just above it, and as time passes', async (t) => {
  const { clock, is } = late(t);
  is(false, 'nothing is known yet');
  clock.pass(0);
  clock.pass(50);
  is(false, 'it is on its way for 50 ms');
  clock.pass(100);
  is(false, 'for longer: the first request that meets that');
  clock.pass(99);
  is(false, '99 ms later');
  clock.pass(1);
  is(true, '100 ms later');
  clock.deliver();
  is(true, 'the next datagram is still to be sent');
  clock.pass(0);
  clock.pass(50);
  is(true, 'it is no faster yet than the one before');
  clock.deliver();
  is(false, 'it took 50 ms');
  clock.pass(0);
  clock.pass(51);
  is(true, 'the next one takes longer: it is still the same overload');
  clock.deliver();
  clock.pass(0);
  clock.deliver();
  clock.pass(20);
  is(false, 'the next one took no time');
  clock.pass(0);
  clock.pass(SAME_OVERLOAD_MS - 21);
  is(true, 'just within a second');
  clock.deliver();
  clock.pass(0);
  clock.deliver();
  clock.pass(20);
  is(false, 'a fast one again');
  clock.pass(0);
  clock.pass(SAME_OVERLOAD_MS - 20);
  is(false, 'a second later the time begins anew');
});

test('one stall is no queue: the datagram after it is sent without a request, and says so', async (t) => {
  const { clock, is } = late(t);
  is(false, 'nothing is known yet');
  clock.pass(0);
  clock.pass(1_000);
  is(false, 'a request that came during the stall, or after it');
  clock.deliver();
  is(false, 'and another');
  clock.pass(0);
  t.equal(clock.sent.length, 1);
  clock.pass(1);
  clock.deliver();
  clock.pass(5_000);
  t.equal(clock.sent.length, 0, 'nothing is sent in a silence');
  is(false, 'a request long after');
  clock.pass(0);
  clock.pass(60);
  is(false, 'and one in the next stall');
  clock.pass(100);
  is(true, 'which lasts');
});

test('of a short limit a datagram is not sent more often', async (t) => {
  const { clock, is } = late(t, 1);
  is(false, 'nothing is known yet');
  clock.pass(0);
  clock.pass(5);
  clock.deliver();
  clock.pass(14);
  t.equal(clock.sent.length, 0);
  clock.pass(1);
  t.equal(clock.sent.length, 1, '20 ms after the first');
});

test('a datagram that is lost is replaced, and one that was not ours changes nothing', async (t) => {
  const { clock, is } = late(t);
  is(false, 'one is sent');
  clock.pass(0);
  clock.pass(500);
  is(false, 'it is late');
  clock.pass(549);
  is(true, 'still');
  clock.deliver(Buffer.from('stranger'));
  is(true, 'a stranger says nothing');
  clock.pass(1);
  is(false, 'it is lost');
  clock.pass(0);
  t.equal(clock.sent.length, 2, 'another one is sent');
  clock.pass(60);
  is(true, 'which takes long, too: it is the same overload');
  clock.deliver(clock.sent[0]);
  clock.pass(100);
  is(true, 'the first one comes too late to count');
  clock.deliver(clock.sent[1]);
  clock.deliver(clock.sent[1]);
  is(true, '160 ms');
});

test('where the kernel has no room for a datagram nothing is known', async (t) => {
  const { clock, is } = late(t);
  is(false, 'one is sent');
  clock.pass(0);
  clock.pass(100);
  is(false, 'it is late');
  clock.hasRoom = false;
  clock.deliver();
  clock.pass(0);
  clock.pass(500);
  is(false, 'the next one was not sent');
  clock.pass(0);
  clock.pass(500);
  is(false, 'and the next one neither');
});

test('while the loop is late everyone is turned away', async (t) => {
  const clock = new Clock();
  const delay = new LoopDelay(clock, 50);
  const admission = new Admission(clock, defaultLimits, defaultTimeouts, delay);
  const enter = () => {
    const request = new Request();
    admission.enter(request);
    return request.state;
  };
  clock.now = 1_000;
  t.equal(enter(), 'admitted');
  clock.pass(0);
  clock.pass(51);
  t.equal(enter(), 'admitted');
  clock.pass(STAYS_MS);
  t.equal(enter(), 'turned away');
  t.ok(admission.isFull);
  clock.deliver();
  t.equal(enter(), 'turned away');
  clock.pass(0);
  clock.deliver();
  t.equal(enter(), 'admitted');
  t.notOk(admission.isFull);
  admission.close();
  t.ok(clock.isClosed);
});
