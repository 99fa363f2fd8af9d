/**
 * Linux scenarios: short sequences of system calls. Each scenario records the results.
 *
 * same-as-linux.test.ts runs all of them on the real kernel and on the simulated one, and compares the records. So the simulated
 * kernel does what Linux does, and not what its author believes. A record holds only values that are equal on all machines: no
 * descriptor numbers, no ports, no buffer sizes.
 *
 * Next: simulated-host.ts
 */

import { getSystemErrorName } from 'node:util';
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  EINPROGRESS,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLL_EVENT_DATA_WORD,
  EPOLL_EVENT_WORDS,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  F_GETFL,
  F_SETFL,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_V6ONLY,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_PEEK,
  MSG_TRUNC,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDONLY,
  POLLFD_SIZE,
  RLIMIT_NOFILE,
  RLIMIT_SIZE,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SO_ACCEPTCONN,
  SO_ATTACH_FILTER,
  SO_DOMAIN,
  SO_ERROR,
  SO_GET_FILTER,
  SO_LINGER,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_TYPE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_INFO,
  TCP_INFO_BYTES_ACKED,
  TCP_INFO_BYTES_ACKED_END,
  TCP_NODELAY,
} from '../../simplenet/kernel/abi.ts';
import type { Libc } from '../../simplenet/kernel/libc.ts';
import {
  decodeSocketAddress,
  encodeSocketAddress,
  SOCKADDR_MAX_SIZE,
  type SocketAddress,
} from '../../simplenet/kernel/socket-address.ts';
import { encodeFilter, noSyn } from '../../simplenet/sockets/socket-filter.ts';
import { encodeLinger } from '../../simplenet/sockets/socket-options.ts';
import { EPOLLRDHUP } from './simulated-file.ts';

const NONBLOCK = SOCK_NONBLOCK | SOCK_CLOEXEC;
const LOOPBACK = '127.0.0.1';

const eventNames: readonly (readonly [number, string])[] = [
  [EPOLLIN, 'IN'],
  [EPOLLOUT, 'OUT'],
  [EPOLLERR, 'ERR'],
  [EPOLLHUP, 'HUP'],
  [EPOLLRDHUP, 'RDHUP'],
  [0x20, 'NVAL'],
];

export interface Pair {
  readonly listener: number;
  readonly client: number;
  readonly server: number;
}

/** One kernel, seen by one scenario. */
export class Witness {
  readonly notes: string[] = [];
  readonly libc: Libc;
  readonly #settle: () => void;
  readonly #open = new Set<number>();
  readonly #suffix: string;
  readonly #ports = new Map<number, string>();

  constructor(libc: Libc, settle: () => void, suffix: string) {
    this.libc = libc;
    this.#settle = settle;
    this.#suffix = suffix;
  }

  note(what: string, result: number | string): void {
    this.notes.push(`${what}: ${typeof result === 'number' ? nameOfResult(result) : result}`);
  }

  /** Waits until whatever is under way has arrived. */
  settle(): void {
    this.#settle();
  }

  /** A descriptor made in passing: noted as ok, and closed at the end whatever happens. */
  opened(what: string, fd: number): number {
    this.note(what, fd < 0 ? fd : 'ok');
    if (fd >= 0) this.#open.add(fd);
    return fd;
  }

  socket(family: number, type = SOCK_STREAM | NONBLOCK): number {
    const fd = this.libc.socket(family, type, 0);
    this.#open.add(fd);
    return fd;
  }

  close(what: string, fd: number): void {
    this.#open.delete(fd);
    this.note(`close ${what}`, this.libc.close(fd));
    this.settle();
  }

