/** A module for `fuzz --checks`: our reader with an endless loop in it. */

import type { Checks } from './fuzzer.ts';
import { endlessReader } from './planted.ts';
import { readingProperties } from './properties.ts';

export const checks: Checks = { fast: readingProperties(endlessReader), slow: [] };
