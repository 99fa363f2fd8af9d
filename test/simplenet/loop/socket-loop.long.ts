/** As socket-loop.test.ts, with more workers that end. */

process.env.WORKERS ??= '10';

await import('./socket-loop.test.ts');
