/** The limit of open files, in processes that begin with one of their own, and on a table that plays the kernel. */

import t from 'tap';
import { EPERM } from '../../../simplenet/kernel/abi.ts';
import { type Libc, libc } from '../../../simplenet/kernel/libc.ts';
import { raiseOpenFileLimit } from '../../../simplenet/kernel/open-file-limit.ts';
import { importing, isInstalled, runProgram } from '../../support/child-program.ts';

const UNLIMITED = 2n ** 64n - 1n;

interface PlayedLimit {
  soft: bigint;
  hard: bigint;
}

/** A kernel with that limit, which may or may not allow to raise the hard one. */
function playing(limit: PlayedLimit, isPrivileged: boolean): { table: Libc; sets: string[] } {
  const sets: string[] = [];
  const table: Libc = {
    ...libc,
    getrlimit(_resource, bytes) {
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      view.setBigUint64(0, limit.soft, true);
      view.setBigUint64(8, limit.hard, true);
      return 0;
    },
    setrlimit(_resource, bytes) {
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      const [soft, hard] = [view.getBigUint64(0, true), view.getBigUint64(8, true)];
      sets.push(`${soft} ${hard}`);
      if (soft > hard) return -22;
      if (hard > limit.hard && !isPrivileged) return -EPERM;
      Object.assign(limit, { soft, hard });
      return 0;
    },
  };
  return { table, sets };
}

t.test('enough already: nothing is set', async (t) => {
  for (const [soft, wanted] of [
    [1024n, 1024],
    [1024n, 1],
    [1024n, 0],
    [UNLIMITED, 2 ** 40],
  ] as const) {
    const { table, sets } = playing({ soft, hard: UNLIMITED }, false);
    t.equal(raiseOpenFileLimit(wanted, table), Number(soft));
    t.same(sets, []);
  }
});

t.test('raised within the hard limit, which stays as it is', async (t) => {
  for (const wanted of [1025, 4096]) {
    const limit = { soft: 1024n, hard: 4096n };
    const { table, sets } = playing(limit, false);
    t.equal(raiseOpenFileLimit(wanted, table), wanted);
    t.same(sets, [`${wanted} 4096`]);
    t.equal(limit.soft, BigInt(wanted));
  }
});

t.test('above the hard limit: all that is allowed', async (t) => {
  const limit = { soft: 1024n, hard: 4096n };
  const { table } = playing(limit, false);
  t.equal(raiseOpenFileLimit(4097, table), 4096);
  t.same(limit, { soft: 4096n, hard: 4096n });
  t.equal(raiseOpenFileLimit(1_000_000, table), 4096, 'asking again changes nothing');
});

t.test('above the hard limit, with the privilege to raise it', async (t) => {
  const limit = { soft: 1024n, hard: 4096n };
  t.equal(raiseOpenFileLimit(5000, playing(limit, true).table), 5000);
  t.same(limit, { soft: 5000n, hard: 5000n });
});

t.test('errors of the kernel are thrown as SystemError', async (t) => {
  t.throws(() => raiseOpenFileLimit(5000, { ...libc, getrlimit: () => -22 }), { code: 'EINVAL', syscall: 'getrlimit' });
  const { table } = playing({ soft: 1024n, hard: 4096n }, false);
  table.setrlimit = () => -EPERM;
  t.throws(() => raiseOpenFileLimit(5000, table), { name: 'SystemError', code: 'EPERM', syscall: 'setrlimit' });
});

t.test('an invalid number of files is refused', async (t) => {
  for (const wanted of [1.5, Number.NaN, Infinity, 'many', undefined]) {
    const { table, sets } = playing({ soft: 1024n, hard: 4096n }, false);
    t.throws(() => raiseOpenFileLimit(wanted as number, table), Error, String(wanted));
    t.same(sets, []);
  }
});

/** A process that begins with these limits, which Node at once raises as far as it may. */
function limited(soft: number, hard: number, program: string): string {
  const child = runProgram(`${importing('raiseOpenFileLimit, libc, abi')}${program}`, {
    wrapper: ['prlimit', `--nofile=${soft}:${hard}`],
  });
  return child.stdout + child.stderr;
}

const hasPrlimit = isInstalled('prlimit');
const skip = hasPrlimit ? undefined : { skip: 'there is no prlimit command here' };

const READ = `const limit = Buffer.alloc(16); libc.getrlimit(abi.RLIMIT_NOFILE, limit);
  const now = () => { libc.getrlimit(abi.RLIMIT_NOFILE, limit); return Number(limit.readBigUInt64LE(0)); };`;

t.test('in a process: the limit is really raised', skip ?? {}, async (t) => {
  // Node has raised it to 200 by itself, so it is lowered first, as a careless parent would.
  const lower = `limit.writeBigUInt64LE(64n, 0); libc.setrlimit(abi.RLIMIT_NOFILE, limit);`;
  t.equal(limited(100, 200, `${READ} ${lower} console.log(now(), raiseOpenFileLimit(150), now());`), '64 150 150\n');
});

t.test('in a process: the returned limit is in force, and the descriptors can be used', skip ?? {}, async (t) => {
  const program = `${READ}
    const answer = raiseOpenFileLimit(300);
    let opened = 0;
    while (libc.open('/dev/null', abi.O_CLOEXEC) >= 0) opened++;
    console.log(answer === now(), answer >= 200, opened > answer - 60 && opened < answer);`;
  t.equal(limited(100, 200, program), 'true true true\n');
});

t.test('in a process without privileges: no further than the hard limit', skip ?? {}, async (t) => {
  if (process.getuid?.() !== 0) {
    t.equal(limited(100, 200, `${READ} console.log(raiseOpenFileLimit(300), now());`), '200 200\n');
    return;
  }
  // Root can give its privileges away within the process, before it asks.
  const program = `${READ} process.setgid(65534); process.setuid(65534); console.log(raiseOpenFileLimit(300), now());`;
  t.equal(limited(100, 200, program), '200 200\n');
});
