/** Clients that are not ours, and an upload of 1 GB, on the io_uring loop. */

import { onUring } from '../support/backends.ts';

await onUring(async () => {
  await import('../http/clients.long.ts');
});
