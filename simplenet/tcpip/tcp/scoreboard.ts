/**
 * Scoreboard: the segments that are sent and not acknowledged, each in flight, lost, or known to have arrived (SACK).
 *
 *     in flight  -> lost       a rule of loss-detection.ts says so
 *     lost       -> in flight  it is sent again
 *     either one -> arrived    a SACK block covers it
 *     arrived    -> lost       the peer has dropped it again (RFC 2018 section 8), all of them at once
 *     any        -> gone       the cumulative acknowledgment covers it
 *
 * All segments stand in one array in the order of their sequence numbers. Those in flight are also a list in the order in which
 * they were sent, and the lost ones a list in the order of their sequence numbers. So each step costs as much as it changes: an ACK
 * of two segments touches two, and the search for losses looks at those that were sent first. Neighbours that have arrived
 * become one entry, so that a SACK block that is repeated in each ACK is skipped at once.
 *
 * Positions count sequence numbers from the first one that was sent, and do not wrap.
 *
 * Next: reordering-window.ts
 */

export const IN_FLIGHT = 0;
export const LOST = 1;
export const ARRIVED = 2;

export interface SentSegment {
  start: number;
  end: number;
  /** When it was sent the last time. */
  sentAt: number;
  isRetransmitted: boolean;
  state: typeof IN_FLIGHT | typeof LOST | typeof ARRIVED;
  /** How many segments have become this entry. */
  count: number;
  before: SentSegment | null;
  after: SentSegment | null;
}

/** A list of segments that are in the same state. */
class SegmentList {
  first: SentSegment | null = null;
  last: SentSegment | null = null;
  byteLength = 0;

  append(segment: SentSegment): void {
    this.#insert(segment, this.last, null);
  }

  /** Segments become lost nearly always in order: the place is at the end, or else at the beginning. */
  insertBySequence(segment: SentSegment): void {
    if (this.first !== null && segment.start < this.first.start) {
      this.#insert(segment, null, this.first);
      return;
    }
    let before = this.last;
    while (before !== null && before.start > segment.start) before = before.before;
    this.#insert(segment, before, before === null ? null : before.after);
  }

  #insert(segment: SentSegment, before: SentSegment | null, after: SentSegment | null): void {
    segment.before = before;
    segment.after = after;
    if (before === null) this.first = segment;
    else before.after = segment;
    if (after === null) this.last = segment;
    else after.before = segment;
    this.byteLength += segment.end - segment.start;
  }

  remove(segment: SentSegment): void {
    const { before, after } = segment;
    if (before === null) this.first = after;
    else before.after = after;
    if (after === null) this.last = before;
    else after.before = before;
    segment.before = null;
    segment.after = null;
    this.byteLength -= segment.end - segment.start;
  }
}

export class Scoreboard {
  /** SND.UNA and SND.NXT as positions. */
  firstPosition = 0;
  nextPosition = 0;
  /** How many bytes, and how many segments, are known to have arrived behind a gap. */
  arrivedBytes = 0;
  arrivedCount = 0;
  readonly inFlight = new SegmentList();
  readonly lost = new SegmentList();
  /** In the order of their positions, from `#head` on. */
  readonly #segments: SentSegment[] = [];
  #head = 0;

  /** How many entries there are. */
  get length(): number {
    return this.#segments.length - this.#head;
  }

  get first(): SentSegment | undefined {
    return this.#segments[this.#head];
  }

  get last(): SentSegment | undefined {
    return this.#segments[this.#segments.length - 1];
  }

  /** New bytes are sent. */
  push(length: number, now: number): void {
    const segment: SentSegment = {
      start: this.nextPosition,
      end: this.nextPosition + length,
      sentAt: now,
      isRetransmitted: false,
      state: IN_FLIGHT,
      count: 1,
      before: null,
      after: null,
    };
    this.#segments.push(segment);
    this.inFlight.append(segment);
    this.nextPosition = segment.end;
  }

  markLost(segment: SentSegment): void {
    this.inFlight.remove(segment);
    segment.state = LOST;
    this.lost.insertBySequence(segment);
  }

  /** The first `length` bytes of the first lost segment are sent again. The rest becomes a segment of its own. */
  resend(length: number, now: number): void {
    const segment = this.lost.first as SentSegment;
    this.lost.remove(segment);
    if (length < segment.end - segment.start) this.#split(segment, segment.start + length);
    this.#send(segment, now);
  }

