/** Ten times as many seeds as in `npm test`. */

process.env.SEEDS ??= '1000';

await import('./chaos.test.ts');
