/** As conformance.test.ts, with more compressed messages of each size. */

process.env.MESSAGES ??= '10';

await import('./conformance.test.ts');
