/**
 * What ordinary programs ask of the system beside serving: who they are, where they are, what they do with files and with other programs. A program: it writes a line for each step,
 * `name: result`. A step that fails has its error as the result.
 */

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { readdir, watch } from 'node:fs/promises';
import { createServer } from 'node:net';
import * as os from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

const folder = fs.mkdtempSync(join(os.tmpdir(), 'simplenet-application-'));
const at = (name: string) => join(folder, name);
const text = (name: string, more = '') => fs.writeFileSync(at(name), `text${more}`);

const steps: Readonly<Record<string, () => unknown>> = {
  'who it is': () => [
    process.ppid > 0,
    process.getuid?.() === os.userInfo().uid,
    process.getegid?.() === process.getgid?.(),
  ],
  groups: () => (process.getgroups?.().length ?? -1) >= 0,
  umask: () => {
    const before = process.umask(0o027);
    return process.umask(before);
  },
  'where it is': () => {
    const before = process.cwd();
    process.chdir(folder);
    const there = process.cwd() === fs.realpathSync(folder);
    process.chdir(before);
    return there;
  },
  priority: () => {
    os.setPriority(Math.min(os.getPriority() + 1, os.constants.priority.PRIORITY_LOW));
    return Number.isInteger(os.getPriority());
  },
  'what it uses': () => [
    process.resourceUsage().maxRSS > 0,
    process.cpuUsage().user > 0,
    process.memoryUsage().rss > 0,
  ],
  machine: () => [
    os.uptime() > 0,
    os.loadavg().length,
    os.totalmem() > os.freemem(),
    os.cpus().length > 0,
    os.availableParallelism() > 0,
  ],
  names: () => [
    os.hostname() !== '',
    os.release() !== '',
    os.version() !== '',
    Object.keys(os.networkInterfaces()).length > 0,
  ],
  'metadata of files': () => {
    text('a');
    fs.chmodSync(at('a'), 0o640);
    fs.chownSync(at('a'), process.getuid?.() ?? 0, process.getgid?.() ?? 0);
    fs.truncateSync(at('a'), 2);
    fs.utimesSync(at('a'), 1, 2);
    const { mode, mtimeMs, size } = fs.statSync(at('a'));
    return [mode.toString(8), mtimeMs, size];
  },
  'metadata of open files': () => {
    const fd = fs.openSync(at('b'), 'w+');
    fs.writeSync(fd, 'text');
    fs.writevSync(fd, [Buffer.from('1'), Buffer.from('2')]);
    fs.fchmodSync(fd, 0o600);
    fs.fchownSync(fd, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
    fs.futimesSync(fd, 1, 2);
    fs.ftruncateSync(fd, 5);
    fs.fsyncSync(fd);
    fs.fdatasyncSync(fd);
    const read = Buffer.alloc(9);
    const sizes = [fs.readSync(fd, read, 0, 9, 0), fs.readvSync(fd, [read], 0), fs.fstatSync(fd).size];
    fs.closeSync(fd);
    return sizes;
  },
  links: () => {
    text('c');
    fs.symlinkSync('c', at('link'));
    fs.linkSync(at('c'), at('hard'));
    fs.lchownSync(at('link'), process.getuid?.() ?? 0, process.getgid?.() ?? 0);
    fs.lutimesSync(at('link'), 1, 2);
    return [
      fs.readlinkSync(at('link')),
      fs.lstatSync(at('link')).isSymbolicLink(),
      fs.statSync(at('hard')).nlink,
      !fs.existsSync(at('none')),
    ];
  },
  'moved, copied, removed': () => {
    text('d');
    fs.renameSync(at('d'), at('e'));
    fs.copyFileSync(at('e'), at('f'), fs.constants.COPYFILE_FICLONE);
    fs.mkdirSync(at('deep/er'), { recursive: true });
    text('deep/er/g');
    fs.cpSync(at('deep'), at('copy'), { recursive: true });
    fs.rmSync(at('deep'), { recursive: true });
    fs.accessSync(at('copy/er/g'), fs.constants.R_OK);
    return fs.readdirSync(at('copy'), { recursive: true });
  },
  'file systems': () => fs.statfsSync(folder).bsize > 0,
  'folders, one entry after the other': async () => {
    const names: string[] = [];
    for await (const { name } of await fs.promises.opendir(at('copy'))) names.push(name);
    return [names, await readdir(at('copy'))];
  },
  'news of files': async () => {
    const end = new AbortController();
    const heard = (async () => {
      for await (const { filename } of watch(folder, { signal: end.signal })) return filename;
      return null;
    })();
    text('heard');
    const name = await heard;
    end.abort();
    return name;
  },
  streams: async () => {
    await pipeline(
      fs.createReadStream(process.execPath, { end: 1_000_000 }),
      createGzip(),
      fs.createWriteStream(at('h.gz'), { flush: true } as object),
    );
    return fs.statSync(at('h.gz')).size > 1_000;
  },
  shell: () =>
    execFileSync(
      '/bin/sh',
      ['-c', 'cd / && pwd; umask; echo one two | tr a-z A-Z; ls -l /etc/passwd | wc -l; test $PPID -gt 1; echo $?'],
      { encoding: 'utf8' },
    ),
  tools: () => {
    const script =
      'cp -a c i; mv i j; touch j; cat j; stat -c %s j; df . | wc -l; id -u | wc -l; mkdir k; rmdir k; find . -name j; tar cf l.tar j && tar tf l.tar; sort j; date +%Z; nproc | wc -l; sleep 0';
    const { status, stdout, stderr } = spawnSync('sh', ['-c', script], {
      cwd: folder,
      encoding: 'utf8',
      timeout: 30_000,
    });
    return [status, stdout, stderr];
  },
  'children and signals': async () => {
    const child = spawn('sleep', ['60'], { detached: true, stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
    child.kill('SIGTERM');
    const [, signal] = await once(child, 'exit');
    process.once('SIGUSR2', () => {});
    process.kill(process.pid, 'SIGUSR2');
    return [signal, spawnSync('sleep', ['60'], { timeout: 1 }).signal];
  },
  'a socket with a name': async () => {
    const server = createServer().listen(at('socket'));
    await once(server, 'listening');
    server.close();
    await once(server, 'close');
    return !fs.existsSync(at('socket'));
  },
};

for (const [name, step] of Object.entries(steps)) {
  let result: unknown;
  try {
    result = await step();
  } catch (error) {
    result = String(error);
  }
  process.stdout.write(`${name}: ${JSON.stringify(result)}\n`);
}
fs.rmSync(folder, { recursive: true });
