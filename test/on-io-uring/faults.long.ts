/**
 * Clients that break off, dawdle and crowd, and SIGTERM: on the io_uring loop.
 */

import { onUring } from '../support/backends.ts';

await onUring(async () => {
  await import('../faults/resets.test.ts');
  await import('../faults/slow-clients.test.ts');
  await import('../faults/starvation.test.ts');
  await import('../faults/sigterm.test.ts');
});
