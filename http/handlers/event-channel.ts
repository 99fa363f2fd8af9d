/**
 * EventChannel: one event for many event streams: it is encoded once, and each stream writes the same bytes, in one send.
 *
 * A stream of its own would encode the event for each client, and gather it in a buffer of its own: at 10,000 clients that is 10,000 buffers in one tick.
 *
 * A stream leaves the channel when it ends. A slow client holds up no other: what waits for it is bounded, and then it is cut off.
 *
 * Next: compression-stage.ts
 */

import { encodeComment, encodeEvent, type ServerEvent } from '../content/event-stream.ts';
import { type EventHolder, type EventWriter, type SharedEvent, sharedEvent } from '../response/event-writer.ts';

/**
 * Sends events to many clients at once.
 *
 * ```ts
 * import { EventChannel, Router } from 'simplenet/http';
 *
 * const prices = new EventChannel();
 * new Router()
 *   .get('/prices', (_request, response) => prices.add(response.events()))
 *   .post('/prices', async (request, response) => {
 *     response.json({ listeners: prices.send({ event: 'price', data: await request.text() }) });
 *   });
 * ```
 */
export class EventChannel implements EventHolder {
  readonly #streams = new Set<EventWriter>();

  /** How many streams are in the channel. */
  get size(): number {
    return this.#streams.size;
  }

  /** Adds a stream, until it ends. */
  add(events: EventWriter): void {
    if (events.isClosed || this.#streams.has(events)) return;
    this.#streams.add(events);
    events.tellEnd(this);
  }

  /** Takes a stream out of the channel. It stays open. */
  delete(events: EventWriter): void {
    if (this.#streams.delete(events)) events.forget(this);
  }

  /** Sends an event to all streams. Returns how many there are. */
  send(event: ServerEvent): number {
    return this.#send(sharedEvent(encodeEvent(event)));
  }

  /** Sends a comment to all streams. */
  comment(text: string): number {
    return this.#send(sharedEvent(encodeComment(text)));
  }

  /** Ends all streams. */
  close(): void {
    for (const events of this.#streams) events.close();
  }

  #send(event: SharedEvent): number {
    for (const events of this.#streams) events.sendShared(event); // one that is too slow leaves the set meanwhile
    return this.#streams.size;
  }
}
