/**
 * RateReduction: how much may be sent during a recovery, so that what is in flight shrinks evenly to the new threshold. RFC 9937.
 *
 * If more is in flight than the threshold, a part of each byte that arrives may be replaced, so that the threshold is reached when the
 * whole flight is replaced. If losses have taken it below, slow start fills it up again, but only as fast as bytes arrive
 * unless an ACK shows progress without further losses.
 *
 * Next: new-reno.ts
 */

interface Delivery {
  readonly ackedBytes: number;
  readonly deliveredBytes: number;
  readonly lostBytes: number;
  readonly inFlightBytes: number;
}

export class RateReduction {
  /** RecoverFS: what was in flight when the recovery began. */
  readonly #flightBytes: number;
  readonly #thresholdBytes: number;
  /** prr_delivered and prr_out. */
  #deliveredBytes = 0;
  #sentBytes = 0;
  #windowBytes = 0;

  constructor(flightBytes: number, thresholdBytes: number) {
    this.#flightBytes = Math.max(1, flightBytes);
    this.#thresholdBytes = thresholdBytes;
  }

  /** What may be in flight until the next ACK. */
  get windowBytes(): number {
    return this.#windowBytes;
  }

  onAck(ack: Delivery, maxSegmentBytes: number): void {
    const { deliveredBytes, inFlightBytes } = ack;
    this.#deliveredBytes += deliveredBytes;
    let quota: number;
    if (inFlightBytes > this.#thresholdBytes) {
      quota = Math.ceil((this.#deliveredBytes * this.#thresholdBytes) / this.#flightBytes) - this.#sentBytes;
    } else {
      const isSafe = ack.ackedBytes > 0 && ack.lostBytes === 0;
      quota = Math.max(this.#deliveredBytes - this.#sentBytes, deliveredBytes) + (isSafe ? maxSegmentBytes : 0);
      quota = Math.min(quota, this.#thresholdBytes - inFlightBytes);
    }
    // The first retransmission does not wait for a quota: without it nothing more might arrive.
    if (this.#sentBytes === 0) quota = Math.max(quota, maxSegmentBytes);
    this.#windowBytes = inFlightBytes + Math.max(0, quota);
  }

  onSent(bytes: number): void {
    this.#sentBytes += bytes;
  }
}
