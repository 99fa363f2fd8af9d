/** What the fuzzer checks unless it is told otherwise: all properties, of our own reader. */

import type { Checks } from './fuzzer.ts';
import { answeringProperty, readingProperties } from './properties.ts';

export const checks: Checks = { fast: readingProperties(), slow: [answeringProperty()] };
