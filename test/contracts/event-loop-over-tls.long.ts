/** As event-loop-over-tls.test.ts, with the other version of TLS on each backend. */

process.env.TLS ??= 'other';

await import('./event-loop-over-tls.test.ts');
