/** Clients that are not ours, and an upload of 1 GB. */

process.env.UPLOAD_BYTES ??= '1073741824';

await import('./clients.test.ts');
