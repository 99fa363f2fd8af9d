/** More requests made by grammar than in `npm test`. */

process.env.CASES ??= '4000';

await import('./oracle.test.ts');
