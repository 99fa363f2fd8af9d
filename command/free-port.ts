/**
 * The next free port, for a person who has named none.
 *
 * Each port is tried by listening on it: to look first and listen later would lose it to another program in between.
 *
 * Next: network-urls.ts
 */

import { SystemError } from '../simplenet/index.ts';
import { CommandError, FAILED } from './command-error.ts';

/** If so many ports in a row are busy, something else is wrong. */
export const MAX_PORTS = 20;

/** Calls `listen` with one port after the other until one is not busy. */
export function listenFrom<Result>(first: number, listen: (port: number) => Result): Result {
  for (let port = first; port < first + MAX_PORTS; port++) {
    try {
      return listen(port);
    } catch (error) {
      if (!(error instanceof SystemError && error.code === 'EADDRINUSE' && error.port === port)) throw error;
    }
  }
  throw new CommandError(`the ports ${first} to ${first + MAX_PORTS - 1} are busy: name one with --port`, FAILED);
}
