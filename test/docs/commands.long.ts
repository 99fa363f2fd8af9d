/** As commands.test.ts, with the lessons. */

process.env.PAGES ??= 'all';

await import('./commands.test.ts');