  closeAll(): void {
    for (const fd of this.#open) this.libc.close(fd);
    this.#open.clear();
  }

  /** An abstract Unix name that no other run uses. */
  unixName(name: string): SocketAddress {
    return { path: `\0simplenet-${this.#suffix}-${name}` };
  }

  bind(fd: number, address: SocketAddress): number {
    const bytes = encodeSocketAddress(address);
    return this.libc.bind(fd, bytes, bytes.length);
  }

  connect(fd: number, address: SocketAddress): number {
    const bytes = encodeSocketAddress(address);
    const result = this.libc.connect(fd, bytes, bytes.length);
    this.settle();
    return result;
  }

  send(fd: number, text: string, flags = 0): number {
    const bytes = Buffer.from(text);
    const result = this.libc.send(fd, bytes, 0, bytes.length, flags | MSG_NOSIGNAL);
    this.settle();
    return result;
  }

  sendTo(fd: number, text: string, address: SocketAddress): number {
    const bytes = Buffer.from(text);
    const to = encodeSocketAddress(address);
    const result = this.libc.sendto(fd, bytes, 0, bytes.length, MSG_NOSIGNAL, to, to.length);
    this.settle();
    return result;
  }

  /** What was received as text, or the error's name. */
  recv(fd: number, room = 100, flags = 0): string {
    const bytes = Buffer.alloc(room);
    const result = this.libc.recv(fd, bytes, 0, room, flags);
    this.settle();
    return result < 0
      ? getSystemErrorName(result)
      : `${result} '${bytes.toString('latin1', 0, Math.min(result, room))}'`;
  }

  recvFrom(fd: number, room = 100): string {
    const bytes = Buffer.alloc(room);
    const from = Buffer.alloc(SOCKADDR_MAX_SIZE);
    const size = new Int32Array([from.length]);
    const result = this.libc.recvfrom(fd, bytes, 0, room, 0, from, size);
    if (result < 0) return getSystemErrorName(result);
    return `${result} '${bytes.toString('latin1', 0, Math.min(result, room))}' from ${this.#place(from, size)}`;
  }

  shutdown(fd: number, how: number): number {
    const result = this.libc.shutdown(fd, how);
    this.settle();
    return result;
  }

  listenOn(address: SocketAddress, backlog = 10): number {
    const fd = this.socket('path' in address ? AF_UNIX : address.address.includes(':') ? AF_INET6 : AF_INET);
    this.setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (this.bind(fd, address) < 0 || this.libc.listen(fd, backlog) < 0) throw new Error('cannot listen');
    return fd;
  }

  accept(listener: number): number {
    const fd = this.libc.accept4(listener, null, null, NONBLOCK);
    if (fd >= 0) this.#open.add(fd);
    return fd;
  }

  pair(address: SocketAddress = { address: LOOPBACK, port: 0 }): Pair {
    const listener = this.listenOn(address);
    const client = this.socket('path' in address ? AF_UNIX : AF_INET);
    this.connect(client, this.nameOf(listener));
    const server = this.accept(listener);
    if (server < 0) throw new Error('cannot make a pair');
    return { listener, client, server };
  }

  /** What getsockname answers, as an address. */
  nameOf(fd: number): SocketAddress {
    const bytes = Buffer.alloc(SOCKADDR_MAX_SIZE);
    const size = new Int32Array([bytes.length]);
    this.libc.getsockname(fd, bytes, size);
    return decodeSocketAddress(bytes, size[0] as number);
  }

  names(what: string, fd: number): void {
    for (const call of ['getsockname', 'getpeername'] as const) {
      const bytes = Buffer.alloc(SOCKADDR_MAX_SIZE);
      const size = new Int32Array([bytes.length]);
      const result = this.libc[call](fd, bytes, size);
      this.note(`${call} of ${what}`, result < 0 ? result : this.#place(bytes, size));
    }
  }

  /** Ports differ from run to run; which of them are the same does not. */
  #place(bytes: Buffer, size: Int32Array): string {
    if (size[0] === 0) return 'nowhere';
    const address = decodeSocketAddress(bytes, size[0] as number);
    if ('path' in address) return `unix '${address.path.replace(`-${this.#suffix}-`, '-')}' (${size[0]} bytes)`;
    if (address.port === 0) return `${address.address} port 0`;
    const known = this.#ports.get(address.port) ?? `port ${String.fromCharCode(65 + this.#ports.size)}`;
    this.#ports.set(address.port, known);
    return `${address.address} ${known}`;
  }

  setOption(fd: number, level: number, option: number, value: number | Uint8Array): number {
    const bytes = typeof value === 'number' ? new Uint8Array(new Int32Array([value]).buffer) : value;
    return this.libc.setsockopt(fd, level, option, bytes, bytes.length);
  }

  getOption(fd: number, level: number, option: number): number {
    const value = new Int32Array(1);
    const size = new Int32Array([4]);
    const result = this.libc.getsockopt(fd, level, option, new Uint8Array(value.buffer), size);
    return result < 0 ? result : (value[0] as number);
  }

  takeError(fd: number): string {
    const error = this.getOption(fd, SOL_SOCKET, SO_ERROR);
    return error === 0 ? 'none' : getSystemErrorName(-Math.abs(error));
  }

  /** What epoll says of it, and whether poll agrees. */
  events(what: string, fd: number): void {
    const epoll = this.libc.epoll_create1(0);
    const wanted = EPOLLIN | EPOLLOUT | EPOLLRDHUP;
    this.libc.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, epollEvent(wanted, 0));
    const events = new Int32Array(EPOLL_EVENT_WORDS);
    const count = this.libc.epoll_wait(epoll, events, 1, 0);
    this.libc.close(epoll);
    const byEpoll = namesOfEvents(count === 0 ? 0 : (events[0] as number));
    const byPoll = this.poll(fd, wanted);
    this.note(`events of ${what}`, byEpoll === byPoll ? byEpoll : `${byEpoll}, but poll says ${byPoll}`);
  }

  poll(fd: number, wanted: number): string {
    const entry = Buffer.alloc(POLLFD_SIZE);
    entry.writeInt32LE(fd, 0);
    entry.writeInt16LE(wanted, 4);
    this.libc.poll(entry, 1, 0);
    return namesOfEvents(entry.readInt16LE(6));
  }

  /** Sends until the kernel takes no more; answers how many bytes it took. */
  fill(fd: number): number {
    const bytes = Buffer.alloc(65_536, 0x61);
    let total = 0;
    for (;;) {
      const sent = this.libc.send(fd, bytes, 0, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent < 0) {
        this.settle();
        // On the real loopback interface an acknowledgement may make room after the first EAGAIN.
        const more = this.libc.send(fd, bytes, 0, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (more < 0) return total;
        total += more;
      } else {
        total += sent;
      }
    }
  }

  /** Receives until `count` bytes have come or nothing more does. */
  drain(fd: number, count = Number.POSITIVE_INFINITY): number {
    const bytes = Buffer.alloc(65_536);
    let total = 0;
    while (total < count) {
      let received = this.libc.recv(fd, bytes, 0, Math.min(bytes.length, count - total), MSG_DONTWAIT);
      if (received <= 0) {
        this.settle();
        received = this.libc.recv(fd, bytes, 0, Math.min(bytes.length, count - total), MSG_DONTWAIT);
        if (received <= 0) return total;
      }
      total += received;
    }
    return total;
  }
}

export function epollEvent(events: number, token: number): Int32Array {
  const event = new Int32Array(EPOLL_EVENT_WORDS);
  event[0] = events;
  event[EPOLL_EVENT_DATA_WORD] = token;
  return event;
}

/** Node's table of errors does not have EINPROGRESS, which libuv never shows anybody. */
function nameOfResult(result: number): string {
  if (result >= 0) return String(result);
  return result === -EINPROGRESS ? 'EINPROGRESS' : getSystemErrorName(result);
}

export function namesOfEvents(events: number): string {
  const names = eventNames.filter(([bit]) => (events & bit) !== 0).map(([, name]) => name);
  return names.length === 0 ? 'none' : names.join(' ');
}

const tcp: Readonly<Record<string, (w: Witness) => void>> = {
  'tcp: a socket that is not connected'(w) {
    const fd = w.socket(AF_INET);
    w.events('a new socket', fd);
    w.note('recv', w.recv(fd));
    w.note('send', w.send(fd, 'x'));
    w.note('accept', w.accept(fd));
    w.names('it', fd);
    w.note('type', w.getOption(fd, SOL_SOCKET, SO_TYPE));
    w.note('domain', w.getOption(fd, SOL_SOCKET, SO_DOMAIN));
    w.note('accepts', w.getOption(fd, SOL_SOCKET, SO_ACCEPTCONN));
    w.note('flags', w.libc.fcntl(fd, F_GETFL, 0));
    w.note('set flags', w.libc.fcntl(fd, F_SETFL, 0));
    w.note('flags', w.libc.fcntl(fd, F_GETFL, 0));
    w.note('set flags', w.libc.fcntl(fd, F_SETFL, O_NONBLOCK));
    w.note('shutdown', w.shutdown(fd, SHUT_WR));
    w.events('it', fd);
    w.note('shutdown', w.shutdown(fd, SHUT_RDWR));
    w.events('it', fd);
    w.note('recv', w.recv(fd));
    w.note('send', w.send(fd, 'x'));
  },

  'tcp: a listener'(w) {
    const fd = w.listenOn({ address: LOOPBACK, port: 0 });
    w.events('the listener', fd);
    w.note('accept', w.accept(fd));
    w.note('recv', w.recv(fd));
    w.note('send', w.send(fd, 'x'));
    w.note('bind again', w.bind(fd, { address: LOOPBACK, port: 0 }));
    w.note('listen again', w.libc.listen(fd, 5));
    w.note('connect', w.connect(fd, { address: LOOPBACK, port: 9 }));
    w.note('accepts', w.getOption(fd, SOL_SOCKET, SO_ACCEPTCONN));
    w.names('it', fd);
    w.note('shutdown WR', w.shutdown(fd, SHUT_WR));
    w.events('it', fd);
    w.note('shutdown RD', w.shutdown(fd, SHUT_RD));
    w.events('it', fd);
    w.note('accept', w.accept(fd));
    w.note('listen', w.libc.listen(fd, 5));
    w.events('it', fd);
  },

  'tcp: listen without bind'(w) {
    const fd = w.socket(AF_INET);
    w.note('listen', w.libc.listen(fd, 5));
    w.names('it', fd);
  },

  'tcp: connecting without blocking'(w) {
    const listener = w.listenOn({ address: LOOPBACK, port: 0 });
    const client = w.socket(AF_INET);
    w.note('connect', w.connect(client, w.nameOf(listener)));
    w.events('the client', client);
    w.events('the listener', listener);
    w.note('error', w.takeError(client));
    w.note('connect again', w.connect(client, w.nameOf(listener)));
    w.note('connect again', w.connect(client, w.nameOf(listener)));
    w.note('send', w.send(client, 'early'));
    const server = w.accept(listener);
    w.events('the server', server);
    w.events('the listener', listener);
    w.names('the client', client);
    w.names('the server', server);
    w.note('recv', w.recv(server));
    w.note('recv', w.recv(server));
    w.note('listen on a connection', w.libc.listen(server, 1));
    w.note('bind a connection', w.bind(server, { address: LOOPBACK, port: 0 }));
    w.note('accept from a connection', w.accept(server));
  },

  'tcp: nobody listens'(w) {
    const gone = w.listenOn({ address: LOOPBACK, port: 0 });
    const address = w.nameOf(gone);
    w.close('the listener', gone);
    const a = w.socket(AF_INET);
    w.note('connect', w.connect(a, address));
    w.events('it', a);
    w.names('it', a);
    w.note('error', w.takeError(a));
    w.note('error', w.takeError(a));
    w.events('it', a);
    w.note('connect', w.connect(a, address));
    w.events('it', a);
    w.note('connect', w.connect(a, address));
    w.note('connect', w.connect(a, address));
    w.events('it', a);
    const b = w.socket(AF_INET);
    w.connect(b, address);
    w.note('recv', w.recv(b));
    w.note('recv', w.recv(b));
    w.note('send', w.send(b, 'x'));
    const c = w.socket(AF_INET);
    w.connect(c, address);
    w.note('send', w.send(c, 'x'));
    w.note('send', w.send(c, 'x'));
    w.note('recv', w.recv(c));
    const blocking = w.socket(AF_INET, SOCK_STREAM);
    w.note('connect', w.connect(blocking, address));
    w.events('it', blocking);
    w.note('connect', w.connect(blocking, address));
  },

  'tcp: bytes go both ways'(w) {
    const { client, server } = w.pair();
    w.note('send', w.send(client, 'hello'));
    w.events('the server', server);
    w.note('peek', w.recv(server, 3, MSG_PEEK));
    w.note('recv', w.recv(server, 2));
    w.note('send', w.send(client, ' there'));
    w.note('recv', w.recv(server));
    w.note('recv', w.recv(server));
    w.note('recv nothing', w.recv(server, 0));
    w.note('send nothing', w.send(client, ''));
    w.note('recv', w.recv(server));
    w.note('recvfrom', w.send(client, 'to') + w.recvFrom(server));
    w.note('sendto', w.sendTo(client, 'x', { address: '127.0.0.9', port: 9 }));
    w.note('recv nothing', w.recv(server, 0));
    w.note('recv', w.recv(server));
  },

  'tcp: the peer ends, then closes'(w) {
    const { client, server } = w.pair();
    w.send(server, 'bye');
    w.note('shutdown', w.shutdown(server, SHUT_WR));
    w.events('the server', server);
    w.events('the client', client);
    w.note('send after end', w.send(server, 'x'));
    w.note('recv', w.recv(client));
    w.note('recv', w.recv(client));
    w.note('recv', w.recv(client));
    w.note('recv nothing', w.recv(client, 0));
    w.events('the client', client);
    w.note('send', w.send(client, 'still here'));
    w.note('recv', w.recv(server));
    w.note('end again', w.shutdown(server, SHUT_WR));
    w.close('the server', server);
    w.events('the client', client);
    w.names('the client', client);
    w.note('send', w.send(client, 'x'));
    w.events('the client', client);
    w.note('error', w.takeError(client));
    w.events('the client', client);
    w.note('send', w.send(client, 'x'));
    w.note('recv', w.recv(client));
    w.names('the client', client);
    w.note('shutdown', w.shutdown(client, SHUT_WR));
  },

  'tcp: first RST, then EPIPE'(w) {
    const { client, server } = w.pair();
    w.close('the server', server);
    w.events('the client', client);
    w.note('send', w.send(client, 'x'));
    w.events('the client', client);
    w.note('send', w.send(client, 'x'));
    w.events('the client', client);
    w.note('send', w.send(client, 'x'));
    w.note('recv', w.recv(client));
  },

  'tcp: recv after the peer is gone'(w) {
    const { client, server } = w.pair();
    w.send(server, 'last words');
    w.close('the server', server);
    w.note('send', w.send(client, 'x'));
    w.events('the client', client);
    w.note('recv', w.recv(client));
    w.note('recv', w.recv(client));
    w.note('error', w.takeError(client));
  },

  'tcp: close with unread bytes'(w) {
    const { client, server } = w.pair();
    w.send(client, 'nobody reads this');
    w.send(server, 'sent before');
    w.close('the server', server);
    w.events('the client', client);
    w.names('the client', client);
    w.note('recv', w.recv(client, 4));
    w.events('the client', client);
    w.note('recv', w.recv(client));
    w.note('recv', w.recv(client));
    w.events('the client', client);
    w.note('recv', w.recv(client));
    w.note('send', w.send(client, 'x'));
    w.note('shutdown', w.shutdown(client, SHUT_WR));
    w.names('the client', client);
  },

  'tcp: RST meets send first'(w) {
    const { client, server } = w.pair();
    w.note('linger', w.setOption(server, SOL_SOCKET, SO_LINGER, encodeLinger(0)));
    w.close('the server', server);
    w.note('send', w.send(client, 'x'));
    w.note('send', w.send(client, 'x'));
    w.note('recv', w.recv(client));
    w.events('the client', client);
  },

  'tcp: RST meets SO_ERROR first'(w) {
    const { client, server } = w.pair();
    w.setOption(server, SOL_SOCKET, SO_LINGER, encodeLinger(0));
    w.close('the server', server);
    w.note('error', w.takeError(client));
    w.note('error', w.takeError(client));
    w.note('recv', w.recv(client));
    w.note('send', w.send(client, 'x'));
  },

  'tcp: RST after our own FIN'(w) {
    const { client, server } = w.pair();
    w.shutdown(client, SHUT_WR);
    w.setOption(server, SOL_SOCKET, SO_LINGER, encodeLinger(0));
    w.close('the server', server);
    w.events('the client', client);
    w.note('send', w.send(client, 'x'));
    w.note('recv', w.recv(client));
  },

  'tcp: both end'(w) {
    const { client, server } = w.pair();
    w.send(client, 'one');
    w.send(server, 'two');
    w.shutdown(client, SHUT_WR);
    w.shutdown(server, SHUT_WR);
    w.events('the client', client);
    w.events('the server', server);
    w.note('recv', w.recv(client));
    w.note('recv', w.recv(server));
    w.note('recv', w.recv(server));
    w.note('error', w.takeError(server));
    w.names('the client', client);
    w.names('the server', server);
    w.note('shutdown', w.shutdown(client, SHUT_RDWR));
    w.note('send', w.send(client, 'x'));
    w.note('connect', w.connect(client, { address: LOOPBACK, port: 9 }));
    w.close('the server', server);
    w.events('the client', client);
  },

  'tcp: both end with unread bytes'(w) {
    const { client, server } = w.pair();
    w.send(client, 'one');
    w.shutdown(client, SHUT_WR);
    w.shutdown(server, SHUT_WR);
    w.close('the server', server);
    w.events('the client', client);
    w.note('recv', w.recv(client));
    w.note('error', w.takeError(client));
  },

  'tcp: shutdown of reading'(w) {
    const { client, server } = w.pair();
    w.note('shutdown', w.shutdown(client, SHUT_RD));
    w.events('the client', client);
    w.events('the server', server);
    w.note('recv', w.recv(client));
    w.note('send', w.send(server, 'late'));
    w.events('the client', client);
    w.note('recv', w.recv(client));
    w.note('recv', w.recv(client));
    w.note('shutdown', w.shutdown(client, SHUT_WR));
    w.events('the client', client);
    w.events('the server', server);
    w.note('send', w.send(server, 'later'));
    w.note('recv', w.recv(client));
    w.events('the server', server);
  },

  'tcp: shutdown of both ways'(w) {
    const { client, server } = w.pair();
    w.send(server, 'unread');
    w.note('shutdown', w.shutdown(client, SHUT_RDWR));
    w.events('the client', client);
    w.note('recv', w.recv(client));
    w.note('recv', w.recv(client));
    w.note('send', w.send(client, 'x'));
    w.note('recv', w.recv(server));
    w.note('send', w.send(server, 'x'));
    w.events('the server', server);
    w.note('send', w.send(server, 'x'));
    w.events('the client', client);
    w.note('recv', w.recv(client));
  },

  'tcp: the listener closes before accept'(w) {
    const listener = w.listenOn({ address: LOOPBACK, port: 0 });
    const client = w.socket(AF_INET);
    w.connect(client, w.nameOf(listener));
    w.close('the listener', listener);
    w.events('the client', client);
    w.note('recv', w.recv(client));
    w.note('recv', w.recv(client));
  },

  'tcp: the client leaves before accept'(w) {
    const listener = w.listenOn({ address: LOOPBACK, port: 0 });
    const polite = w.socket(AF_INET);
    w.connect(polite, w.nameOf(listener));
    w.send(polite, 'bye');
    w.close('the client', polite);
    const rude = w.socket(AF_INET);
    w.connect(rude, w.nameOf(listener));
    w.setOption(rude, SOL_SOCKET, SO_LINGER, encodeLinger(0));
    w.close('the client', rude);
    w.events('the listener', listener);
    const first = w.opened('accept', w.accept(listener));
    w.events('the server', first);
    w.note('recv', w.recv(first));
    w.note('recv', w.recv(first));
    const second = w.opened('accept', w.accept(listener));
    w.events('the server', second);
    w.names('the server', second);
    w.note('recv', w.recv(second));
    w.note('recv', w.recv(second));
    w.note('accept', w.accept(listener));
  },

  'tcp: a listener whose filter drops what begins a connection'(w) {
    const listener = w.listenOn({ address: LOOPBACK, port: 0 });
    const early = w.socket(AF_INET);
    w.connect(early, w.nameOf(listener));
    const length = new Int32Array([0]);
    w.note('filter', w.libc.getsockopt(listener, SOL_SOCKET, SO_GET_FILTER, new Uint8Array(0), length));
    w.note('instructions', length[0] as number);
    const filter = encodeFilter(noSyn);
    w.note('attach', w.libc.setsockopt_fprog(listener, SO_ATTACH_FILTER, filter, filter.length));
    length[0] = 0;
    w.note('filter', w.libc.getsockopt(listener, SOL_SOCKET, SO_GET_FILTER, new Uint8Array(0), length));
    w.note('instructions', length[0] as number);
    const late = w.socket(AF_INET);
    w.connect(late, w.nameOf(listener));
    w.events('the late one', late);
    const server = w.opened('accept', w.accept(listener));
    w.note('accept', w.accept(listener));
    w.note('send', w.send(early, 'hello'));
    w.note('recv', w.recv(server));
    w.close('the server', server);
    w.note('recv', w.recv(early));
  },

  'tcp: accept tells who came'(w) {
    const listener = w.listenOn({ address: LOOPBACK, port: 0 });
    const client = w.socket(AF_INET);
    w.bind(client, { address: '127.0.0.2', port: 0 });
    w.connect(client, w.nameOf(listener));
    const address = Buffer.alloc(SOCKADDR_MAX_SIZE, 0xff);
    const size = new Int32Array([SOCKADDR_MAX_SIZE]);
    w.note('accept without a client flag', w.libc.accept4(listener, address, size, 1));
    const fd = w.opened('accept', w.libc.accept4(listener, address, size, 0));
    w.note('size', size[0] as number);
    w.note('same', String(JSON.stringify(decodeSocketAddress(address, 16)) === JSON.stringify(w.nameOf(client))));
    w.note('flags', w.libc.fcntl(fd, F_GETFL, 0));
    const cut = new Int32Array([4]);
    w.note('getpeername', w.libc.getpeername(fd, address, cut));
    w.note('size', cut[0] as number);
  },

  'tcp: a full send buffer'(w) {
    const { client, server } = w.pair();
    const sent = w.fill(client);
    w.note('sent some', String(sent > 0));
    w.events('the client', client);
    w.events('the server', server);
    w.note('send', w.send(client, 'x'));
    w.note('recv gives all', String(w.drain(server) === sent));
    w.events('the client', client);
    w.note('send', w.send(client, 'x'));
    w.note('recv', w.recv(server));
  },

  'tcp: FIN waits behind a full buffer'(w) {
    const { client, server } = w.pair();
    const sent = w.fill(client);
    w.note('shutdown', w.shutdown(client, SHUT_WR));
    w.events('the client', client);
    w.events('the server', server);
    w.close('the client', client);
    w.note('recv gives all', String(w.drain(server) === sent));
    w.note('recv', w.recv(server));
    w.events('the server', server);
  },

  'tcp: RST overtakes a full buffer'(w) {
    const { client, server } = w.pair();
    const sent = w.fill(client);
    w.send(server, 'unread');
    w.close('the client', client);
    w.events('the server', server);
    w.note('recv gives some', String(w.drain(server) < sent));
    w.note('error', w.takeError(server));
  },

  'tcp: what has arrived is acknowledged, and what the peer has no room for is not'(w) {
    const { client, server } = w.pair();
    const acked = () => {
      const info = Buffer.alloc(TCP_INFO_BYTES_ACKED_END);
      const size = new Int32Array([info.length]);
      w.libc.getsockopt(client, IPPROTO_TCP, TCP_INFO, info, size);
      return Number(info.readBigUInt64LE(TCP_INFO_BYTES_ACKED));
    };
    const before = acked();
    w.send(client, 'hello');
    w.events('the server', server);
    w.note('acknowledged', acked() - before);
    w.recv(server);
    const sent = 5 + w.fill(client);
    w.note('all', String(acked() - before === sent));
    w.note('some', String(acked() - before > 5));
    const full = acked();
    w.events('the client', client);
    w.note('more', acked() - full);
  },

  'unix: of TCP it knows nothing'(w) {
    const fd = w.socket(AF_UNIX);
    w.note('TCP_INFO', w.libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, Buffer.alloc(128), new Int32Array([128])));
  },

  'tcp: options pass to the connections'(w) {
    const listener = w.socket(AF_INET);
    w.setOption(listener, IPPROTO_TCP, TCP_NODELAY, 1);
    w.setOption(listener, SOL_SOCKET, SO_LINGER, encodeLinger(3));
    w.setOption(listener, SOL_SOCKET, SO_SNDBUF, 10_000);
    w.setOption(listener, SOL_SOCKET, SO_RCVBUF, 20_000);
    w.bind(listener, { address: LOOPBACK, port: 0 });
    w.libc.listen(listener, 5);
    const client = w.socket(AF_INET);
    w.connect(client, w.nameOf(listener));
    const server = w.accept(listener);
    w.note('nodelay', w.getOption(server, IPPROTO_TCP, TCP_NODELAY));
    w.note('nodelay of the client', w.getOption(client, IPPROTO_TCP, TCP_NODELAY));
    w.note('sndbuf', w.getOption(server, SOL_SOCKET, SO_SNDBUF));
    w.note('rcvbuf', w.getOption(server, SOL_SOCKET, SO_RCVBUF));
    const linger = Buffer.alloc(8);
    const size = new Int32Array([8]);
    w.note('linger', w.libc.getsockopt(server, SOL_SOCKET, SO_LINGER, linger, size));
    w.note('linger', `${linger.toString('hex')} ${size[0]}`);
    w.setOption(client, SOL_SOCKET, SO_SNDBUF, 1);
    w.setOption(client, SOL_SOCKET, SO_RCVBUF, 1);
    w.note('least sndbuf', w.getOption(client, SOL_SOCKET, SO_SNDBUF));
    w.note('least rcvbuf', w.getOption(client, SOL_SOCKET, SO_RCVBUF));
    w.note('accepts', w.getOption(server, SOL_SOCKET, SO_ACCEPTCONN));
  },

  'tcp: the backlog is full'(w) {
    const listener = w.listenOn({ address: LOOPBACK, port: 0 }, 1);
    const clients = [1, 2, 3].map(() => w.socket(AF_INET));
    for (const [i, client] of clients.entries()) {
      w.note('connect', w.connect(client, w.nameOf(listener)));
      w.events(`client ${i}`, client);
    }
    w.note('connect', w.connect(clients[2] as number, w.nameOf(listener)));
    w.note('send', w.send(clients[2] as number, 'x'));
    w.note('recv', w.recv(clients[2] as number));
    w.names('client 2', clients[2] as number);
    w.note('shutdown', w.shutdown(clients[2] as number, SHUT_WR));
    w.events('client 2', clients[2] as number);
  },
};

const addresses: Readonly<Record<string, (w: Witness) => void>> = {
  'bind: the same port twice'(w) {
    const tryBoth = (option: number, listen: boolean) => {
      const a = w.socket(AF_INET);
      const b = w.socket(AF_INET);
      for (const fd of [a, b]) if (option !== 0) w.setOption(fd, SOL_SOCKET, option, 1);
      w.note('bind a', w.bind(a, { address: LOOPBACK, port: 0 }));
      if (listen) w.note('listen a', w.libc.listen(a, 5));
      const { port } = w.nameOf(a) as { port: number };
      w.note('bind b', w.bind(b, { address: LOOPBACK, port }));
      w.note('listen a', w.libc.listen(a, 5));
      w.note('listen b', w.libc.listen(b, 5));
      const c = w.socket(AF_INET);
      w.note('bind c to all', w.bind(c, { address: '0.0.0.0', port }));
      w.note('bind c elsewhere', w.bind(c, { address: '127.0.0.2', port }));
      const d = w.socket(AF_INET6);
      w.note('bind d to all', w.bind(d, { address: '::', port }));
      w.note('ipv6 only', w.setOption(d, IPPROTO_IPV6, IPV6_V6ONLY, 1));
      w.note('bind d to all of IPv6', w.bind(d, { address: '::', port }));
    };
    for (const option of [0, SO_REUSEADDR, SO_REUSEPORT]) {
      for (const listen of [false, true]) {
        w.note('with option', `${option}, listening: ${listen}`);
        tryBoth(option, listen);
      }
    }
  },

  'bind: a port with an old connection'(w) {
    const { listener, client, server } = w.pair();
    const address = w.nameOf(listener);
    w.close('the listener', listener);
    const plain = w.socket(AF_INET);
    w.note('bind', w.bind(plain, address));
    const reusing = w.socket(AF_INET);
    w.setOption(reusing, SOL_SOCKET, SO_REUSEADDR, 1);
    w.note('bind', w.bind(reusing, address));
    w.note('listen', w.libc.listen(reusing, 5));
    w.note('send', w.send(client, 'x'));
    w.note('recv', w.recv(server));
  },

  'bind: what is refused'(w) {
    const fd = w.socket(AF_INET);
    w.note('not ours', w.bind(fd, { address: '192.0.2.1', port: 0 }));
    w.note('wrong family', w.bind(fd, { address: '::1', port: 0 }));
    w.note('too short', w.libc.bind(fd, encodeSocketAddress({ address: LOOPBACK, port: 0 }), 8));
    w.note('connect to wrong family', w.connect(fd, { address: '::1', port: 9 }));
    w.note('connect too short', w.libc.connect(fd, encodeSocketAddress({ address: LOOPBACK, port: 9 }), 8));
    const six = w.socket(AF_INET6);
    w.note('not ours', w.bind(six, { address: '2001:db8::1', port: 0 }));
    w.note('wrong family', w.bind(six, { address: LOOPBACK, port: 0 }));
    w.note('connect to wrong family', w.connect(six, { address: LOOPBACK, port: 9 }));
    w.note('family unknown', w.libc.socket(99, SOCK_STREAM, 0));
    w.note('type unknown', w.libc.socket(AF_INET, 9, 0));
  },

  'ipv6: all addresses of both families'(w) {
    const listener = w.listenOn({ address: '::', port: 0 });
    const { port } = w.nameOf(listener) as { port: number };
    const four = w.socket(AF_INET);
    w.note('connect', w.connect(four, { address: LOOPBACK, port }));
    const server = w.accept(listener);
    w.names('the client', four);
    w.names('the server', server);
    const six = w.socket(AF_INET6);
    w.note('connect', w.connect(six, { address: '::1', port }));
    w.names('the server', w.accept(listener));
    const mapped = w.socket(AF_INET6);
    w.note('connect', w.connect(mapped, { address: '::ffff:127.0.0.1', port }));
    w.names('the client', mapped);
    const anywhere = w.socket(AF_INET);
    w.note('connect', w.connect(anywhere, { address: '0.0.0.0', port }));
    w.names('the client', anywhere);
    const elsewhere = w.socket(AF_INET);
    w.note('connect', w.connect(elsewhere, { address: '127.0.0.7', port }));
    w.names('the client', elsewhere);
  },
};

const unix: Readonly<Record<string, (w: Witness) => void>> = {
  'unix: a socket that is not connected'(w) {
    const fd = w.socket(AF_UNIX);
    w.events('it', fd);
    w.note('recv', w.recv(fd));
    w.note('send', w.send(fd, 'x'));
    w.note('listen', w.libc.listen(fd, 5));
    w.note('accept', w.accept(fd));
    w.names('it', fd);
    w.note('connect', w.connect(fd, w.unixName('nobody')));
    w.note('connect', w.connect(fd, { path: '/nonexistent/socket' }));
    w.note('shutdown', w.shutdown(fd, SHUT_RDWR));
    w.events('it', fd);
    w.note('recv', w.recv(fd));
    w.note('send', w.send(fd, 'x'));
  },

  'unix: connecting'(w) {
    const listener = w.listenOn(w.unixName('listener'));
    w.events('the listener', listener);
    w.note('bind again', w.bind(listener, w.unixName('other')));
    const other = w.socket(AF_UNIX);
    w.note('bind the same', w.bind(other, w.unixName('listener')));
    const client = w.socket(AF_UNIX);
    w.note('connect', w.connect(client, w.unixName('listener')));
    w.note('connect', w.connect(client, w.unixName('listener')));
    w.events('the client', client);
    w.events('the listener', listener);
    w.note('send', w.send(client, 'early'));
    const server = w.accept(listener);
    w.events('the server', server);
    w.names('the client', client);
    w.names('the server', server);
    w.note('recvfrom', w.recvFrom(server));
    w.note('recv nothing', w.recv(server, 0));
    w.note('send nothing', w.send(client, ''));
    w.note('recv', w.recv(server));
    w.note('sendto', w.sendTo(client, 'x', w.unixName('listener')));
    w.note('listen', w.libc.listen(server, 5));
  },

  'unix: the peer closes'(w) {
    const { client, server } = w.pair(w.unixName('listener'));
    w.send(server, 'bye');
    w.close('the server', server);
    w.events('the client', client);
    w.names('the client', client);
    w.note('send', w.send(client, 'x'));
    w.note('recv', w.recv(client));
    w.note('recv', w.recv(client));
    w.events('the client', client);
    w.note('shutdown', w.shutdown(client, SHUT_WR));
  },

  'unix: close with unread bytes'(w) {
    const { client, server } = w.pair(w.unixName('listener'));
    w.send(client, 'unread');
    w.send(server, 'sent before');
    w.close('the server', server);
    w.events('the client', client);
    w.note('send', w.send(client, 'x'));
    w.note('recv', w.recv(client));
    w.note('recv', w.recv(client));
    w.note('recv', w.recv(client));
    w.events('the client', client);
  },

  'unix: ending'(w) {
    const { client, server } = w.pair(w.unixName('listener'));
    w.note('shutdown', w.shutdown(server, SHUT_WR));
    w.events('the client', client);
    w.events('the server', server);
    w.note('recv', w.recv(client));
    w.note('send', w.send(client, 'more'));
    w.note('shutdown', w.shutdown(client, SHUT_WR));
    w.events('the client', client);
    w.events('the server', server);
    w.note('recv', w.recv(server));
    w.note('recv', w.recv(server));
    w.names('the client', client);
  },

  'unix: shutdown of reading'(w) {
    const { client, server } = w.pair(w.unixName('listener'));
    w.note('shutdown', w.shutdown(client, SHUT_RD));
    w.events('the client', client);
    w.events('the server', server);
    w.note('send', w.send(server, 'x'));
    w.note('recv', w.recv(client));
    w.note('send', w.send(client, 'x'));
    w.note('recv', w.recv(server));
  },

  'unix: the listener closes before accept'(w) {
    const listener = w.listenOn(w.unixName('listener'));
    const client = w.socket(AF_UNIX);
    w.connect(client, w.unixName('listener'));
    w.close('the listener', listener);
    w.events('the client', client);
    w.note('recv', w.recv(client));
    w.note('recv', w.recv(client));
    w.note('send', w.send(client, 'x'));
  },

  'unix: a listener that is shut down gives those that wait'(w) {
    const listener = w.listenOn(w.unixName('shut'));
    const early = w.socket(AF_UNIX);
    w.note('connect', w.connect(early, w.unixName('shut')));
    w.note('shutdown', w.shutdown(listener, SHUT_RD));
    w.events('the listener', listener);
    w.note('connect', w.connect(w.socket(AF_UNIX), w.unixName('shut')));
    const server = w.opened('accept', w.accept(listener));
    w.note('accept', w.accept(listener));
    w.events('the listener', listener);
    w.note('send', w.send(early, 'hello'));
    w.note('recv', w.recv(server));
  },

  'unix: the backlog is full'(w) {
    const listener = w.listenOn(w.unixName('listener'), 1);
    for (let i = 0; i < 3; i++) w.note('connect', w.connect(w.socket(AF_UNIX), w.unixName('listener')));
    w.note('accept', w.accept(listener) >= 0 ? 'ok' : 'no');
    w.note('connect', w.connect(w.socket(AF_UNIX), w.unixName('listener')));
  },

  'unix: a full buffer'(w) {
    const { client, server } = w.pair(w.unixName('listener'));
    const sent = w.fill(client);
    w.events('the client', client);
    w.note('recv gives all', String(w.drain(server) === sent));
    w.events('the client', client);
  },
};

const datagrams: Readonly<Record<string, (w: Witness) => void>> = {
  'udp: datagrams'(w) {
    const a = w.socket(AF_INET, SOCK_DGRAM | NONBLOCK);
    w.events('a', a);
    w.note('send', w.send(a, 'x'));
    w.note('recv', w.recv(a));
    w.names('a', a);
    w.note('listen', w.libc.listen(a, 1));
    w.note('accept', w.accept(a));
    w.note('bind', w.bind(a, { address: LOOPBACK, port: 0 }));
    const b = w.socket(AF_INET, SOCK_DGRAM | NONBLOCK);
    w.note('sendto', w.sendTo(b, 'one', w.nameOf(a)));
    w.note('sendto', w.sendTo(b, '', w.nameOf(a)));
    w.note('sendto', w.sendTo(b, 'three', w.nameOf(a)));
    w.note('sendto', w.sendTo(b, 'four', w.nameOf(a)));
    w.names('a', a);
    w.note('port of b', String((w.nameOf(b) as { port: number }).port !== 0));
    w.events('a', a);
    w.note('peek', w.recv(a, 2, MSG_PEEK));
    w.note('recv', w.recvFrom(a));
    w.note('recv', w.recvFrom(a));
    w.note('recv cut', w.recv(a, 2));
    w.note('recv cut, true length', w.recv(a, 2, MSG_TRUNC));
    w.note('recv', w.recv(a));
    w.note('type', w.getOption(a, SOL_SOCKET, SO_TYPE));
    w.note('too long', w.sendTo(b, 'x'.repeat(65_508), w.nameOf(a)));
    w.note('wrong family', w.sendTo(b, 'x', { address: '::1', port: 9 }));
    w.note('port 0', w.sendTo(b, 'x', { address: LOOPBACK, port: 0 }));
    w.note('shutdown', w.shutdown(a, SHUT_RDWR));
    w.events('a', a);
    w.note('recv', w.recv(a));
  },

  'udp: connected'(w) {
    const a = w.socket(AF_INET, SOCK_DGRAM | NONBLOCK);
    const b = w.socket(AF_INET, SOCK_DGRAM | NONBLOCK);
    const c = w.socket(AF_INET, SOCK_DGRAM | NONBLOCK);
    for (const fd of [a, b, c]) w.bind(fd, { address: LOOPBACK, port: 0 });
    w.note('connect', w.connect(a, w.nameOf(b)));
    w.names('a', a);
    w.note('send', w.send(a, 'from a'));
    w.note('recv', w.recvFrom(b));
    w.note('send', w.sendTo(c, 'from c', w.nameOf(a)));
    w.note('recv', w.recvFrom(a));
    w.note('send', w.sendTo(b, 'from b', w.nameOf(a)));
    w.note('recv', w.recvFrom(a));
    w.note('send elsewhere', w.sendTo(a, 'to c', w.nameOf(c)));
    w.note('recv', w.recvFrom(c));
    w.note('send', w.sendTo(b, 'queued', w.nameOf(a)));
    w.close('b', b);
    w.note('send', w.send(a, 'nobody'));
    w.events('a', a);
    w.note('send', w.send(a, 'nobody'));
    w.events('a', a);
    w.note('send', w.send(a, 'nobody'));
    w.note('recv', w.recv(a));
    w.note('recv', w.recv(a));
    w.note('recv', w.recv(a));
    w.note('send', w.send(a, 'nobody'));
    w.note('error', w.takeError(a));
    w.note('shutdown', w.shutdown(a, SHUT_WR));
    w.note('send', w.send(a, 'x'));
    w.events('a', a);
  },

  'udp: nobody there, not connected'(w) {
    const gone = w.socket(AF_INET, SOCK_DGRAM | NONBLOCK);
    w.bind(gone, { address: LOOPBACK, port: 0 });
    const address = w.nameOf(gone);
    w.close('it', gone);
    const a = w.socket(AF_INET, SOCK_DGRAM | NONBLOCK);
    w.note('send', w.sendTo(a, 'x', address));
    w.events('a', a);
    w.note('send', w.sendTo(a, 'x', address));
    w.note('recv', w.recv(a));
  },

  'udp: the same port twice'(w) {
    for (const option of [0, SO_REUSEADDR, SO_REUSEPORT]) {
      const a = w.socket(AF_INET, SOCK_DGRAM | NONBLOCK);
      const b = w.socket(AF_INET, SOCK_DGRAM | NONBLOCK);
      for (const fd of [a, b]) if (option !== 0) w.setOption(fd, SOL_SOCKET, option, 1);
      w.note('bind', w.bind(a, { address: LOOPBACK, port: 0 }));
      w.note('bind', w.bind(b, w.nameOf(a)));
    }
  },

  'udp: a full queue drops'(w) {
    const a = w.socket(AF_INET, SOCK_DGRAM | NONBLOCK);
    w.bind(a, { address: LOOPBACK, port: 0 });
    w.setOption(a, SOL_SOCKET, SO_RCVBUF, 4096);
    const b = w.socket(AF_INET, SOCK_DGRAM | NONBLOCK);
    const to = encodeSocketAddress(w.nameOf(a));
    const failed = new Set<number>();
    for (let i = 0; i < 300; i++) {
      failed.add(w.libc.sendto(b, Buffer.from('x'), 0, 1, 0, to, to.length));
      if (i % 10 === 9) w.settle();
    }
    w.note('every send', [...failed].join());
    let arrived = 0;
    while (w.libc.recv(a, Buffer.alloc(10), 0, 10, 0) === 1) arrived++;
    w.note('some arrived', String(arrived > 0 && arrived < 300));
  },

  'udp: both families'(w) {
    const six = w.socket(AF_INET6, SOCK_DGRAM | NONBLOCK);
    w.note('bind', w.bind(six, { address: '::', port: 0 }));
    const { port } = w.nameOf(six) as { port: number };
    const four = w.socket(AF_INET, SOCK_DGRAM | NONBLOCK);
    w.note('send', w.sendTo(four, 'x', { address: LOOPBACK, port }));
    w.note('recv', w.recvFrom(six));
    w.note(
      'answer',
      w.sendTo(six, 'y', { address: '::ffff:127.0.0.1', port: (w.nameOf(four) as { port: number }).port }),
    );
    w.note('recv', w.recvFrom(four));
  },

  'unix datagrams'(w) {
    const a = w.socket(AF_UNIX, SOCK_DGRAM | NONBLOCK);
    const b = w.socket(AF_UNIX, SOCK_DGRAM | NONBLOCK);
    w.note('send', w.send(b, 'x'));
    w.note('bind', w.bind(a, w.unixName('a')));
    w.events('a', a);
    w.note('send', w.sendTo(b, 'anonymous', w.unixName('a')));
    w.note('recv', w.recvFrom(a));
    w.note('bind', w.bind(b, w.unixName('b')));
    w.note('connect', w.connect(b, w.unixName('a')));
    w.note('send', w.send(b, 'named'));
    w.note('recv', w.recvFrom(a));
    w.note('nobody', w.sendTo(b, 'x', w.unixName('nobody')));
    const stream = w.socket(AF_UNIX);
    w.note('wrong type', w.connect(stream, w.unixName('a')));
    w.close('a', a);
    w.note('send', w.send(b, 'x'));
  },
};

const files: Readonly<Record<string, (w: Witness) => void>> = {
  'epoll: what is refused'(w) {
    const epoll = w.opened('epoll', w.libc.epoll_create1(0));
    const nullDevice = w.opened('open', w.libc.open('/dev/null', O_RDONLY | O_CLOEXEC));
    const socket = w.socket(AF_INET);
    const event = epollEvent(EPOLLIN, 7);
    w.note('add', w.libc.epoll_ctl(epoll, EPOLL_CTL_ADD, socket, event));
    w.note('add again', w.libc.epoll_ctl(epoll, EPOLL_CTL_ADD, socket, event));
    w.note('remove', w.libc.epoll_ctl(epoll, EPOLL_CTL_DEL, socket, event));
    w.note('remove again', w.libc.epoll_ctl(epoll, EPOLL_CTL_DEL, socket, event));
    w.note('change', w.libc.epoll_ctl(epoll, EPOLL_CTL_MOD, socket, event));
    w.note('operation unknown', w.libc.epoll_ctl(epoll, 9, socket, event));
    w.note('/dev/null', w.libc.epoll_ctl(epoll, EPOLL_CTL_ADD, nullDevice, event));
    w.note('itself', w.libc.epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, event));
    w.note('no epoll', w.libc.epoll_ctl(socket, EPOLL_CTL_ADD, epoll, event));
    w.note('bad fd', w.libc.epoll_ctl(epoll, EPOLL_CTL_ADD, -1, event));
    w.note('wait on no epoll', w.libc.epoll_wait(socket, new Int32Array(EPOLL_EVENT_WORDS), 1, 0));
    w.note('recv from /dev/null', w.recv(nullDevice));
    w.note('recv from epoll', w.recv(epoll));
    w.note('poll of /dev/null', w.poll(nullDevice, EPOLLIN | EPOLLOUT));
    w.note('poll of -1', w.poll(-1, EPOLLIN));
    w.note('close -1', w.libc.close(-1));
    w.note('flags of /dev/null', w.libc.fcntl(nullDevice, F_GETFL, 0) & ~0o100000);
    w.note('open nothing', w.libc.open('/nonexistent', O_RDONLY));
    w.note('epoll flags', w.libc.epoll_create1(1));
  },

