/**
 * Topics: who gets what is published, for one endpoint in one process.
 *
 * A topic exists as long as it has a subscriber. A subscriber keeps the list of its topics, so that its end costs as much as it has topics, and not as much as
 * there are. A message goes to those who subscribe at that moment: nothing is kept for later.
 *
 * A subscriber that reads too slowly holds up no other. What waits for it is bounded by the option `maxQueuedBytes` of its endpoint (web-socket.ts).
 *
 * Next: web-socket-options.ts
 */

import type { SharedMessage } from './shared-message.ts';

/** What can be subscribed: a connection. */
export interface Subscriber {
  sendShared(message: SharedMessage): void;
}

/** One topic and its subscribers. */
export class Topic {
  readonly name: string;
  readonly subscribers = new Set<Subscriber>();

  constructor(name: string) {
    this.name = name;
  }
}

export class Topics {
  readonly #byName = new Map<string, Topic>();

  /** Returns the topic, or null if the subscriber has it already. */
  add(name: string, subscriber: Subscriber): Topic | null {
    let topic = this.#byName.get(name);
    if (topic === undefined) {
      topic = new Topic(name);
      this.#byName.set(name, topic);
    }
    if (topic.subscribers.has(subscriber)) return null;
    topic.subscribers.add(subscriber);
    return topic;
  }

  delete(topic: Topic, subscriber: Subscriber): void {
    topic.subscribers.delete(subscriber);
    if (topic.subscribers.size === 0) this.#byName.delete(topic.name);
  }

  subscribers(name: string): number {
    return this.#byName.get(name)?.subscribers.size ?? 0;
  }

  /** Sends to all subscribers but one. Returns how many there are. */
  publish(name: string, message: SharedMessage, except: Subscriber | null): number {
    const topic = this.#byName.get(name);
    if (topic === undefined) return 0;
    let count = 0;
    for (const subscriber of topic.subscribers) {
      if (subscriber === except) continue;
      subscriber.sendShared(message); // one that is too slow may leave the set meanwhile
      count++;
    }
    return count;
  }
}
