/** Answers of more lengths and kinds than in `npm test`, and the end of the process behind them. */

process.env.LENGTHS ??= '70000,500000';
process.env.WAYS ??= 'text,bytes,many';

await import('./exit.test.ts');
