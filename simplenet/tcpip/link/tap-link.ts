/**
 * TAP link: a network interface of this machine, whose cable ends in this process.
 *
 * What Linux sends to the interface is read from a descriptor, one frame with each read(2), and what is written there arrives at
 * Linux as if from the cable. The interface needs an address and has to be up, which `ip` does, so it is Linux's own end (examples/with-tap.sh).
 * Without IFF_NO_PI four bytes would stand in front of each frame. The interface goes with its descriptor, unless `ip tuntap` has made it.
 *
 * libuv reports a deleted interface by stopping its watch, and there would be no turn in which `receive` could throw. So an epoll
 * descriptor stands between: it becomes readable.
 *
 * This file sets no addresses, no MTU and no routes, and it does not use IFF_VNET_HDR, which would bring several TCP segments of one
 * connection in one frame.
 *
 * Next: observed-link.ts
 */

import { Epoll } from '../../epoll/epoll.ts';
import {
  EAGAIN,
  EPOLLIN,
  IFF_NO_PI,
  IFF_TAP,
  IFNAMSIZ,
  IFREQ_FLAGS,
  IFREQ_SIZE,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
  TUNSETIFF,
} from '../../kernel/abi.ts';
import { Descriptor } from '../../kernel/descriptor.ts';
import { type Libc, libc as processLibc } from '../../kernel/libc.ts';
import { SystemError } from '../../kernel/system-error.ts';
import type { Host, HostingLoop, Watch } from '../../loop/host.ts';
import { checkFrame, ETHERNET_HEADER_BYTES } from './ethernet-frame.ts';
import type { Link } from './link.ts';

/**
 * The options of `openTap`.
 *
 * ```ts
 * import { openTap, type TapOptions } from 'simplenet';
 *
 * const options: TapOptions = { mtu: 9_000 };
 * const link = openTap('tap0', options);
 * ```
 */
export interface TapOptions {
  /** The MTU of the interface, as `ip link` shows it. Larger frames are dropped. Default 1500. */
  readonly mtu?: number;
  readonly libc?: Libc;
}

const DEVICE = '/dev/net/tun';

const DEFAULT_MTU = 1500;
/** RFC 791: every link carries 68 bytes. The kernel accepts no larger MTU for a TAP device than 65,521. */
const MIN_MTU = 68;
const MAX_MTU = 65_521;

const NO_DEVICE =
  'the module tun is not loaded, or this container has no such device: docker run --device /dev/net/tun';

/** How many descriptors can be ready at once. */
const DEVICE_AND_GUEST = 2;
const NO_GUEST = -1;

const remedies: Readonly<Record<string, string>> = {
  ENOENT: NO_DEVICE,
  ENODEV: NO_DEVICE,
  EPERM:
    'it takes root or CAP_NET_ADMIN, as in `unshare -Urn`, or an interface that `ip tuntap add mode tap user` has made for this user',
  EBUSY: 'another program has opened this interface',
  EINVAL: 'an interface that is not a TAP device has this name',
  EBADFD: 'the interface was deleted',
};

/**
 * Makes the TAP interface `name`, or joins the one that is there. Throws a SystemError that says what is missing.
 *
 * ```ts
 * import { createStack, openTap, tapAdvice } from 'simplenet';
 *
 * const stack = createStack({ link: openTap('tap0'), address: '10.9.0.2/24' });
 * console.log(tapAdvice('tap0', '10.9.0.2/24') ?? 'Linux reaches it');
 * ```
 */
export function openTap(name: string, options: TapOptions = {}): Link {
  const { mtu = DEFAULT_MTU, libc = processLibc } = options;
  checkName(name);
  if (!(Number.isInteger(mtu) && mtu >= MIN_MTU && mtu <= MAX_MTU)) {
    throw new RangeError(`mtu must be an integer from ${MIN_MTU} to ${MAX_MTU}, not ${mtu}`);
  }
  const fd = libc.open(DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) throw new SystemError('open', fd, { path: DEVICE }, remedies);
  const device = new Descriptor(fd, libc);
  const request = Buffer.alloc(IFREQ_SIZE);
  request.write(name);
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI, IFREQ_FLAGS);
  const result = libc.ioctl(fd, TUNSETIFF, request);
  if (result < 0) {
    device.close();
    throw new SystemError('ioctl', result, { path: name }, remedies);
  }
  return new TapLink(name, device, mtu);
}

