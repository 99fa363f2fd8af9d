/** Clients that are not ours, wrk and Chromium too, and an upload of 1 GB. */

process.env.LONG ??= '1';
process.env.UPLOAD_BYTES ??= '1073741824';

await import('./clients.test.ts');