  'epoll: level-triggered'(w) {
    const { client, server } = w.pair();
    const epoll = w.opened('epoll', w.libc.epoll_create1(0));
    const events = new Int32Array(4 * EPOLL_EVENT_WORDS);
    const wait = (what: string) => {
      const count = w.libc.epoll_wait(epoll, events, 4, 0);
      const told = [];
      for (let i = 0; i < count; i++) {
        const at = i * EPOLL_EVENT_WORDS;
        told.push(`${events[at + EPOLL_EVENT_DATA_WORD]} ${namesOfEvents(events[at] as number)}`);
      }
      w.note(what, told.sort().join(', '));
    };
    w.libc.epoll_ctl(epoll, EPOLL_CTL_ADD, server, epollEvent(EPOLLIN, -5));
    wait('nothing yet');
    w.send(client, 'two');
    wait('readable');
    wait('still');
    w.recv(server, 1);
    wait('still');
    w.libc.epoll_ctl(epoll, EPOLL_CTL_MOD, server, epollEvent(EPOLLIN | EPOLLOUT, 6));
    wait('changed');
    w.libc.epoll_ctl(epoll, EPOLL_CTL_MOD, server, epollEvent(0, 6));
    wait('asked for nothing');
    w.setOption(client, SOL_SOCKET, SO_LINGER, encodeLinger(0));
    w.close('the client', client);
    wait('told all the same');
    const outer = w.opened('epoll', w.libc.epoll_create1(0));
    w.note('add epoll to epoll', w.libc.epoll_ctl(outer, EPOLL_CTL_ADD, epoll, epollEvent(EPOLLIN, 1)));
    w.note('and back', w.libc.epoll_ctl(epoll, EPOLL_CTL_ADD, outer, epollEvent(EPOLLIN, 1)));
    w.events('epoll', epoll);
    w.close('the server', server);
    wait('closed');
    w.events('epoll', epoll);
  },

