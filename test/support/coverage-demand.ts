/**
 * What `npm test` asks of coverage: all of it. Where io_uring is forbidden, nothing has run the lines of its loop, and the rest would
 * fail for that: then a line says so, and the tests alone decide.
 */

import { noUring } from './backends.ts';

if (noUring === false) {
  console.log('--no-allow-incomplete-coverage');
} else {
  console.error(`coverage is not asked for: ${String(noUring)}`);
  console.log('--allow-incomplete-coverage');
}
