/**
 * Writes a program for each room of `npm test` into the compiled tree, and prints their names, which are tap's arguments.
 */

import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { buildFolder } from './programs.ts';
import { roomsOf } from './rooms.ts';

const folder = join(buildFolder, 'test/rooms');
rmSync(folder, { recursive: true, force: true });

const files = readdirSync(join(buildFolder, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.js'))
  .map((name) => `test/${name}`)
  .sort();

for (const [room, members] of roomsOf(files)) {
  const program = join(folder, `${room.replace(/^test\/?/, '') || 'top'}.js`);
  mkdirSync(dirname(program), { recursive: true });
  const support = relative(dirname(program), join(buildFolder, 'test/support/room.js'));
  writeFileSync(program, `import { enterRoom } from '${support}';\nenterRoom(${JSON.stringify(members, null, 2)});\n`);
  console.log(relative(process.cwd(), program));
}
