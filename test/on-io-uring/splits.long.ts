/**
 * The golden transcripts byte by byte, on the io_uring loop.
 */

import { onUring } from '../support/backends.ts';

await onUring(async () => {
  await import('../transcripts/splits.long.ts');
});
