/** Several sockets of one server: from systemd, by their names or all that are free, and as descriptors. On both loops. */

import { existsSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { type Server, serve } from '../../http/index.ts';
import { Listening } from '../../http/listening.ts';
import { createEventLoop, NetSocket, UdpSocket } from '../../simplenet/index.ts';
import { EINVAL } from '../../simplenet/kernel/abi.ts';
import { libc } from '../../simplenet/kernel/libc.ts';
import { backends, missingBackend } from '../support/backends.ts';
import { openDescriptors } from '../support/open-descriptors.ts';
import { buildFolder } from '../support/programs.ts';
import { RawClient } from '../support/raw-client.ts';
import { startedBySystemd } from '../support/systemd.ts';
import { until } from '../support/waiting.ts';

function ask(url: string): Promise<string> {
  const where = url.startsWith('unix:') ? { socketPath: url.slice('unix:'.length) } : url;
  return new Promise((resolve, reject) => {
    const options = { agent: false, headers: { Connection: 'close' } };
    const answered = (response: NodeJS.ReadableStream) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve(text));
    };
    const asked = typeof where === 'string' ? get(where, options, answered) : get({ ...where, ...options }, answered);
    asked.on('error', reject);
  });
}

let places = 0;

/** Sockets that listen, as another process has opened them: on two addresses and a path. */
function threeSockets(t: Test): { sockets: NetSocket[]; path: string } {
  const path = join(tmpdir(), `simplenet-listening-${process.pid}-${places++}`);
  t.teardown(() => rmSync(path, { force: true }));
  const addresses = [{ address: '127.0.0.1', port: 0 }, { address: '::1', port: 0 }, { path }];
  const sockets = addresses.map((address) => NetSocket.listenOn(address));
  t.teardown(() => {
    for (const socket of sockets) socket.close();
  });
  return { sockets, path };
}

/** A server on descriptors of its own of these sockets. */
function serveOn(sockets: readonly NetSocket[], options = {}): Server {
  return serve((_request, response) => response.text('hello'), {
    fd: sockets.map((socket) => socket.release()),
    ...options,
  });
}

for (const backend of backends) {
  test(`one server on several sockets (${backend})`, { skip: missingBackend[backend] }, async (t) => {
    const before = openDescriptors();
    const { sockets, path } = threeSockets(t);
    const server = serveOn(sockets, { backend });
    t.match(server.urls, [/^http:\/\/127\.0\.0\.1:\d+$/, /^http:\/\/\[::1\]:\d+$/, `unix:${path}`]);
    t.same([server.url, server.port], [server.urls[0], Number(new URL(server.url).port)]);
    for (const url of server.urls) t.equal(await ask(url), 'hello');
    t.ok(server.isShared);
    server.isShared = false;
    t.notOk(server.isShared);
    await server.close();
    for (const url of server.urls) await t.rejects(ask(url), url);
    t.ok(existsSync(path), 'the file of a socket is of the process that has opened it');
    t.same(openDescriptors(), before);
  });
}

test('a server that loses one of its sockets ends', async (t) => {
  const { sockets } = threeSockets(t);
  const [first, second] = sockets as [NetSocket, NetSocket];
  const errors: unknown[] = [];
  const server = serveOn([first, second], { onError: (error: unknown) => errors.push(error) });
  libc.shutdown(server.listenerFds[1] as number, 0); // another process that has the socket, too
  await until(() => server.isStopping);
  await server.close();
  t.match(errors, [{ errno: -EINVAL, syscall: 'accept4' }]);
  await t.rejects(ask(server.url));
});

test('a stop with grace waits for the clients of all sockets', async (t) => {
  const { sockets } = threeSockets(t);
  const [first] = sockets as [NetSocket];
  const other = NetSocket.listenOn({ address: '127.0.0.1', port: 0 });
  const server = serveOn([first, other]);
  const ports = server.urls.map((url) => Number(new URL(url).port));
  const clients = ports.map((port) => new RawClient(port).write('GET / HTTP/1.1\r\n'));
  await until(() => server.busyCount === 2);
  const closed = server.close();
  for (const client of clients) {
    client.write('Host: a\r\n\r\n');
    await client.ended();
    t.match(client.text, /^HTTP\/1\.1 200 /);
  }
  await closed;
});

