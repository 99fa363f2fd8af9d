/**
 * The golden transcripts, on the io_uring loop.
 */

import { onUring } from '../support/backends.ts';

await onUring(async () => {
  await import('../transcripts/transcripts.test.ts');
});
