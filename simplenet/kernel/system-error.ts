/**
 * SystemError: a system call failed. It has the shape of Node's own errors.
 *
 * It has the fields of an error of node:net (`code`, `errno`, `syscall`, `address`, `port`), so code that tests
 * `error.code === 'EADDRINUSE'` needs no change. The message adds the address and, for common errors, the remedy. Names and
 * texts come from Node's own tables, so this file has no list of errors.
 *
 * Next: interruption.ts
 */

import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import { EBADFD } from './abi.ts';
import { formatSocketAddress, type SocketAddress } from './socket-address.ts';

const remedies: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another socket has that address; stop its owner or choose another port',
  EADDRNOTAVAIL: 'no network interface of this machine has that address',
  EMFILE: 'this process may open no more files; see ulimit -n',
  ENFILE: 'the whole system may open no more files; see sysctl fs.file-max',
};

const LAST_PRIVILEGED_PORT = 1023;

function remedyFor(code: string, syscall: string, place: SocketAddress | undefined): string | undefined {
  if (code === 'EACCES' && syscall === 'bind' && place !== undefined && 'port' in place) {
    if (place.port <= LAST_PRIVILEGED_PORT) return 'ports below 1024 need root or CAP_NET_BIND_SERVICE';
  }
  if (syscall === 'rename')
    return 'no server listens on that socket, and this process may not remove it: its owner must';
  if (code === 'EADDRINUSE' && place !== undefined && 'path' in place) {
    // unix(7): closing a socket leaves its file behind. A name in the abstract namespace goes with its socket.
    if (place.path.startsWith('\0')) return 'another socket has that name';
    return 'the path exists: stop the server that listens there, or remove the file if it is not in use';
  }
  return remedies[code];
}

function describe(place: SocketAddress): string {
  return 'path' in place ? printablePath(place.path) || '(unnamed)' : formatSocketAddress(place);
}

/** An abstract Unix address begins with NUL, which is written as @. */
function printablePath(path: string): string {
  return path.replaceAll('\0', '@');
}

/** The symbolic name and the text of a call's result below 0. */
export function nameError(result: number): readonly [code: string, text: string] {
  const listed = getSystemErrorMap().get(result);
  if (listed !== undefined) return listed;
  if (result === -EBADFD) return ['EBADFD', 'file descriptor in bad state']; // a deleted TAP device; Node's tables do not have it
  // Errors that libuv never reports, such as EINPROGRESS, have a name in Node's tables but no text.
  const known = Object.entries(constants.errno).find(([, errno]) => errno === -result);
  return [known?.[0] ?? `E${-result}`, `error ${-result}`];
}

/**
 * A system call has failed.
 *
 * ```ts
 * import { NetSocket, SystemError } from 'simplenet';
 *
 * try {
 *   NetSocket.connectTo({ address: '127.0.0.1', port: 8080 }).close();
 * } catch (error) {
 *   if (!(error instanceof SystemError) || error.code !== 'ECONNREFUSED') throw error;
 *   console.error(error.message); // connect ECONNREFUSED: connection refused 127.0.0.1:8080
 * }
 * ```
 */
export class SystemError extends Error {
  /** The name that a stack trace begins with. */
  override readonly name = 'SystemError';
  /** The symbolic name: 'EADDRINUSE'. */
  readonly code: string;
  /** Negative, as in Node's errors. */
  readonly errno: number;
  /** The name of the call: 'bind'. */
  readonly syscall: string;
  // Declared only: a field that does not apply does not exist, as in Node's errors.
  /** The IP address that the call was about. */
  declare readonly address?: string;
  /** Its port. */
  declare readonly port?: number;
  /** The path of the Unix socket, or of the file, that the call was about. */
  declare readonly path?: string;

  /**
   * `result` is the -errno that the call returned; `place` is the address that the call was about. `ownRemedies` are those of a caller
   * whose errors have causes of their own, by their code.
   */
  constructor(
    syscall: string,
    result: number,
    place?: SocketAddress,
    ownRemedies: Readonly<Record<string, string>> = {},
  ) {
    const [code, text] = nameError(result);
    const where = place === undefined ? '' : ` ${describe(place)}`;
    const remedy = ownRemedies[code] ?? remedyFor(code, syscall, place);
    super(`${syscall} ${code}: ${text}${where}${remedy === undefined ? '' : ` (${remedy})`}`);
    this.code = code;
    this.errno = result;
    this.syscall = syscall;
    if (place === undefined) return;
    if ('path' in place) {
      this.path = place.path;
    } else {
      this.address = place.address;
      this.port = place.port;
    }
  }
}

/** Returns the result of a call, or throws a SystemError if it is below 0. */
export function check(syscall: string, result: number, place?: SocketAddress): number {
  if (result < 0) throw new SystemError(syscall, result, place);
  return result;
}
