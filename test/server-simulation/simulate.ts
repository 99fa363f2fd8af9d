/**
 * The simulation as a program: as many days as one has time for.
 *
 *     npm run simulate -- --requests 1000000 --seed 1
 *     npm run simulate -- --seed 17 --days 1      # that day again, exactly
 *
 * A seed that fails is printed, and so is everything that has happened, because a day without events proves nothing.
 *
 * Next: server-simulation.test.ts
 */

import { parseArgs } from 'node:util';
import { Days } from './days.ts';

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '1' },
    days: { type: 'string', default: 'Infinity' },
  },
});

/** Infinity for days without end; nothing else that is no whole number. */
function count(name: keyof typeof values): number {
  const value = Number(values[name]);
  if (Number.isInteger(value) ? value > 0 : value === Number.POSITIVE_INFINITY) return value;
  console.error(`--${name} must be a whole number above 0, not '${values[name]}'`);
  process.exit(1);
}

const days = new Days();
const firstSeed = count('seed');
const mostDays = count('days');
const mostRequests = count('requests');
for (let seed = firstSeed; days.requests < mostRequests && seed < firstSeed + mostDays; seed++) {
  await days.live({ seed });
}
console.log(days.report());
