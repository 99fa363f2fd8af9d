/** Heads and bodies of the corpus cut at each pair of offsets, and four times as many damaged ones as in `npm test`. */

process.env.DAMAGED ??= '20000';

process.env.STRIDE = '1';
await import('./head-parser.test.ts');
await import('./body-decoder.test.ts');

process.env.STRIDE = '7';
await import('./request-head.test.ts');
