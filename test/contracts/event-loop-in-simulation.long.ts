/** Each scenario of the contract under ten times as many seeds as in `npm test`. */

process.env.SEEDS ??= '100';

await import('./event-loop-in-simulation.test.ts');
