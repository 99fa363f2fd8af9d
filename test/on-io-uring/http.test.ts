/**
 * The HTTP server and clients that are not ours, on the io_uring loop.
 */

import { onUring } from '../support/backends.ts';

await onUring(async () => {
  await import('../http/serve.test.ts');
  await import('../http/clients.test.ts');
});
