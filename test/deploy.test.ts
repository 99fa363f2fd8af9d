/** The files of deploy/, checked by the programs that read them. */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { type CommandOptions, parseOptions } from '../command/options.ts';
import { buildFolder, missing } from './support/programs.ts';

/** What the program of Python ends with if it cannot read YAML. */
const NO_YAML = 77;

const deploy = join(buildFolder, '../deploy');
/** The arguments of the command in the image. */
function dockerArguments(): readonly string[] {
  const text = readFileSync(join(deploy, 'Dockerfile'), 'utf8');
  return JSON.parse(/^CMD (\[.*\])$/m.exec(text)?.[1] ?? '[]') as string[];
}

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

test('the Kubernetes manifest: probes on the port of the metrics, room for the grace, nothing that a container should not have', async (t) => {
  const text = readFileSync(join(deploy, 'kubernetes.yaml'), 'utf8');
  t.notMatch(text, /\t/);
  const documents = text.split(/^---$/m);
  t.same(
    documents.map((document) => /^kind: (\w+)$/m.exec(document)?.[1]),
    ['Deployment', 'Service', 'PodDisruptionBudget'],
  );
  for (const [probe, path] of [
    ['livenessProbe', '/healthz'],
    ['readinessProbe', '/readyz'],
  ]) {
    t.match(text, new RegExp(`${probe}:\\s+httpGet: \\{ path: ${path}, port: metrics \\}`));
  }
  for (const rule of ['readOnlyRootFilesystem: true', 'allowPrivilegeEscalation: false', 'runAsNonRoot: true']) {
    t.match(text, rule);
  }
  const [, grace] = /terminationGracePeriodSeconds: (\d+)/.exec(text) ?? [];
  const args = JSON.parse(/^ +args: (\[.*\])$/m.exec(text)?.[1] ?? '[]') as string[];
  const { notice, ...options } = parseOptions(args) as CommandOptions;
  t.ok(notice > 0 && Number(grace) > notice + 10, 'the notice and the grace of the server fit');
  const ofImage = parseOptions(dockerArguments()) as CommandOptions;
  t.same({ ...options, notice: ofImage.notice }, ofImage, 'all else is as in the image');
});

test('Python reads the manifest as YAML', { skip: missing('python3') }, async (t) => {
  const program =
    'import sys\ntry:\n import yaml\nexcept ImportError:\n sys.exit(77)\nprint(len(list(yaml.safe_load_all(open(sys.argv[1])))))';
  const { status, stdout, stderr } = check('python3', ['-c', program, join(deploy, 'kubernetes.yaml')]);
  if (status === NO_YAML) t.pass('not checked: python3 has no yaml');
  else t.equal(stdout, '3\n', stderr);
});

test('the Dockerfile: not root, no shell, and arguments that the command understands', async (t) => {
  const text = readFileSync(join(deploy, 'Dockerfile'), 'utf8');
  t.match(text, /^USER nonroot$/m);
  t.match(text, /^FROM gcr\.io\/distroless\//m);
  t.match(text, /node_modules\/simplenet\/build\/command\/main\.js/);
  const manifest = JSON.parse(readFileSync(join(buildFolder, '../package.json'), 'utf8')) as {
    bin: { simplenet: string };
  };
  t.equal(manifest.bin.simplenet, 'build/command/main.js');
  t.match(parseOptions(dockerArguments()), {
    target: 'site.js',
    host: '0.0.0.0',
    port: '8080',
    metrics: { port: 9100 },
    log: 'json',
  });
});

test('systemd accepts the units, and waits for the end of the command before SIGKILL', {
  skip: missing('systemd-analyze'),
}, async (t) => {
  const files = ['simplenet.service', 'simplenet.socket'].map((name) => join(deploy, name));
  const { status, stdout, stderr } = check('systemd-analyze', ['verify', ...files]);
  t.equal(status, 0, `${stdout}${stderr}`);
  const text = readFileSync(join(deploy, 'simplenet.service'), 'utf8');
  const [, args = ''] = /^ExecStart=.*\/simplenet (.*)$/m.exec(text) ?? [];
  const [, more = ''] = / add: (.*?) \(/.exec(text) ?? [];
  const { notice } = parseOptions(`${args} ${more}`.split(' ')) as CommandOptions;
  t.ok(notice > 0 && Number(/^TimeoutStopSec=(\d+)$/m.exec(text)?.[1]) > notice + 10 + 5);
});
