/** The server under the filter of deploy/seccomp.json: everything works, what is not on the list is refused, and what is dangerous is not on it. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { buildFolder, missing, Program, plainEnvironment } from '../support/programs.ts';
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
  return compiled(folder, 'launcher');
}

function compiled(folder: string, name: string): string {
  const [source, program] = [join(root, `test/e2e/seccomp/${name}.c`), join(folder, name)];
  const { status, stderr } = spawnSync('cc', ['-O1', '-I', folder, '-o', program, source], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return program;
}

test('everything works under the filter', { skip: missing('cc') }, async (t) => {
  await exercise([launcher(t), 'kill']);
  t.pass('no call was made that is not on the list');
});

test('what applications ask for works as without the filter', { skip: missing('cc') }, async (t) => {
  const program = join(buildFolder, 'test/e2e/seccomp/application.js');
  const run = ([command = '', ...args]: readonly string[]) => {
    const options = { encoding: 'utf8', env: plainEnvironment() } as const;
    const { status, stdout, stderr } = spawnSync(command, args, options);
    t.equal(status, 0, stderr);
    return stdout.trimEnd().split('\n');
  };
  const free = run([process.execPath, program]);
  t.same(
    free.filter((line) => /Error|false/.test(line)),
    [],
  );
  t.same(run([launcher(t), 'errno', process.execPath, program]), free);
});

test('what is not on the list is answered with ENOSYS', { skip: missing('cc') }, async (t) => {
  const { status, stderr } = spawnSync(launcher(t), ['errno', '/usr/bin/env', 'unshare', '-U', 'true'], {
    encoding: 'utf8',
  });
  t.not(status, 0);
  t.match(stderr, /Function not implemented/);
});

test('the command with the families of addresses that the unit of systemd allows', {
  skip: missing('cc'),
}, async (t) => {
  const unit = readFileSync(join(root, 'deploy/simplenet.service'), 'utf8');
  t.match(unit, /^RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX$/m, 'those of families.c');
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-families-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const launches = compiled(folder, 'families');
  const run = (...args: string[]) => new Program(launches, [process.execPath, ...args], { env: plainEnvironment() });
  const { stderr } = await run('-e', 'os.networkInterfaces()').ends();
  t.match(stderr, /uv_interface_addresses/, 'the cards are out of reach');
  for (const more of [[], ['--workers', '2']]) {
    const args = [folder, '--host', '0.0.0.0', '--port', '0', '--log', 'json', '--listing', ...more];
    const program = run(join(buildFolder, 'command/main.js'), ...args);
    const [, url = ''] = await program.prints(/^(http\S+)\n/);
    t.equal((await fetch(url, { headers: { connection: 'close' } })).status, 200);
    program.kill('SIGTERM');
    const outcome = await program.ends();
    t.equal(outcome.code, 0, outcome.stderr);
    t.match(outcome.stderr, /"event":"started",.*"networkUrls":\[\]/);
  }
});

test('the profile is in the form that Docker reads, and opens nothing to an attacker that a server does not need', async (t) => {
  t.same([defaultAction, defaultErrnoRet], ['SCMP_ACT_ERRNO', 38]);
  t.ok(syscalls.every(({ action }) => action === 'SCMP_ACT_ALLOW'));
  t.equal(new Set(names).size, names.length, 'each name stands once');
  t.ok(names.length > 100 && names.length < 250, `${names.length} calls`);
  const dangerous = [
    // into other processes
    ...['ptrace', 'process_vm_readv', 'process_vm_writev', 'pidfd_getfd', 'kcmp', 'perf_event_open'],
    // out of its place
    ...['mount', 'umount2', 'pivot_root', 'chroot', 'unshare', 'setns', 'open_by_handle_at', 'mknod', 'mknodat'],
    // to other rights
    ...['setuid', 'setgid', 'setgroups', 'setresuid', 'capset', 'keyctl', 'add_key', 'request_key', 'personality'],
    // into the kernel and the machine
    ...['bpf', 'init_module', 'finit_module', 'delete_module', 'kexec_load', 'userfaultfd', 'iopl', 'ioperm'],
    ...['reboot', 'swapon', 'acct', 'quotactl', 'settimeofday', 'clock_settime', 'sethostname', 'syslog'],
  ];
  t.same(
    names.filter((name) => dangerous.includes(name)),
    [],
  );
});
