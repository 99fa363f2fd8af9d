/**
 * LoadGenerator: a program that plays the clients. Both generators implement this interface; choose-load.ts picks one.
 *
 * Both send the same bytes over as many connections, wait for the answers, and count. Their figures are not the same,
 * since a faster client fills a server better: the report says which one it was, and results of the two do not compare.
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
  /** Answers that came completely. */
  readonly requests: number;
  readonly seconds: number;
  /** Null where the generator cannot tell. */
  readonly p50Us: number | null;
  readonly p99Us: number | null;
  /** Connections that could not be made or broke, and answers that took too long. */
  readonly errors: number;
  /** Answers whose status was another than 2xx. */
  readonly refused: number;
}

export interface LoadGenerator {
  readonly title: string;
  run(order: LoadOrder): Promise<LoadResult>;
}

export type LoadName = 'wrk' | 'own';
