/** Descriptor: one owner, one close. */

import t from 'tap';
import { EINTR, O_CLOEXEC, O_RDONLY } from '../../../simplenet/kernel/abi.ts';
import { Descriptor } from '../../../simplenet/kernel/descriptor.ts';
import { type Libc, libc } from '../../../simplenet/kernel/libc.ts';
import { openDescriptors } from '../../support/open-descriptors.ts';

function openNull(): number {
  return libc.open('/dev/null', O_RDONLY | O_CLOEXEC);
}

/** A table that notes what is closed, and answers as it is told. */
function closeNoting(result = 0): { table: Libc; closed: number[] } {
  const closed: number[] = [];
  const close = (fd: number) => {
    closed.push(fd);
    return result;
  };
  return { table: { ...libc, close }, closed };
}

t.test('close closes, once', async (t) => {
  const before = openDescriptors();
  const fd = openNull();
  const descriptor = new Descriptor(fd);
  t.equal(descriptor.fd, fd);
  t.equal(descriptor.isClosed, false);
  descriptor.close();
  t.equal(descriptor.fd, -1);
  t.equal(descriptor.isClosed, true);
  t.same(openDescriptors(), before);

  const stranger = openNull();
  t.equal(stranger, fd, 'the number is given out again at once');
  descriptor.close();
  t.equal(libc.close(stranger), 0, 'the second close did not touch it');
});

t.test('close forgets the number before it calls the kernel', async (t) => {
  const seen: number[] = [];
  const close = () => {
    seen.push(descriptor.fd);
    descriptor.close();
    return 0;
  };
  const descriptor: Descriptor = new Descriptor(7, { ...libc, close });
  descriptor.close();
  t.same(seen, [-1]);
});

t.test('close does not try again, whatever the kernel says', async (t) => {
  for (const result of [-EINTR, -5, -9]) {
    const { table, closed } = closeNoting(result);
    const descriptor = new Descriptor(7, table);
    descriptor.close();
    descriptor.close();
    t.same(closed, [7]);
    t.equal(descriptor.isClosed, true);
  }
});

t.test('release gives the number away', async (t) => {
  const { table, closed } = closeNoting();
  const descriptor = new Descriptor(7, table);
  t.equal(descriptor.release(), 7);
  t.equal(descriptor.isClosed, true);
  descriptor.close();
  t.same(closed, []);
  t.equal(descriptor.release(), -1, 'there is nothing left to give');
});

t.test('using', async (t) => {
  const { table, closed } = closeNoting();
  {
    using descriptor = new Descriptor(7, table);
    t.equal(descriptor.fd, 7);
    t.same(closed, []);
  }
  t.same(closed, [7]);
  t.throws(() => {
    using descriptor = new Descriptor(8, table);
    throw new Error(`while ${descriptor.fd} is open`);
  });
  t.same(closed, [7, 8], 'and when something is thrown');
});

t.test('the table is the one that was given', async (t) => {
  const { table } = closeNoting();
  t.equal(new Descriptor(7, table).libc, table);
  t.equal(new Descriptor(-1).libc, libc);
});
