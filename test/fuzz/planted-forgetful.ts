/** A module for `fuzz --checks`: our reader with a bug. */

import type { Checks } from './fuzzer.ts';
import { forgetfulReader } from './planted.ts';
import { readingProperties } from './properties.ts';

export const checks: Checks = { fast: readingProperties(forgetfulReader), slow: [] };
