/** As supervisor.test.ts, with what workers do to themselves, and with restarts under requests. */

process.env.WORKERS = 'all';

await import('./supervisor.test.ts');
