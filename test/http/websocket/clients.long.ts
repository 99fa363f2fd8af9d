/** As clients.test.ts, with Chromium. */

process.env.LONG ??= '1';

await import('./clients.test.ts');
