/**
 * Writes a program for each room of `npm test` into the compiled tree, and prints their names, which are tap's arguments.
 */

import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { buildFolder } from './programs.ts';
import { roomsOf } from './rooms.ts';

const folder = join(buildFolder, 'test/rooms');
rmSync(folder, { recursive: true, force: true });

const files = readdirSync(join(buildFolder, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.js'))
  .map((name) => `test/${name}`)
  .sort();

mkdirSync(folder);
for (const [i, members] of roomsOf(files).entries()) {
  const program = join(folder, `${String(i + 1).padStart(2, '0')}.js`);
  writeFileSync(
    program,
    `import { enterRoom } from '../support/room.js';\nenterRoom(${JSON.stringify(members, null, 2)});\n`,
  );
  console.log(relative(process.cwd(), program));
}