/** What the kernel takes for a name, without `%`, for which it would put a number. */
function checkName(name: string): void {
  if (/^[^\s/:%\0]+$/.test(name) && Buffer.byteLength(name) < IFNAMSIZ && name !== '.' && name !== '..') return;
  throw new TypeError(
    `a network interface has a name of 1 to 15 bytes without space, / : or %, not ${JSON.stringify(name)}`,
  );
}

class TapLink implements Link {
  readonly #name: string;
  readonly #device: Descriptor;
  readonly mtu: number;
  /** One byte more than a frame may have: a read(2) cuts off what does not fit, and does not say so. */
  readonly #room: number;
  /** For callers with less room than that. */
  #spare: Buffer | null = null;

  constructor(name: string, device: Descriptor, mtu: number) {
    this.#name = name;
    this.#device = device;
    this.mtu = mtu;
    this.#room = mtu + ETHERNET_HEADER_BYTES + 1;
  }

  /** write(2) fails with EIO while the interface is down, and with EBADFD after it was deleted. Either way the frame is lost. */
  send(frame: Uint8Array, length: number): boolean {
    checkFrame(frame, length, this.mtu);
    return this.#device.libc.write(this.#device.fd, frame, 0, length) === length;
  }

  receive(into: Uint8Array): number {
    while (!this.#device.isClosed) {
      const isRoomy = into.length >= this.#room;
      if (!isRoomy) this.#spare ??= Buffer.allocUnsafeSlow(this.#room);
      const target = isRoomy ? into : (this.#spare as Buffer);
      const length = this.#device.libc.read(this.#device.fd, target, 0, this.#room);
      if (length === -EAGAIN) return 0;
      if (length < 0) throw new SystemError('read', length, { path: this.#name }, remedies);
      if (length === this.#room || length > into.length) continue;
      if (target !== into) into.set(target.subarray(0, length));
      return length;
    }
    return 0;
  }

  watch(host: Host, onReadable: () => boolean): Watch {
    const loop = new TapLoop(this.#device, host, onReadable);
    const watch = host.watch(loop.fd, loop.takeTurn, loop);
    return {
      ref: () => watch.ref(),
      unref: () => watch.unref(),
      turnSoon: () => watch.turnSoon(),
      close() {
        watch.close();
        loop.close();
      },
    };
  }

  close(): void {
    this.#device.close();
  }
}

/**
 * TapLoop: the turns of a watch. A round of libuv's loop costs as much as half a request, so under traffic they come from a wait of our own, and
 * libuv's loop is a guest in it (node-host.ts). That made a hello over TAP cheaper by a fifth.
 */
class TapLoop implements HostingLoop {
  isGuestReady = false;
  readonly #deviceFd: number;
  readonly #epoll: Epoll;
  readonly #host: Host;
  readonly #onReadable: () => boolean;
  #guestFd = NO_GUEST;
  /** What the last turn returned. */
  #isMoreToDo = false;

  constructor(device: Descriptor, host: Host, onReadable: () => boolean) {
    this.#deviceFd = device.fd;
    this.#host = host;
    this.#onReadable = onReadable;
    this.#epoll = new Epoll({ libc: device.libc, maxEvents: DEVICE_AND_GUEST });
    try {
      this.#epoll.add(device.fd, EPOLLIN);
    } catch (error) {
      this.#epoll.close();
      throw error;
    }
  }

  get fd(): number {
    return this.#epoll.fd;
  }

  readonly takeTurn = (): boolean => {
    this.#isMoreToDo = false; // if it throws
    this.#isMoreToDo = this.#onReadable();
    return this.#isMoreToDo;
  };

  admitGuest(fd: number): boolean {
    if (!this.#epoll.tryAdd(fd, EPOLLIN)) return false;
    this.#guestFd = fd;
    return true;
  }

  dismissGuest(): void {
    this.#epoll.forget(this.#guestFd);
    this.#guestFd = NO_GUEST;
  }

  waitForTurn(waitMs: number): boolean {
    let hasNews = this.#isMoreToDo;
    const count = this.#epoll.wait(hasNews ? 0 : waitMs);
    this.isGuestReady = false;
    for (let i = 0; i < count; i++) {
      if (this.#epoll.fdOf(i) === this.#deviceFd) hasNews = true;
      else this.isGuestReady = true;
    }
    try {
      this.takeTurn();
    } catch (error) {
      this.#host.raise(error);
    }
    return hasNews;
  }

  close(): void {
    this.#epoll.close();
  }
}
