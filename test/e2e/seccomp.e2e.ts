/** The server under the filter of deploy/seccomp.json: everything works, what is not on the list is refused, and what is dangerous is not on it. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { buildFolder, missing } from '../support/programs.ts';
import { exercise } from './seccomp/exercise.ts';

const root = join(buildFolder, '..');
const { syscalls, defaultAction, defaultErrnoRet } = JSON.parse(
  readFileSync(join(root, 'deploy/seccomp.json'), 'utf8'),
) as {
  readonly defaultAction: string;
  readonly defaultErrnoRet: number;
  readonly syscalls: readonly { readonly names: readonly string[]; readonly action: string }[];
};
const names = syscalls.flatMap((rule) => rule.names);

function launcher(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-seccomp-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const allowed = names.map((name) => `#ifdef __NR_${name}\nALLOW(__NR_${name})\n#endif\n`).join('');
  writeFileSync(join(folder, 'allowed.h'), allowed);
  const program = join(folder, 'launcher');
  const source = join(root, 'test/e2e/seccomp/launcher.c');
  const { status, stderr } = spawnSync('cc', ['-O1', '-I', folder, '-o', program, source], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return program;
}

test('everything works under the filter', { skip: missing('cc') }, async (t) => {
  await exercise([launcher(t), 'kill']);
  t.pass('no call was made that is not on the list');
});

test('what is not on the list is answered with ENOSYS', { skip: missing('cc') }, async (t) => {
  const { status, stderr } = spawnSync(launcher(t), ['errno', '/usr/bin/env', 'unshare', '-U', 'true'], {
    encoding: 'utf8',
  });
  t.not(status, 0);
  t.match(stderr, /Function not implemented/);
});

test('the profile is in the form that Docker reads, and opens nothing to an attacker that a server does not need', async (t) => {
  t.same([defaultAction, defaultErrnoRet], ['SCMP_ACT_ERRNO', 38]);
  t.ok(syscalls.every(({ action }) => action === 'SCMP_ACT_ALLOW'));
  t.equal(new Set(names).size, names.length, 'each name stands once');
  t.ok(names.length > 100 && names.length < 250, `${names.length} calls`);
  const dangerous = [
    'ptrace',
    'process_vm_writev',
    'mount',
    'unshare',
    'setns',
    'bpf',
    'init_module',
    'kexec_load',
    'keyctl',
    'reboot',
    'setuid',
  ];
  t.same(
    names.filter((name) => dangerous.includes(name)),
    [],
  );
});
