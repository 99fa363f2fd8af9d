/**
 * The kernel reuses the lowest free descriptor number. That must not happen while the batch has events of the old descriptor: nothing
 * of the old connection may reach the new one.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { EpollLoop } from '../../../simplenet/epoll/epoll-loop.ts';
import { type Libc, libc } from '../../../simplenet/kernel/libc.ts';
import type { SocketAddress } from '../../../simplenet/kernel/socket-address.ts';
import type { Stream } from '../../../simplenet/loop/event-loop.ts';
import { defaultLoopLimits } from '../../../simplenet/loop/loop-limits.ts';
import { nodeHost } from '../../../simplenet/loop/node-host.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { openDescriptors } from '../../support/open-descriptors.ts';
import { until } from '../../support/waiting.ts';

const anyPort: SocketAddress = { address: '127.0.0.1', port: 0 };
const CROWD = 8;

/** Which descriptors came and went, in order. */
class DescriptorLog {
  readonly libc: Libc;
  readonly accepted: number[] = [];
  readonly closed: number[] = [];

  constructor() {
    this.libc = {
      ...libc,
      accept4: (fd, address, addressLength, flags) => {
        const result = libc.accept4(fd, address, addressLength, flags);
        if (result >= 0) this.accepted.push(result);
        return result;
      },
      close: (fd) => {
        this.closed.push(fd);
        return libc.close(fd);
      },
    };
  }
}

/** The server's end of a connection. */
interface End {
  readonly stream: Stream;
  heard: string;
  isOver: boolean;
  isClosed: boolean;
}

for (const way of ['close', 'abort'] as const) {
  test(`a callback ends others of its batch (${way}) while more are accepted: each gets its own bytes`, async (t) => {
    const before = openDescriptors();
    for (let round = 0; round < 10; round++) {
      const log = new DescriptorLog();
      const loop = new EpollLoop(log.libc, nodeHost, defaultLoopLimits);
      const ends: End[] = [];
      const mistakes: string[] = [];
      let isEnding = false;
      const endOthers = (self: End) => {
        isEnding = false;
        const closedSoFar = log.closed.length;
        for (const end of ends) {
          if (end === self) continue;
          end.stream[way]();
          end.isOver = true;
        }
        if (log.closed.length > closedSoFar) mistakes.push('a descriptor was closed in the middle of its batch');
      };
      const { address } = loop.listen(anyPort, (stream) => {
        const end: End = { stream, heard: '', isOver: false, isClosed: false };
        ends.push(end);
        return {
          onData(_stream, bytes) {
            if (end.isOver) mistakes.push(`'${bytes.toString()}' after its end`);
            end.heard += bytes.toString();
            if (isEnding) endOthers(end);
          },
          onClose() {
            end.isOver = true;
            end.isClosed = true;
          },
        };
      });
      const peers = Array.from({ length: CROWD }, () => NetSocket.connectTo(address));
      await until(() => ends.length === CROWD);
      const others = Array.from({ length: 2 * CROWD }, () => NetSocket.openFor(address)); // with numbers of their own
      const greet = (peer: NetSocket, i: number) => {
        peer.connect(address);
        peer.writeAll(Buffer.from(`new ${i};`));
      };
      // All of this before the loop has its turn: its batch holds the old ones and the listener.
      isEnding = true;
      for (const peer of peers) peer.writeAll(Buffer.from('old;'));
      for (const [i, peer] of others.slice(0, CROWD).entries()) greet(peer, i);
      await until(() => ends.filter((end) => end.isClosed).length >= CROWD - 1);
      // Now the numbers of the old ones are free.
      for (const [i, peer] of others.slice(CROWD).entries()) greet(peer, CROWD + i);
      await until(() => ends.length === 3 * CROWD && ends.every((end) => end.isClosed || end.heard !== ''));
      const texts = ends.slice(CROWD).flatMap((end) => (end.heard === '' ? [] : [end.heard]));
      const allowed = new Set(Array.from({ length: 2 * CROWD }, (_, i) => `new ${i};`));
      for (const text of texts) if (!allowed.delete(text)) mistakes.push(`a new connection heard '${text}'`);
      t.same(mistakes, []);
      t.ok(texts.length >= CROWD, `${texts.length} of the new ones were heard`);
      t.ok(
        log.accepted.slice(CROWD).some((fd) => log.closed.includes(fd)),
        'numbers came back',
      );
      for (const peer of [...peers, ...others]) peer.close();
      loop.close();
      await until(() => ends.every((end) => end.isClosed));
    }
    await sleep(1);
    t.same(openDescriptors(), before);
  });
}
