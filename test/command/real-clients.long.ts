/**
 * `simplenet DIRECTORY` and programs that others wrote: curl, wget and aria2c fetch parts and join them, ab and wrk count failures, Chromium seeks in a film and reads listings, and ten
 * gigabytes take no memory.
 */

import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { chromiumFlags } from '../support/chromium.ts';
import { buildFolder, missing, Program } from '../support/programs.ts';
import { until } from '../support/waiting.ts';

const main = join(buildFolder, 'command/main.js');
const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

const LARGE_BYTES = 30_000_000;
const PART_BYTES = 11_111_111;

/** Each is its own content. All of them must be links that lead to it. */
const ODD_NAMES = [
  '%2e%2e',
  '\'quoted\' and "quoted".txt',
  '<script>alert(1)<%2Fscript>.txt',
  '<img src=x onerror=alert(1)>',
  'a  b.txt',
  'a&amp;b;c=d+e.txt',
  'back\\slash.txt',
  'file2.txt',
  'file10.txt',
  'javascript:alert(1)',
  'line\nbreak.txt',
  'what?#fragment.txt',
  'ünïcödé 💧.txt',
  '50%.txt',
];

const large = Buffer.alloc(LARGE_BYTES);
for (let i = 0; i < LARGE_BYTES; i += 4) large.writeUInt32LE(Math.imul(i, 2_654_435_761) >>> 0, i);

function sumOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function place(...names: string[]): string {
  return join(folder, ...names);
}

mkdirSync(place('site/odd/a <b>folder'), { recursive: true });
mkdirSync(place('site/.hidden'));
mkdirSync(place('got'));
writeFileSync(place('site/large.bin'), large);
writeFileSync(place('site/small.txt'), 'small\n');
for (const name of ODD_NAMES) writeFileSync(place('site/odd', name), name);

interface Answered {
  readonly path: string;
  readonly status: number;
}

/** The command, as a process of its own. */
class Site {
  readonly url: string;
  readonly #program: Program;

  constructor(program: Program, url: string) {
    this.#program = program;
    this.url = url;
  }

  static async start(t: Test): Promise<Site> {
    const args = [main, place('site'), '--listing', '--port', '0', '--log', 'json'];
    const program = new Program(process.execPath, args);
    t.teardown(async () => {
      program.kill('SIGINT');
      const { code, stderr } = await program.ends();
      if (code !== 0) throw new Error(`it did not stop with grace: ${code}, ${stderr.slice(-1_000)}`);
    });
    const [url] = await program.prints(/^http:\S+/);
    return new Site(program, url);
  }

  /** The log of this path. */
  answers(path: RegExp): Answered[] {
    const lines = this.#program.stderr
      .split('\n')
      .slice(0, -1)
      .filter((line) => line.startsWith('{')); // Node may warn of something
    return lines.map((line) => JSON.parse(line) as Answered).filter((each) => path.test(each.path ?? ''));
  }

  residentBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'latin1');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1_024;
  }

  /** `env` has become Node: execve(2) keeps the number. */
  get pid(): number {
    return this.#program.child.pid as number;
  }
}

async function run(t: Test, command: string, ...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Program(command, args, { cwd: place('got') }).ends();
  t.equal(code, 0, `${command}: ${stderr}`);
  return { stdout, stderr };
}

test('curl: parts, the rest of a download, and what it has already', { skip: missing('curl') }, async (t) => {
  const { url } = await Site.start(t);
  const curl = async (...args: string[]) => {
    const output = place('got/curl');
    const code = '%{http_code} %{size_download}';
    const { stdout } = await run(t, 'curl', '-sS', '--max-time', '60', '-w', code, '-o', output, ...args);
    return stdout;
  };
  const got = () => readFileSync(place('got/curl'));
  for (const [range, start, end] of [
    ['0-99', 0, 100],
    ['1000000-', 1_000_000, LARGE_BYTES],
    ['-77', LARGE_BYTES - 77, LARGE_BYTES],
  ] as const) {
    t.equal(await curl('-r', range, `${url}/large.bin`), `206 ${end - start}`);
    t.ok(got().equals(large.subarray(start, end)), range);
  }
  t.match(await curl('-r', '0-9,20-29', `${url}/large.bin`), /^206 /);
  const parts = got().toString('latin1');
  for (const [start, end] of [
    [0, 9],
    [20, 29],
  ] as const) {
    const range = `Content-Range: bytes ${start}-${end}/${LARGE_BYTES}\r\n\r\n`;
    t.ok(parts.includes(range + large.subarray(start, end + 1).toString('latin1')), range);
  }
  writeFileSync(place('got/rest'), large.subarray(0, PART_BYTES));
  const rest = [
    'curl',
    '-sS',
    '-C',
    '-',
    '-w',
    '%{http_code} %{size_download}',
    '-o',
    'rest',
    `${url}/large.bin`,
  ] as const;
  t.equal((await run(t, ...rest)).stdout, `206 ${LARGE_BYTES - PART_BYTES}`);
  t.ok(readFileSync(place('got/rest')).equals(large), 'the parts are the whole');
  t.equal(await curl('-R', `${url}/small.txt`), '200 6');
  t.equal(await curl('-z', place('got/curl'), `${url}/small.txt`), '304 0');
  t.equal(await curl('--etag-save', place('got/etag'), `${url}/large.bin`), `200 ${LARGE_BYTES}`);
  t.equal(await curl('--etag-compare', place('got/etag'), `${url}/large.bin`), '304 0');
});

