/**
 * The edge to C, under attack: no view, number or length cell makes a call read or write outside of its buffer, and a
 * descriptor that is closed touches nothing.
 *
 * The attacks are in break-out.ts, a program of its own: if one succeeds, its process may crash.
 */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import * as abi from '../../../simplenet/kernel/abi.ts';
import { libc } from '../../../simplenet/kernel/libc.ts';
import { openDescriptors } from '../../support/open-descriptors.ts';
import type { Outcome } from './break-out.ts';

t.test('nothing breaks out', async (t) => {
  const program = join(import.meta.dirname, 'break-out.js');
  const env = { PATH: process.env.PATH };
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [program], {
    encoding: 'utf8',
    env,
    timeout: 240_000,
  });
  const lines = stdout.trim().split('\n');
  const outcomes = lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Outcome);
  for (const { group, attempts, refused, broken } of outcomes) {
    t.same(broken, [], `${group}: ${attempts} attempts, ${refused} refused`);
  }
  t.same([status, signal], [0, null], `it ended in '${lines.at(-1)}' ${stderr}`);
  const named = (group: string) => outcomes.find((outcome) => outcome.group === group);
  t.ok(named('honest buffers are written to and read'), 'attempts that may succeed do, and are seen');
  const addresses = named('options that hold an address');
  t.equal(addresses?.refused, addresses?.attempts);
  t.ok((named('a race for the length')?.attempts ?? 0) > 100);
});

t.test('a closed descriptor: EBADF, and nothing is touched', async (t) => {
  const fd = libc.open('/dev/null', abi.O_RDONLY | abi.O_CLOEXEC);
  libc.close(fd);
  const memory = new Uint8Array(256).fill(0xa5);
  const bytes = memory.subarray(64, 128);
  const events = new Int32Array(memory.buffer, 64, 12);
  const room = Int32Array.of(64);
  const before = openDescriptors();
  const answers = {
    bind: libc.bind(fd, bytes, 16),
    accept4: libc.accept4(fd, bytes, room, 0),
    connect: libc.connect(fd, bytes, 16),
    recv: libc.recv(fd, bytes, 3, 16, 0),
    send: libc.send(fd, bytes, 3, 16, abi.MSG_NOSIGNAL),
    recvfrom: libc.recvfrom(fd, bytes, 3, 16, 0, bytes, room),
    sendto: libc.sendto(fd, bytes, 3, 16, abi.MSG_NOSIGNAL, bytes, 16),
    getsockname: libc.getsockname(fd, bytes, room),
    getpeername: libc.getpeername(fd, bytes, room),
    getsockopt: libc.getsockopt(fd, abi.SOL_SOCKET, abi.SO_TYPE, bytes, room),
    setsockopt: libc.setsockopt(fd, abi.SOL_SOCKET, abi.SO_REUSEADDR, bytes, 4),
    setsockopt_fprog: libc.setsockopt_fprog(fd, abi.SO_ATTACH_FILTER, bytes, 16),
    epoll_ctl: libc.epoll_ctl(fd, abi.EPOLL_CTL_ADD, 0, events),
    epoll_wait: libc.epoll_wait(fd, events, 4, 0),
    read: libc.read(fd, bytes, 3, 16),
    write: libc.write(fd, bytes, 3, 16),
    ioctl: libc.ioctl(fd, abi.TUNSETIFF, bytes),
    pread: libc.pread(fd, bytes, 3, 16, 0),
    sendfile: libc.sendfile(fd, fd, 0, 16),
    close: libc.close(fd),
  };
  t.same(answers, Object.fromEntries(Object.keys(answers).map((name) => [name, -abi.EBADF])));
  t.ok(
    memory.every((byte) => byte === 0xa5),
    'no byte has changed',
  );
  t.equal(room[0], 64, 'and no length');
  t.same(openDescriptors(), before);
});

t.test('strings: a string that C would cut is refused, and any other reaches the kernel whole', async (t) => {
  t.throws(() => libc.open('/dev/null\0.txt', abi.O_RDONLY), TypeError);
  t.throws(() => libc.if_nametoindex('lo\0'), TypeError);
  t.throws(() => libc.openat2(-1, 'x\0', 0, 0), TypeError);
  const fickle = { toString: () => '/dev/null', includes: () => false } as unknown as string;
  t.throws(() => libc.open(fickle, abi.O_RDONLY), TypeError);
  t.throws(() => libc.open(new String('/dev/null') as string, abi.O_RDONLY), TypeError);
  const ENOENT = 2;
  const ENAMETOOLONG = 36;
  t.equal(libc.open('', abi.O_RDONLY), -ENOENT);
  t.equal(libc.open('/\ud800', abi.O_RDONLY), -ENOENT, 'half a character');
  t.equal(libc.open(`/${'ü'.repeat(1_000_000)}`, abi.O_RDONLY), -ENAMETOOLONG);
  t.equal(libc.if_nametoindex('x'.repeat(1_000_000)) < 0, true);
});
