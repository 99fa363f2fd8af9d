/** Memory that processes share: what one writes through its mapping, another one sees; and what the kernel refuses. */

import { closeSync, openSync } from 'node:fs';
import { test } from 'tap';
import { createShared, mapShared } from '../../../http/workers/shared-memory.ts';
import { EMFILE } from '../../../simplenet/kernel/abi.ts';
import { libc } from '../../../simplenet/kernel/libc.ts';
import { openDescriptors } from '../../support/open-descriptors.ts';

test('two mappings are the same memory, zero at first, also when the descriptor is closed', async (t) => {
  const before = openDescriptors();
  const fd = createShared(16);
  const [one, other] = [new Int32Array(mapShared(fd, 16)), new Int32Array(mapShared(fd, 16))];
  closeSync(fd);
  t.same([...one], [0, 0, 0, 0]);
  one[3] = 7;
  t.same([...other], [0, 0, 0, 7]);
  t.same(openDescriptors(), before);
});

test('what the kernel refuses', async (t) => {
  const { memfd_create } = libc;
  t.teardown(() => Object.assign(libc, { memfd_create }));
  Object.assign(libc, { memfd_create: () => -EMFILE });
  t.throws(() => createShared(8), { code: 'EMFILE', syscall: 'memfd_create' });
  const fd = openSync('/proc/self/maps', 'r');
  t.throws(() => mapShared(fd, 8), { code: /^E/, syscall: 'mmap' }, 'a file that cannot be mapped');
  closeSync(fd);
});
