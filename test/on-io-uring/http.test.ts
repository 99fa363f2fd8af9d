/**
 * The HTTP server on the io_uring loop. Its clients that are not ours are in clients.long.ts.
 */

import { onUring } from '../support/backends.ts';

await onUring(async () => {
  await import('../http/serve.test.ts');
});