  #split(segment: SentSegment, at: number): void {
    const rest: SentSegment = { ...segment, start: at, count: Math.max(1, segment.count - 1) };
    segment.end = at;
    segment.count = 1;
    this.lost.insertBySequence(rest);
    this.#segments.splice(this.#indexOf(segment.start) + 1, 0, rest);
  }

  /** A segment in flight is sent again without being lost. */
  repeat(segment: SentSegment, now: number): void {
    this.inFlight.remove(segment);
    this.#send(segment, now);
  }

  #send(segment: SentSegment, now: number): void {
    segment.state = IN_FLIGHT;
    segment.sentAt = now;
    segment.isRetransmitted = true;
    this.inFlight.append(segment);
  }

  /** Everything before `position` is acknowledged. Calls `onArrived` for each segment that was not known to have arrived. */
  acknowledge(position: number, onArrived: (segment: SentSegment) => void): void {
    this.firstPosition = position;
    const segments = this.#segments;
    let head = this.#head;
    for (; head < segments.length; head++) {
      const segment = segments[head] as SentSegment;
      if (segment.end > position) {
        if (segment.start < position) this.#cutFront(segment, position);
        break;
      }
      if (segment.state === ARRIVED) {
        this.arrivedBytes -= segment.end - segment.start;
        this.arrivedCount -= segment.count;
      } else {
        this.#leave(segment);
        onArrived(segment);
      }
    }
    this.#head = head;
    if (head * 2 > segments.length) {
      // More than half of the list is used up. Removing it at once costs O(1) per segment; shift() for each would cost O(n).
      segments.splice(0, head);
      this.#head = 0;
    }
  }

  /** A middlebox has cut the segment, or the peer had room for a part of it. */
  #cutFront(segment: SentSegment, position: number): void {
    const bytes = position - segment.start;
    segment.start = position;
    if (segment.state === ARRIVED) this.arrivedBytes -= bytes;
    else this.#listOf(segment).byteLength -= bytes;
  }

  /** What lies wholly between the two positions has arrived. Calls `onArrived` for each segment of which that was not known. */
  markArrived(start: number, end: number, onArrived: (segment: SentSegment) => void): void {
    const segments = this.#segments;
    const index = this.#indexOf(start);
    let from = index;
    // The entry that has `start` may begin before it: then it has arrived already, or is not covered wholly.
    if ((segments[from] as SentSegment).start < start) from++;
    let to = from;
    for (; to < segments.length; to++) {
      const segment = segments[to] as SentSegment;
      if (segment.end > end) break;
      if (segment.state === ARRIVED) continue;
      this.#leave(segment);
      segment.state = ARRIVED;
      this.arrivedBytes += segment.end - segment.start;
      this.arrivedCount++;
      onArrived(segment);
    }
    if (from < to) this.#joinArrived(from, to);
  }

  /** Makes one entry of those from `from` to `to`, which have all arrived, and of their neighbours that have. */
  #joinArrived(from: number, to: number): void {
    const segments = this.#segments;
    let low = from;
    let high = to;
    // There is always one before: a SACK block begins after SND.UNA.
    if ((segments[low - 1] as SentSegment).state === ARRIVED) low--;
    if (segments[high]?.state === ARRIVED) high++;
    if (high - low === 1) return;
    const joined = segments[low] as SentSegment;
    joined.end = (segments[high - 1] as SentSegment).end;
    for (let i = low + 1; i < high; i++) joined.count += (segments[i] as SentSegment).count;
    segments.splice(low + 1, high - low - 1);
  }

  /** The peer has dropped what it had reported as arrived: all of it counts as lost. */
  forgetArrived(): void {
    for (let i = this.#head; i < this.#segments.length; i++) {
      const segment = this.#segments[i] as SentSegment;
      if (segment.state !== ARRIVED) continue;
      segment.state = LOST;
      this.lost.insertBySequence(segment);
    }
    this.arrivedBytes = 0;
    this.arrivedCount = 0;
  }

  /** The index of the entry with the byte at `position`, which is between SND.UNA and SND.NXT. */
  #indexOf(position: number): number {
    let low = this.#head;
    let high = this.#segments.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#segments[middle] as SentSegment).start <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #leave(segment: SentSegment): void {
    this.#listOf(segment).remove(segment);
  }

  #listOf(segment: SentSegment): SegmentList {
    return segment.state === LOST ? this.lost : this.inFlight;
  }
}