test('wget -c goes on with a download, and -N leaves a file alone', { skip: missing('wget') }, async (t) => {
  const site = await Site.start(t);
  const plain = ['--no-config', '--no-verbose', '--tries=1'] as const;
  writeFileSync(place('got/large.bin'), large.subarray(0, PART_BYTES));
  await run(t, 'wget', ...plain, '-c', `${site.url}/large.bin`);
  t.equal(sumOf(readFileSync(place('got/large.bin'))), sumOf(large));
  await run(t, 'wget', ...plain, '-c', `${site.url}/large.bin`); // it has all: 416
  await run(t, 'wget', ...plain, '-N', `${site.url}/small.txt`);
  await run(t, 'wget', ...plain, '-N', `${site.url}/small.txt`);
  await until(() => site.answers(/small/).length === 2);
  t.same(
    site.answers(/large|small/).map(({ status }) => status),
    [206, 416, 200, 304],
  );
  rmSync(place('got/large.bin'));
});

test('aria2c joins 16 parts, fetched side by side', { skip: missing('aria2c') }, async (t) => {
  const site = await Site.start(t);
  const split = ['-x16', '-s16', '-k1M', '--file-allocation=none', '--no-conf', '-o', 'aria'];
  await run(t, 'aria2c', ...split, '--quiet', `${site.url}/large.bin`);
  t.equal(sumOf(readFileSync(place('got/aria'))), sumOf(large));
  await until(() => site.answers(/large/).length >= 16);
  const answers = site.answers(/large/);
  t.ok(answers.filter(({ status }) => status === 206).length >= 15, `${answers.length} answers`);
});

for (const path of ['/small.txt', '/odd/']) {
  test(`ab at ${path}: no failure`, { skip: missing('ab') }, async (t) => {
    const { url } = await Site.start(t);
    for (const flags of [['-k'], []]) {
      const { stdout } = await run(t, 'ab', '-q', '-n', '1000', '-c', '32', ...flags, url + path);
      t.match(stdout, /Complete requests: +1000\nFailed requests: +0\n/);
      t.notMatch(stdout, 'Non-2xx');
    }
  });

  test(`wrk at ${path}: no failure`, { skip: missing('wrk') }, async (t) => {
    const { url } = await Site.start(t);
    const { stdout } = await run(t, 'wrk', '-t1', '-c64', '-d2', '--timeout', '30', url + path);
    t.match(stdout, /[1-9]\d* requests in/);
    t.notMatch(stdout, /Socket errors|Non-2xx/);
  });
}

/** Two seconds of a film, thirty times. Only those two must be encoded. */
async function makeFilm(t: Test): Promise<void> {
  const quiet = ['-loglevel', 'error', '-y'];
  const codec = ['-c:v', 'libvpx', '-deadline', 'realtime', '-cpu-used', '8', '-b:v', '3M', '-minrate', '3M'];
  const source = ['-f', 'lavfi', '-i', 'testsrc2=size=320x240:rate=25:duration=2'];
  await run(t, 'ffmpeg', ...quiet, ...source, ...codec, '-g', '25', place('two-seconds.webm'));
  const loop = ['-stream_loop', '29', '-i', place('two-seconds.webm'), '-c', 'copy'];
  await run(t, 'ffmpeg', ...quiet, ...loop, place('site/film.webm'));
}

/** What it does is told by the paths that it asks for: they are in the log. */
const PLAYER = `<!doctype html><title>film</title><video muted src="film.webm"></video><script>
const video = document.querySelector('video');
const tell = (what) => fetch('seen/' + what + '/' + Math.floor(video.currentTime));
const seek = (to) => new Promise((resolve) => { video.onseeked = resolve; video.currentTime = to; });
const pass = (time) => new Promise((resolve) => { video.ontimeupdate = () => { if (video.currentTime > time) resolve(); }; });
video.onerror = () => tell('error ' + video.error.message);
video.onloadedmetadata = async () => {
  await tell('film of ' + Math.round(video.duration));
  await seek(50);
  await tell('seeked');
  await video.play();
  await pass(50.2);
  video.pause();
  await tell('played');
  await seek(3);
  await tell('seeked back');
  await tell('end');
};
</script>`;

const noFilm = missing('chromium') || missing('ffmpeg');

