/** As https-workers.test.ts, with more workers; `WORKERS=1000` of them by hand. */

process.env.WORKERS ??= '60';

await import('./https-workers.test.ts');
