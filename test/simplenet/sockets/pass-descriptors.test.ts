/** Passing descriptors over a Unix socket: how many, with what bytes, and what becomes of too many. */

import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { type Test, test } from 'tap';
import { EINTR, F_GETFD, FD_CLOEXEC, SCM_MAX_FD, SOL_SOCKET } from '../../../simplenet/kernel/abi.ts';
import { type Libc, libc } from '../../../simplenet/kernel/libc.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { receiveDescriptors, sendDescriptors } from '../../../simplenet/sockets/pass-descriptors.ts';
import { openDescriptors } from '../../support/open-descriptors.ts';

const SO_PASSCRED = 16;

let pairs = 0;

/** Two ends of one Unix connection. */
function pair(t: Test, table: Libc = libc): [NetSocket, NetSocket] {
  const address = { path: `\0simplenet-pass-${process.pid}-${pairs++}` };
  using listener = NetSocket.listenOn(address);
  const one = NetSocket.connectTo(address, { libc: table });
  const other = new NetSocket(listener.accept().release(), table);
  t.teardown(() => {
    one.close();
    other.close();
  });
  return [one, other];
}

function files(t: Test, count: number): number[] {
  const all = Array.from({ length: count }, () => openSync('/dev/null', 'r'));
  t.teardown(() => {
    for (const fd of all) closeSync(fd);
  });
  return all;
}

test('any number up to 253 travels with the bytes, and is close-on-exec', async (t) => {
  const [one, other] = pair(t);
  const all = files(t, SCM_MAX_FD);
  const buffer = Buffer.alloc(16);
  for (const count of [0, 1, 2, 3, 4, 100, SCM_MAX_FD]) {
    const before = openDescriptors();
    t.equal(sendDescriptors(one, Buffer.from('hello'), all.slice(0, count)), 5);
    const { size, descriptors } = receiveDescriptors(other, buffer, count);
    t.same([size, buffer.toString('latin1', 0, size), descriptors.length], [5, 'hello', count]);
    for (const fd of descriptors) {
      t.equal(fstatSync(fd).rdev, fstatSync(all[0] as number).rdev);
      t.equal(libc.fcntl(fd, F_GETFD, 0), FD_CLOEXEC);
      closeSync(fd);
    }
    t.same(openDescriptors(), before);
  }
});

test('a listening socket that was passed accepts what waits in its queue, also when the sender has closed it', async (t) => {
  const [one, other] = pair(t);
  const listener = NetSocket.listenOn({ address: '127.0.0.1', port: 0 });
  const client = NetSocket.connectTo(listener.localAddress);
  t.teardown(() => client.close());
  sendDescriptors(one, Buffer.from('x'), [listener.fd]);
  listener.close();
  const { descriptors } = receiveDescriptors(other, Buffer.alloc(1), 1);
  using passed = NetSocket.adopt(descriptors[0] as number);
  using accepted = passed.accept();
  accepted.writeAll(Buffer.from('from the queue'));
  const bytes = Buffer.alloc(20);
  t.equal(bytes.toString('latin1', 0, client.read(bytes)), 'from the queue');
});

test('more descriptors than the receiver takes: all are closed, and it throws', async (t) => {
  const [one, other] = pair(t);
  const all = files(t, 5);
  for (const most of [0, 1, 2, 3, 4]) {
    sendDescriptors(one, Buffer.from('x'), all);
    const before = openDescriptors();
    t.throws(
      () => receiveDescriptors(other, Buffer.alloc(1), most),
      { code: 'EMSGSIZE', syscall: 'recvmsg' },
      `${most}`,
    );
    t.same(openDescriptors(), before);
  }
  sendDescriptors(one, Buffer.from('x'), all);
  const { descriptors } = receiveDescriptors(other, Buffer.alloc(1), 5);
  t.equal(descriptors.length, 5);
  for (const fd of descriptors) closeSync(fd);
});

test('other control messages are skipped', async (t) => {
  const [one, other] = pair(t);
  other.setOption(SOL_SOCKET, SO_PASSCRED, 1);
  const [file = -1] = files(t, 1);
  sendDescriptors(one, Buffer.from('x'), [file]);
  const { descriptors } = receiveDescriptors(other, Buffer.alloc(1), 20);
  t.equal(descriptors.length, 1);
  for (const fd of descriptors) closeSync(fd);
});

test('the end of the stream, and a socket that is not open', async (t) => {
  const [one, other] = pair(t);
  one.close();
  t.same(receiveDescriptors(other, Buffer.alloc(8), 2), { size: 0, descriptors: [] });
  t.throws(() => sendDescriptors(other, Buffer.from('x'), []), { code: 'EPIPE', syscall: 'sendmsg' });
  t.throws(() => sendDescriptors(one, Buffer.from('x'), []), { code: 'EBADF' });
  t.throws(() => receiveDescriptors(one, Buffer.alloc(1), 1), { code: 'EBADF' });
});

test('no bytes are no address: nothing is sent, and nothing received', async (t) => {
  const [one, other] = pair(t);
  const none = new Uint8Array(0);
  t.equal(libc.sendmsg(one.fd, none, 0, 0, none, 0, 0), 0);
  one.writeAll(Buffer.from('x'));
  t.equal(libc.recvmsg(other.fd, none, 0, 0, none, Int32Array.of(0, 0), 0), 0);
  t.same(receiveDescriptors(other, Buffer.alloc(8), 1), { size: 1, descriptors: [] });
});

test('an interrupted call is made again', async (t) => {
  let interruptions = 0;
  const table: Libc = {
    ...libc,
    sendmsg: (...args) => (interruptions++ === 0 ? -EINTR : libc.sendmsg(...args)),
    recvmsg(...args) {
      if (interruptions++ > 1) return libc.recvmsg(...args);
      args[5][0] = 0; // the kernel may have written there
      return -EINTR;
    },
  };
  const [one, other] = pair(t, table);
  interruptions = 0;
  t.equal(sendDescriptors(one, Buffer.from('x'), [0]), 1);
  interruptions = 1;
  const { descriptors } = receiveDescriptors(other, Buffer.alloc(1), 1);
  t.equal(descriptors.length, 1);
  for (const fd of descriptors) closeSync(fd);
});

test('mistakes are refused before anything is sent', async (t) => {
  const [one] = pair(t);
  t.throws(() => sendDescriptors(one, Buffer.alloc(0), [0]), RangeError);
  t.throws(() => sendDescriptors(one, Buffer.from('x'), new Array(SCM_MAX_FD + 1).fill(0)), RangeError);
  t.throws(() => sendDescriptors(one, Buffer.from('x'), [1_000_000]), { code: 'EBADF' });
  for (const most of [-1, 1.5, SCM_MAX_FD + 1, Number.NaN]) {
    t.throws(() => receiveDescriptors(one, Buffer.alloc(1), most), RangeError, `${most}`);
  }
});

test('memory without a file can be shared', async (t) => {
  const [one, other] = pair(t);
  const fd = libc.memfd_create('shared', 1);
  t.ok(fd >= 0);
  t.equal(libc.write(fd, Buffer.from('in memory'), 0, 9), 9);
  sendDescriptors(one, Buffer.from('x'), [fd]);
  closeSync(fd);
  const { descriptors } = receiveDescriptors(other, Buffer.alloc(1), 1);
  t.equal(readFileSync(`/proc/self/fd/${descriptors[0]}`, 'latin1'), 'in memory');
  closeSync(descriptors[0] as number);
});