  'epoll: everybody gets a turn'(w) {
    const epoll = w.opened('epoll', w.libc.epoll_create1(0));
    const seen = new Set<number>();
    for (let i = 0; i < 5; i++) {
      const fd = w.socket(AF_INET, SOCK_DGRAM | NONBLOCK);
      w.libc.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, epollEvent(EPOLLOUT, i));
    }
    const events = new Int32Array(2 * EPOLL_EVENT_WORDS);
    for (let i = 0; i < 3; i++) {
      const count = w.libc.epoll_wait(epoll, events, 2, 0);
      for (let j = 0; j < count; j++) seen.add(events[j * EPOLL_EVENT_WORDS + EPOLL_EVENT_DATA_WORD] as number);
    }
    w.note('seen after three waits for two', seen.size);
  },

  'files: the limit'(w) {
    const listener = w.listenOn({ address: LOOPBACK, port: 0 });
    const client = w.socket(AF_INET);
    const before = Buffer.alloc(RLIMIT_SIZE);
    w.note('getrlimit', w.libc.getrlimit(RLIMIT_NOFILE, before));
    // With the lowest free number as the limit, every number below it is taken.
    const lowest = w.libc.open('/dev/null', O_RDONLY);
    w.libc.close(lowest);
    const limit = Buffer.from(before);
    limit.writeBigUInt64LE(BigInt(lowest), 0);
    w.note('setrlimit', w.libc.setrlimit(RLIMIT_NOFILE, limit));
    const nothingThere = w.accept(listener);
    w.connect(client, w.nameOf(listener));
    const somethingThere = w.accept(listener);
    const socket = w.libc.socket(AF_INET, SOCK_STREAM, 0);
    const epoll = w.libc.epoll_create1(0);
    const file = w.libc.open('/dev/null', O_RDONLY);
    w.note('setrlimit', w.libc.setrlimit(RLIMIT_NOFILE, before));
    w.note('accept with nothing there', nothingThere);
    w.note('accept', somethingThere);
    w.note('socket', socket);
    w.note('epoll', epoll);
    w.note('open', file);
    w.opened('accept', w.accept(listener));
    const backwards = Buffer.from(before);
    backwards.writeBigUInt64LE(5n, 0);
    backwards.writeBigUInt64LE(4n, 8);
    w.note('more than the most', w.libc.setrlimit(RLIMIT_NOFILE, backwards));
  },

  'files: names of interfaces'(w) {
    w.note('lo', w.libc.if_nametoindex('lo'));
    w.note('none', w.libc.if_nametoindex('no-such-if'));
  },
};

export const linuxScenarios: Readonly<Record<string, (witness: Witness) => void>> = {
  ...tcp,
  ...addresses,
  ...unix,
  ...datagrams,
  ...files,
};
