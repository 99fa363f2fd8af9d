/** As tls.test.ts, with more inputs; for hours there is `npm run fuzz -- --target tls`. */

process.env.EXECUTIONS ??= '15000';

await import('./tls.test.ts');