test('a socket that does not listen: serve throws, and the others are closed', async (t) => {
  const { sockets } = threeSockets(t);
  const [first] = sockets as [NetSocket];
  const datagrams = UdpSocket.bindTo({ address: '127.0.0.1', port: 0 });
  t.teardown(() => datagrams.close());
  const { localAddress } = first;
  t.throws(() => serve(() => {}, { fd: [first.release(), datagrams.fd] }), {
    message: /is a socket of type 2, not 1/,
  });
  await until(() => {
    try {
      NetSocket.connectTo(localAddress).close();
      return false;
    } catch {
      return true;
    }
  });
});

test('closeWhenEmpty calls back once, when the last socket is closed', async (t) => {
  const { sockets } = threeSockets(t);
  const loop = createEventLoop();
  t.teardown(() => loop.close());
  const fds = sockets.map((socket) => socket.release());
  const setup = { socket: undefined, createPolicy: undefined };
  const listening = new Listening(loop, { fds }, () => ({ onData: () => {} }), setup);
  const closed: (readonly number[])[] = [];
  listening.closeWhenEmpty(0, () => closed.push(listening.fds));
  await until(() => closed.length > 0);
  t.same(closed, [[-1, -1, -1]]);
});

test('the sockets of systemd are for one process', async (t) => {
  process.env.LISTEN_PID = '1';
  t.teardown(() => delete process.env.LISTEN_PID);
  t.throws(() => serve(() => {}, { systemdSocket: 'admin' }), {
    name: 'RangeError',
    message: /^the sockets of systemd are for process 1, so this one cannot take 'admin'/,
  });
});

test('serve of a program that systemd has started: sockets by their names, and all that are free', async (t) => {
  const { sockets, path } = threeSockets(t);
  const program = startedBySystemd(
    sockets,
    'http:http:admin',
    [
      '--input-type=module',
      '-e',
      `const { passedSockets, serve } = await import('file://${buildFolder}/http/index.js');
      const says = (text) => (_request, response) => response.text(text);
      const refused = [];
      const refuse = (options) => {
        try { serve(says('no'), options); } catch (error) { refused.push(error.message); }
      };
      refuse({ systemdSocket: 'htp' });
      const admin = serve(says('admin'), { systemdSocket: 'admin' });
      refuse({ systemdSocket: 'admin' });
      const here = serve(says('here'), { port: 0 });
      const site = serve(says('site'));
      refuse({ systemdSocket: 'http' });
      const late = serve(says('late'));
      const all = [admin, here, site, late];
      console.log(JSON.stringify([refused, passedSockets().length, ...all.map(({ urls }) => urls)]));
      process.stdin.once('end', () => all.map((server) => server.close())).resume();`,
    ],
    { isCounted: true },
  );
  const [printed] = await program.prints(/.+(?=\n)/);
  const [refused, count, admin, here, site, late] = JSON.parse(printed);
  t.same(refused, [
    "systemd has passed no socket 'htp' that is free: did you mean 'http'?",
    "systemd has passed no socket 'admin' that is free: use one of http",
    "systemd has passed no socket 'http' that is free, and no other one",
  ]);
  t.equal(count, 3);
  t.same(admin, [`unix:${path}`]);
  const passed = sockets.map(({ localAddress }) => ('port' in localAddress ? localAddress.port : 0));
  t.same(site, [`http://127.0.0.1:${passed[0]}`, `http://[::1]:${passed[1]}`]);
  for (const [urls, text] of [
    [admin, 'admin'],
    [here, 'here'],
    [site, 'site'],
    [late, 'late'],
  ]) {
    for (const url of urls) t.equal(await ask(url), text);
  }
  program.child.stdin?.end();
  t.equal((await program.ends()).code, 0);
  NetSocket.connectTo({ path }).close(); // systemd still listens
});
