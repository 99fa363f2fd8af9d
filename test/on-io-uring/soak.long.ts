/**
 * A few seconds of soak, on the io_uring loop.
 */

import { onUring } from '../support/backends.ts';

await onUring(async () => {
  await import('../soak/soak.long.ts');
});
