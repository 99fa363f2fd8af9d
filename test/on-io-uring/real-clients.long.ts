/** The command and programs that others wrote, on the io_uring loop. */

import { onUring } from '../support/backends.ts';

process.env.HUGE_BYTES ??= String(2 * 1_024 ** 3);

await onUring(async () => {
  await import('../command/real-clients.long.ts');
});
