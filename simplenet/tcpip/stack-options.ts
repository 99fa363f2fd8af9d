/**
 * The options of sockets, as far as a stack has them: buffer sizes, `noDelay`, `keepAlive`, `userTimeoutMs`, and the `backlog` of a listener.
 *
 * `reuseAddress` changes nothing: a port is free as soon as its listener closes. All others ask for something that a kernel alone has, so
 * they fail with EOPNOTSUPP, unless they are switched off.
 *
 * Next: connection-report.ts
 */

import type { KeepAlive, ListenOptions, SocketOptions } from '../sockets/socket-options.ts';
import { unsupported } from './stack-address.ts';
import type { StackLimits } from './stack-limits.ts';
import type { TcpConnection } from './tcp/tcp-connection.ts';
import type { BufferSizes } from './tcp/tcp-layer.ts';

const kernelOnly = [
  'reusePort',
  'ipv6Only',
  'deferAcceptSeconds',
  'fastOpenQueue',
  'lingerSeconds',
  'broadcast',
  'control',
] as const;

/** RFC 1122 section 4.2.3.6: a connection must be silent for at least two hours, unless the program says otherwise. */
const KEEP_ALIVE_IDLE_MS = 2 * 60 * 60 * 1_000;

const MAX_COUNT = 0x7fffffff;

/** What a program has chosen for a connection, or for all connections of a listener. */
export interface ConnectionSettings extends BufferSizes {
  readonly backlog: number;
  /** Sets what the buffers do not need before the handshake. */
  applyTo(connection: TcpConnection): void;
}

/** Throws EOPNOTSUPP for an option that the stack does not have. */
export function refuseKernelOptions(options: SocketOptions): void {
  for (const name of kernelOnly) {
    const value = options[name];
    const isOff = value === undefined || value === false || (value === 0 && name !== 'lingerSeconds');
    if (!isOff) throw unsupported(`a TCP/IP stack of its own has no option ${name}`);
  }
}

/** Throws for a value that is not possible. */
export function connectionSettingsOf(options: ListenOptions, limits: StackLimits): ConnectionSettings {
  refuseKernelOptions(options);
  const {
    sendBufferBytes = limits.sendBufferBytes,
    receiveBufferBytes = limits.receiveBufferBytes,
    backlog = limits.backlog,
    noDelay = false,
    keepAlive = false,
    userTimeoutMs = 0,
  } = options;
  checkCount('sendBufferBytes', sendBufferBytes, 1);
  checkCount('receiveBufferBytes', receiveBufferBytes, 1);
  checkCount('backlog', backlog, 0);
  checkCount('userTimeoutMs', userTimeoutMs, 0);
  if (typeof noDelay !== 'boolean') throw new TypeError(`noDelay must be true or false, not ${String(noDelay)}`);
  const times = keepAliveTimesOf(keepAlive, limits);
  return {
    sendBufferBytes,
    // As in Linux, a buffer whose size the program has chosen stays as it is.
    maxSendBufferBytes: options.sendBufferBytes ?? limits.maxSendBufferBytes,
    receiveBufferBytes,
    maxReceiveBufferBytes: options.receiveBufferBytes ?? limits.maxReceiveBufferBytes,
    backlog,
    applyTo(connection) {
      connection.noDelay = noDelay;
      if (userTimeoutMs > 0) connection.setUserTimeout(userTimeoutMs);
      if (times !== null) connection.setKeepAlive(times.idleMs, times.intervalMs, times.probes);
    },
  };
}

/** Null if the program has chosen nothing: then the limits of the stack decide. */
function keepAliveTimesOf(keepAlive: boolean | KeepAlive, limits: StackLimits) {
  if (keepAlive === false) return null;
  if (keepAlive === true) {
    const { keepAliveIdleMs, keepAliveIntervalMs: intervalMs, keepAliveProbes: probes } = limits;
    return { idleMs: Number.isFinite(keepAliveIdleMs) ? keepAliveIdleMs : KEEP_ALIVE_IDLE_MS, intervalMs, probes };
  }
  if (typeof keepAlive !== 'object' || keepAlive === null) {
    throw new TypeError(`keepAlive must be true, false or an object, not ${String(keepAlive)}`);
  }
  const { idleSeconds, intervalSeconds, probes } = keepAlive;
  checkCount('keepAlive.idleSeconds', idleSeconds, 1);
  checkCount('keepAlive.intervalSeconds', intervalSeconds, 1);
  checkCount('keepAlive.probes', probes, 1);
  return { idleMs: idleSeconds * 1_000, intervalMs: intervalSeconds * 1_000, probes };
}

function checkCount(name: string, value: number, min: number): void {
  if (Number.isInteger(value) && value >= min && value <= MAX_COUNT) return;
  throw new RangeError(`${name} must be an integer >= ${min}, not ${String(value)}`);
}