test('Chromium plays a film, and seeks in it by ranges', { skip: noFilm, timeout: 240_000 }, async (t) => {
  await makeFilm(t);
  writeFileSync(place('site/player.html'), PLAYER);
  const site = await Site.start(t);
  const profile = mkdtempSync(join(tmpdir(), 'simplenet-chromium-'));
  // The debugging port keeps it open until it is killed.
  const flags = [...chromiumFlags(profile), '--remote-debugging-port=0'];
  const browser = new Program('chromium', [...flags, `${site.url}/player.html`]);
  const seen = () => site.answers(/^\/seen\//).map(({ path }) => decodeURIComponent(path.slice('/seen/'.length)));
  const isOver = () => seen().some((each) => /^(end|error)/.test(each));
  await until(isOver);
  browser.kill('SIGTERM');
  await browser.ends(); // when the last of its processes has closed its pipe
  rmSync(profile, { recursive: true, force: true });
  t.same(seen(), ['film of 60/0', 'seeked/50', 'played/50', 'seeked back/3', 'end/3']);
  const statuses = () => site.answers(/^\/film/).map(({ status }) => status);
  await until(() => statuses().filter((status) => status === 206).length >= 2);
  t.same(
    statuses().filter((status) => status !== 206 && status !== 304),
    [],
  );
});

/** Looks at the listing in a frame, follows each of its links, and writes what it has found into itself. */
const READER = `<!doctype html><title>reader</title><iframe src="odd/" width="800" height="800"></iframe><pre></pre><script>
const frame = document.querySelector('iframe');
frame.onload = async () => {
  const page = frame.contentDocument;
  const links = [...page.querySelectorAll('td a')];
  const found = {
    names: links.map((link) => link.textContent),
    contents: await Promise.all(links.map(async (link) => (link.pathname.endsWith('/') ? '' : (await fetch(link.href)).text()))),
    sizes: [...page.querySelectorAll('td:nth-child(2)')].map((cell) => cell.textContent),
    way: [...page.querySelectorAll('h1 a')].map((link) => link.pathname),
    title: page.title,
    elements: page.querySelectorAll('script, img, b').length,
    linkColor: getComputedStyle(links[0]).color,
    isWide: page.documentElement.scrollWidth > frame.clientWidth,
  };
  document.querySelector('pre').textContent = btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(found))));
};
</script>`;

test('Chromium reads a listing of odd names, light and dark', {
  skip: missing('chromium'),
  timeout: 240_000,
}, async (t) => {
  writeFileSync(place('site/reader.html'), READER);
  const { url } = await Site.start(t);
  for (const [isDark, linkColor] of [
    [false, 'rgb(11, 87, 208)'],
    [true, 'rgb(168, 199, 250)'],
  ] as const) {
    const profile = mkdtempSync(join(tmpdir(), 'simplenet-chromium-'));
    const flags = [...chromiumFlags(profile), `--blink-settings=preferredColorScheme=${isDark ? 0 : 1}`];
    const dumping = ['--dump-dom', '--virtual-time-budget=20000', `${url}/reader.html`];
    const { stdout } = await run(t, 'chromium', ...flags, ...dumping);
    rmSync(profile, { recursive: true, force: true });
    const [, encoded = ''] = /<pre>([\w+/=]+)<\/pre>/.exec(stdout) ?? [];
    const found = JSON.parse(Buffer.from(encoded, 'base64').toString()) as Record<string, unknown>;
    const order = new Intl.Collator('en', { numeric: true });
    const names = ODD_NAMES.toSorted(order.compare);
    t.match(found, {
      names: ['..', 'a <b>folder/', ...names],
      contents: ['', '', ...names],
      sizes: ['', '', ...names.map((name) => `${Buffer.byteLength(name)} B`)],
      way: ['/'],
      title: '/odd/',
      elements: 0,
      linkColor,
      isWide: false,
    });
  }
});

/** 10 GiB, of which the disk holds nothing. */
const HUGE_BYTES = Number(process.env.HUGE_BYTES ?? 10 * 1_024 ** 3);
const MAX_GROWTH_BYTES = 50_000_000;

test(`${HUGE_BYTES} bytes take no memory of the server`, { skip: missing('curl'), timeout: 300_000 }, async (t) => {
  writeFileSync(place('site/huge.iso'), '');
  truncateSync(place('site/huge.iso'), HUGE_BYTES);
  const site = await Site.start(t);
  const fetchHuge = (...args: string[]) =>
    run(t, 'curl', '-sS', '-o', '/dev/null', '-w', '%{http_code} %{size_download}', ...args, `${site.url}/huge.iso`);
  await fetchHuge('-r', '0-99999999'); // what the first answers leave in memory is not counted
  const before = site.residentBytes();
  const slow = new Program('curl', ['-sS', '-o', '/dev/null', '--limit-rate', '1M', `${site.url}/huge.iso`]);
  let most = 0;
  const looking = setInterval(() => {
    most = Math.max(most, site.residentBytes());
  }, 50);
  const startedAt = performance.now();
  const { stdout } = await fetchHuge();
  clearInterval(looking);
  slow.kill();
  await slow.ends();
  const seconds = (performance.now() - startedAt) / 1_000;
  t.comment(`${seconds.toFixed(1)} s, ${((most - before) / 1e6).toFixed(1)} MB more than ${(before / 1e6).toFixed(1)}`);
  t.equal(stdout, `200 ${HUGE_BYTES}`);
  t.ok(most - before < MAX_GROWTH_BYTES, `${most - before} bytes more`);
});
