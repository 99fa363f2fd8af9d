/**
 * Too much of something, on the io_uring loop.
 */

import { onUring } from '../support/backends.ts';

await onUring(async () => {
  await import('../faults/floods.test.ts');
});
