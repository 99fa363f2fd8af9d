/**
 * simplenet: sockets by system call. This file exports everything that a program needs.
 *
 * There are two ways to use it. NetSocket and UdpSocket are the system calls themselves: their methods wait as the calls wait.
 * createEventLoop serves many connections at once inside Node's own loop.
 *
 * A program can also build an event loop of its own: Epoll reports which descriptors are ready, and `nodeHost.watch` calls back when
 * an Epoll has events. Such a loop runs beside the others in the same thread (examples/socketd/kernel-sockets.ts has one).
 *
 * Next: ../http/grammar.ts
 */

export { backendAdvice } from './backend-advice.ts';
export { type Backend, createEventLoop, type EventLoopOptions } from './create-event-loop.ts';
export { Epoll } from './epoll/epoll.ts';
export { IoUring, type IoUringOptions } from './io-uring/io-uring.ts';
export { Completion } from './io-uring/ring-layout.ts';
/**
 * The numbers and struct layouts of the Linux ABI, which C programs get from header files.
 *
 * ```ts
 * import { abi, NetSocket } from 'simplenet';
 *
 * const listener = NetSocket.listenOn({ address: '127.0.0.1', port: 8080 });
 * console.log(listener.getOption(abi.SOL_SOCKET, abi.SO_RCVBUF)); // the size of the receive buffer
 * ```
 */
export * as abi from './kernel/abi.ts';
export { AddressRanges, canonicalAddress } from './kernel/address-ranges.ts';
export { type CallCount, type CountingLibc, countingLibc } from './kernel/call-counts.ts';
export { formatIPv4, formatIPv6, htonl, htons, ntohl, ntohs, parseIPv4, parseIPv6 } from './kernel/ip-address.ts';
export { type Libc, libc } from './kernel/libc.ts';
export { raiseOpenFileLimit } from './kernel/open-file-limit.ts';
export {
  decodeSocketAddress,
  encodeSocketAddress,
  formatSocketAddress,
  type InternetAddress,
  parseSocketAddress,
  portOf,
  type SocketAddress,
  type UnixAddress,
} from './kernel/socket-address.ts';
export { SystemError } from './kernel/system-error.ts';
export { type TraceOptions, trace } from './kernel/tracing.ts';
export { acceptTls } from './layers/accept-tls.ts';
export {
  type DevelopmentCertificate,
  type DevelopmentCertificateOptions,
  developmentCertificate,
} from './layers/development-certificate.ts';
export { keyLogFile } from './layers/key-log-file.ts';
export type { ProxyInfo, ProxyTlv } from './layers/proxy-header.ts';
export type { OnProxiedConnection, ProxiedStream, ProxyProtocolOptions } from './layers/proxy-options.ts';
export { acceptProxied } from './layers/proxy-protocol.ts';
export { createTlsContext, TlsContext } from './layers/tls-context.ts';
export { TlsCounts, type TlsFailure } from './layers/tls-counts.ts';
export type {
  AcceptTlsOptions,
  ChooseCertificate,
  OnSecureConnection,
  Pem,
  SecureStream,
  TlsCertificate,
  TlsInfo,
  TlsOptions,
} from './layers/tls-options.ts';
export type {
  AcceptPolicy,
  AdoptListenerOptions,
  ConnectOptions,
  EventLoop,
  Listener,
  ListenerOptions,
  MinimumProgress,
  OnConnection,
  Stream,
  StreamHandler,
  UdpHandler,
  UdpPort,
} from './loop/event-loop.ts';
export type { Alarm, Host, Watch } from './loop/host.ts';
export type { LoopLimits } from './loop/loop-limits.ts';
export { nodeHost } from './loop/node-host.ts';
export { VirtualHost } from './loop/virtual-host.ts';
export { type ConnectSetup, NetSocket, type PeerCredentials } from './sockets/net-socket.ts';
export { type ReceivedDescriptors, receiveDescriptors, sendDescriptors } from './sockets/pass-descriptors.ts';
export type { Readiness, SocketSetup } from './sockets/socket.ts';
export { type ListeningSocket, listenReplacingStale, SocketFile } from './sockets/socket-file.ts';
export type { FilterInstruction } from './sockets/socket-filter.ts';
export type { KeepAlive, ListenOptions, OptionTarget, SocketOptions } from './sockets/socket-options.ts';
export { type Datagram, type ReceivedDatagram, UdpSocket } from './sockets/udp-socket.ts';
export type { ConnectionReport } from './tcpip/connection-report.ts';
export { FlowNumbers, frameText, traceFrames } from './tcpip/frame-text.ts';
export { captureFrames } from './tcpip/link/capture-link.ts';
export type { Link } from './tcpip/link/link.ts';
export { createWire, type FrameFate, type WireOptions } from './tcpip/link/simulated-wire.ts';
export { openTap, type TapOptions } from './tcpip/link/tap-link.ts';
export { createStack, type Stack, type StackOptions, type StackStatistics } from './tcpip/stack.ts';
export type { StackLimits } from './tcpip/stack-limits.ts';
export { type TapAdviceOptions, tapAdvice } from './tcpip/tap-advice.ts';
