/**
 * SimulatedFaults: which faults happen, and how often.
 *
 * Linux may do each of them to any program, but rarely does on a developer's machine. A probability counts for one call, or for one
 * connection in that call; at 0 the fault never happens, at 1 always. The simulation has no other faults, so a failure can be traced
 * to one of these.
 *
 * Next: simulated-file.ts
 */

export interface SimulatedFaults {
  /** recv of a stream gives fewer bytes than are there. */
  readonly shortRead: number;
  /** send on a stream takes fewer bytes than it has room for. */
  readonly shortWrite: number;
  /** signal(7): recv, recvfrom, send, sendto, accept4, epoll_wait, poll and a blocking connect are interrupted. */
  readonly interrupt: number;
  /** EAGAIN from recv, send and accept4 although epoll reported the socket, select(2) BUGS. It is reported again. */
  readonly spuriousAgain: number;
  /** A TCP connection dies, and both ends get an RST: a middlebox forgot it, a cable was pulled. */
  readonly reset: number;
  /** EMFILE from socket and accept4. The connection stays in the queue. */
  readonly tooManyFiles: number;
  /** ENOBUFS from send, sendto and accept4. Nothing was sent, nothing was accepted. */
  readonly noBuffers: number;
  /** ECONNABORTED from accept4: the connection in question is gone. */
  readonly connectionAborted: number;
  /** Connects, bytes, datagrams, FIN and RST stay on the wire until the kernel's `deliver` lets them arrive. */
  readonly delayedDelivery: number;
}

export const noFaults: SimulatedFaults = {
  shortRead: 0,
  shortWrite: 0,
  interrupt: 0,
  spuriousAgain: 0,
  reset: 0,
  tooManyFiles: 0,
  noBuffers: 0,
  connectionAborted: 0,
  delayedDelivery: 0,
};

/** What a program must not even notice: the exact outcome of every scenario stays the same. */
export const harmlessFaults: SimulatedFaults = {
  ...noFaults,
  shortRead: 0.3,
  shortWrite: 0.3,
  interrupt: 0.1,
  spuriousAgain: 0.1,
  delayedDelivery: 0.7,
};

/** Everything, at rates at which a program still gets its work done: most connections survive some hundred calls. */
export const allFaults: SimulatedFaults = {
  shortRead: 0.3,
  shortWrite: 0.3,
  interrupt: 0.1,
  spuriousAgain: 0.1,
  reset: 0.002,
  tooManyFiles: 0.02,
  noBuffers: 0.02,
  connectionAborted: 0.02,
  delayedDelivery: 0.7,
};
