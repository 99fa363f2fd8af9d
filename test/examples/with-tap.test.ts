/** with-tap.sh: a command finds an interface that is up, at which a program of ours is the other machine; afterwards nothing is left. */

import { join } from 'node:path';
import { test } from 'tap';
import { inNamespace, noTapNamespace } from '../support/network-namespace.ts';
import { buildFolder, type Outcome, Program } from '../support/programs.ts';

const skip = noTapNamespace();

const script = join(buildFolder, '../examples/with-tap.sh');

/** Runs shell commands in a namespace; `with_tap` in them is the script. */
function inShell(commands: string): Promise<Outcome> {
  const [command, ...options] = inNamespace;
  return new Program(command, [...options, 'sh', '-c', `with_tap() { '${script}' "$@"; }\n${commands}`]).ends();
}

test('a program opens the interface, and Linux asks it for its hardware address', { skip }, async (t) => {
  const source = `
    const { openTap } = await import('file://${buildFolder}/simplenet/tcpip/link/tap-link.js');
    const { frameText } = await import('file://${buildFolder}/simplenet/tcpip/frame-text.js');
    const { nodeHost } = await import('file://${buildFolder}/simplenet/loop/node-host.js');
    const { spawn } = await import('node:child_process');
    const link = openTap('tap0');
    const into = Buffer.alloc(2000);
    const watch = link.watch(nodeHost, () => {
      const length = link.receive(into);
      if (length === 0) return false;
      console.log(frameText(into, 0, length));
      process.exit(7);
    });
    spawn('ping', ['-c', '1', '-W', '5', '10.9.0.2'], { stdio: 'ignore' });`;
  const { stdout, stderr, code } = await inShell(
    `with_tap '${process.execPath}' --input-type=module -e "${source.replaceAll('"', '\\"')}"`,
  );
  t.equal(stdout, 'ARP, Request who-has 10.9.0.2 tell 10.9.0.1, length 28\n', stderr);
  t.equal(code, 7, 'the status of the command');
});

test('the interface goes when the command has ended, however it ends', { skip }, async (t) => {
  const { stdout } = await inShell(`
    with_tap ip -brief -4 addr show tap0
    TAP_NAME=cable TAP_ADDRESS=192.0.2.1/30 with_tap ip -brief -4 addr show cable
    with_tap false; echo "status $?"
    with_tap sh -c 'kill -TERM "$PPID"'; echo "status $?"
    ip -brief link show type tun`);
  t.same(
    stdout
      .replace(/ +/g, ' ')
      .trimEnd()
      .split('\n')
      .map((line) => line.trimEnd()),
    [
      'tap0 DOWN 10.9.0.1/24', // up, and nobody holds the other end of its cable
      'cable DOWN 192.0.2.1/30',
      'status 1',
      'status 143',
    ],
  );
});

test('without a command it says how to use it', async (t) => {
  const { code, stderr } = await new Program(script, []).ends();
  t.equal(code, 2);
  t.match(stderr, /^usage: .*with-tap\.sh COMMAND \[ARGUMENT\.\.\.\]\n$/);
});
