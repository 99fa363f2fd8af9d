/** As event-loop-on-stack.test.ts, with more seeds. SEEDS=n runs n of them. */
process.env.SEEDS ??= '40';
await import('./event-loop-on-stack.test.ts');
