/** More days, with more connections at the same time, than in `npm test`. */

process.env.REQUESTS ??= '50000';
process.env.CROWD ??= '500';

await import('./server-simulation.test.ts');
