/**
 * Topics: who gets what is published, for one endpoint. Subscribers are of this process; what is published also reaches those of other workers, by `peers`.
 *
 * A topic exists as long as it has a subscriber. A subscriber keeps the list of its topics, so that its end costs as much as it has topics, and not as much as
 * there are. A message goes to those who subscribe at that moment: nothing is kept for later.
 *
 * A subscriber that reads too slowly holds up no other. What waits for it is bounded by the option `maxQueuedBytes` of its endpoint (web-socket-connection.ts).
 *
 * Next: web-socket-options.ts
 */

import { peers } from '../peers.ts';
import type { MessageExtension } from './message-transform.ts';
import { SharedMessage } from './shared-message.ts';

/** A connection. */
export interface Subscriber {
  /** Its topics, in the order in which it has subscribed them. Null if there was none yet. Written here alone. */
  subscribed: Topic[] | null;
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

/** Endpoints of this process. All workers load the same module, so the same endpoint has the same number in each. */
let endpoints = 0;

/** What one worker tells the others. */
interface Publication {
  readonly name: string;
  readonly data: string | Uint8Array;
}

/** The topics of an endpoint, which it has in common with the same endpoint of other workers. */
export function topicsOfWorkers(extension: MessageExtension | null): Topics {
  if (peers.index === null) return new Topics();
  const subject = `websocket ${endpoints++}`;
  const topics = new Topics((name, { data }) => peers.tell(subject, { name, data } satisfies Publication));
  peers.onTold(subject, (told) => {
    const { name, data } = told as Publication;
    topics.deliver(name, new SharedMessage(data, extension), null);
  });
  return topics;
}

export class Topics {
  readonly #announce: ((name: string, message: SharedMessage) => void) | null;
  readonly #byName = new Map<string, Topic>();

  /** `announce` tells other workers what is published here. */
  constructor(announce: ((name: string, message: SharedMessage) => void) | null = null) {
    this.#announce = announce;
  }

  /** Does nothing if the subscriber has it already. */
  add(name: string, subscriber: Subscriber): void {
    let topic = this.#byName.get(name);
    if (topic === undefined) {
      topic = new Topic(name);
      this.#byName.set(name, topic);
    }
    if (topic.subscribers.has(subscriber)) return;
    topic.subscribers.add(subscriber);
    if (subscriber.subscribed === null) subscriber.subscribed = [topic];
    else subscriber.subscribed.push(topic);
  }

  /** Does nothing if the subscriber does not have it. */
  delete(name: string, subscriber: Subscriber): void {
    const topic = this.#byName.get(name);
    if (topic === undefined || !topic.subscribers.has(subscriber)) return;
    const subscribed = subscriber.subscribed as Topic[];
    subscribed.splice(subscribed.indexOf(topic), 1); // by identity: comparing 10,000 names for each of as many calls took 1.5 s
    this.#remove(topic, subscriber);
  }

  /** The subscriber has ended. */
  leave(subscriber: Subscriber): void {
    for (const topic of subscriber.subscribed ?? []) this.#remove(topic, subscriber);
    subscriber.subscribed = null;
  }

  #remove(topic: Topic, subscriber: Subscriber): void {
    topic.subscribers.delete(subscriber);
    if (topic.subscribers.size === 0) this.#byName.delete(topic.name);
  }

  subscribers(name: string): number {
    return this.#byName.get(name)?.subscribers.size ?? 0;
  }

  /** Sends to all subscribers but one, also those of other workers. Returns how many there are in this process. */
  publish(name: string, message: SharedMessage, except: Subscriber | null): number {
    this.#announce?.(name, message);
    return this.deliver(name, message, except);
  }

  /** Sends to all subscribers of this process but one. Returns how many there are. */
  deliver(name: string, message: SharedMessage, except: Subscriber | null): number {
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
