/**
 * Files from a form, streamed to disk: no file is ever in memory as a whole.
 *
 * The client is slowed down to the speed of the disk. Each limit has its own error: 413 names the one that was exceeded. If the upload fails
 * or the client leaves, the files of this request are removed.
 */

import { randomUUID } from 'node:crypto';
import { createWriteStream, mkdirSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Router, serve } from '../../http/index.ts';

const MiB = 1024 ** 2;

const folder = process.env.UPLOADS ?? join(tmpdir(), 'uploads');
mkdirSync(folder, { recursive: true });

const router = new Router();

router.get('/', (_request, response) =>
  response.html(`<!doctype html>
<form method="post" action="/photos" enctype="multipart/form-data">
  <input name="photo" type="file" multiple> <button>Send</button>
</form>`),
);

// For this route alone: 1 GiB altogether, in at most ten minutes.
const limits = { bodyBytes: 1024 * MiB, bodyMs: 600_000 };

router.post('/photos', { limits }, async (request, response) => {
  const saved: { path: string; name: string; bytes: number }[] = [];
  try {
    for await (const part of request.multipart({ partCount: 10, partBytes: 100 * MiB })) {
      if (!part.filename) continue; // another field, or no file was chosen
      const path = join(folder, randomUUID()); // never a name that the client chose
      const photo = { path, name: part.filename, bytes: 0 };
      saved.push(photo);
      await pipeline(part, createWriteStream(path, { flags: 'wx' }));
      photo.bytes = (await stat(path)).size;
    }
  } catch (error) {
    await Promise.all(saved.map(({ path }) => rm(path, { force: true })));
    throw error;
  }
  response.status(201).json(saved.map(({ name, bytes }) => ({ name, bytes })));
});

const server = serve(router, { port: process.env.PORT ?? 8080 });
console.log(server.url);
