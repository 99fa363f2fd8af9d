/** The files of deploy/, checked by the programs that read them. */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'tap';
import { buildFolder, missing } from './support/programs.ts';

const deploy = join(buildFolder, '../deploy');
const check = (command: string, args: readonly string[]) => spawnSync(command, args, { encoding: 'utf8' });

test('HAProxy accepts its file', { skip: missing('haproxy') }, async (t) => {
  const { status, stderr } = check('haproxy', ['-c', '-f', join(deploy, 'haproxy.cfg')]);
  t.equal(status, 0, stderr);
  t.notMatch(stderr, /WARNING/);
});

test('nginx accepts its file', { skip: missing('nginx') }, async (t) => {
  const { status, stderr } = check('nginx', ['-t', '-q', '-c', join(deploy, 'nginx.conf'), '-g', 'pid /dev/null;']);
  const hasNoStream = /unknown directive "stream"/.test(stderr); // a package of its own in Debian
  t.ok(status === 0 || hasNoStream, stderr);
  t.notMatch(stderr, /\[warn\]/);
});
