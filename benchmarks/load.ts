/**
 * LoadGenerator: a program that plays the clients. Both generators implement this interface; choose-load.ts picks one.
 *
 * Both send the same bytes over the same number of connections, wait for the responses, and count. Their figures differ, because a
 * faster client gives a server more to do. The report names the generator, and results of the two must not be compared.
 *
 * Next: wrk-load.ts
 */

export interface LoadOrder {
  readonly port: number;
  /** A file that holds the bytes of one request. */
  readonly requestFile: string;
  readonly connections: number;
  readonly pipeline: number;
  readonly seconds: number;
}

export interface LoadResult {
  /** Complete responses. */
  readonly requests: number;
  readonly seconds: number;
  /** Null if the generator cannot measure it. */
  readonly p50Us: number | null;
  readonly p99Us: number | null;
  /** Connections that failed or broke, and responses that took too long. */
  readonly errors: number;
  /** Responses with a status other than 2xx. */
  readonly refused: number;
}

export interface LoadGenerator {
  readonly title: string;
  run(order: LoadOrder): Promise<LoadResult>;
}

export type LoadName = 'wrk' | 'own';
