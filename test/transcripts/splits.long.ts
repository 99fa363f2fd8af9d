/** Transcripts byte by byte, those of some kilobytes too. */

process.env.MAX_BYTES ??= '3000';

await import('./splits.test.ts');
