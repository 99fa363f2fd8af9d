/**
 * simplenet: sockets by system call. Everything a program needs is named here.
 *
 * Two ways to use it. NetSocket and UdpSocket are the calls themselves, one method each, and wait as the calls wait.
 * createEventLoop serves many connections at once inside Node's own loop.
 *
 * And one to build a third: Epoll says which of any descriptors have news, `nodeHost.watch` when an Epoll has, so a loop of one's
 * own can live beside the others in the same thread (examples/socketd/daemon.ts has one).
 *
 * Next: ../http/grammar.ts
 */

export * as abi from './abi.ts';
export { type Backend, createEventLoop, type EventLoopOptions } from './create-event-loop.ts';
export { Epoll } from './epoll.ts';
export type {
  AdoptListenerOptions,
  ConnectOptions,
  EventLoop,
  Listener,
  ListenerOptions,
  OnConnection,
  Stream,
  StreamHandler,
  UdpHandler,
  UdpPort,
} from './event-loop.ts';
export type { Alarm, Host, Watch } from './host.ts';
export { Completion, IoUring, type IoUringOptions } from './io-uring.ts';
export { formatIPv4, formatIPv6, htonl, htons, ntohl, ntohs, parseIPv4, parseIPv6 } from './ip-address.ts';
export { type Libc, libc } from './libc.ts';
export { type ConnectSetup, NetSocket, type PeerCredentials } from './net-socket.ts';
export { nodeHost } from './node-host.ts';
export { raiseOpenFileLimit } from './open-file-limit.ts';
export type { Readiness, SocketSetup } from './socket.ts';
export {
  decodeSocketAddress,
  encodeSocketAddress,
  formatSocketAddress,
  type InternetAddress,
  parseSocketAddress,
  portOf,
  type SocketAddress,
  type UnixAddress,
} from './socket-address.ts';
export type { FilterInstruction } from './socket-filter.ts';
export type { LoopLimits } from './socket-loop.ts';
export type { KeepAlive, ListenOptions, OptionTarget, SocketOptions } from './socket-options.ts';
export { SystemError } from './system-error.ts';
export { type TraceOptions, trace } from './tracing.ts';
export { type Datagram, type ReceivedDatagram, UdpSocket } from './udp-socket.ts';
