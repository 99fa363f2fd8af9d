/** Answers of more lengths than in `npm test`, and the end of the process behind them. */

process.env.LENGTHS ??= '70000,500000';

await import('./exit.test.ts');
