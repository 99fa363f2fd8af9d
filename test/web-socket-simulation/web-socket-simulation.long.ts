/** More days than in `npm test`. */

process.env.SEEDS ??= '1000';

await import('./web-socket-simulation.test.ts');
