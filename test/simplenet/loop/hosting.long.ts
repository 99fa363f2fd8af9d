/** As hosting.test.ts, with more workers that are terminated. */

process.env.WORKERS ??= '10';

await import('./hosting.test.ts');
