/** SystemError, beside the errors of node:net whose shape it has. */

import { createServer, type Server, Socket } from 'node:net';
import { constants } from 'node:os';
import t from 'tap';
import type { InternetAddress } from '../../../simplenet/kernel/socket-address.ts';
import { check, SystemError } from '../../../simplenet/kernel/system-error.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';

function errorOf(action: () => unknown): NodeJS.ErrnoException & { address?: string; port?: number } {
  try {
    action();
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
  throw new Error('it did not throw');
}

/** What a program may look at, without the name of the call and the words for people. */
function shape(error: object): object {
  const { syscall, message, stack, name, ...rest } = error as NodeJS.ErrnoException;
  return rest;
}

function listening(address: InternetAddress): Promise<[Server, InternetAddress]> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(address.port, address.address, () =>
      resolve([server, server.address() as unknown as InternetAddress]),
    );
  });
}

t.test('it looks like the error of node:net for a port in use', async (t) => {
  const [server, { port }] = await listening({ address: '127.0.0.1', port: 0 });
  const place = { address: '127.0.0.1', port };
  const theirs = await listening(place).catch((error: object) => error);
  const ours = errorOf(() => NetSocket.listenOn(place));
  t.same(shape(ours), shape(theirs));
  t.same(shape(ours), { code: 'EADDRINUSE', errno: -98, ...place });
  t.same(Object.keys(ours).sort(), Object.keys(theirs).concat('name').sort(), 'no field more, and none undefined');
  t.ok(ours instanceof Error);
  t.ok(ours instanceof SystemError);
  t.equal(ours.syscall, 'bind', 'the call that failed, where Node says listen');
  server.close();
});

t.test('it looks like the error of node:net for a refused connection', async (t) => {
  const [server, { port }] = await listening({ address: '127.0.0.1', port: 0 });
  await new Promise((resolve) => server.close(resolve));
  const place = { address: '127.0.0.1', port };
  const theirs = await new Promise<NodeJS.ErrnoException>((resolve) => {
    new Socket().once('error', resolve).connect(port, place.address);
  });
  const ours = errorOf(() => NetSocket.connectTo(place));
  t.same(shape(ours), shape(theirs));
  t.equal(ours.syscall, theirs.syscall);
});

t.test('messages say what, where, and what to do about it', async (t) => {
  for (const [error, message] of [
    [new SystemError('recv', -104), 'recv ECONNRESET: connection reset by peer'],
    [
      new SystemError('bind', -98, { address: '127.0.0.1', port: 80 }),
      'bind EADDRINUSE: address already in use 127.0.0.1:80 ' +
        '(another socket has that address; stop its owner or choose another port)',
    ],
    [
      new SystemError('bind', -99, { address: '2001:db8::1', port: 80 }),
      'bind EADDRNOTAVAIL: address not available [2001:db8::1]:80 ' +
        '(no network interface of this machine has that address)',
    ],
    [
      new SystemError('bind', -98, { path: '/run/a.sock' }),
      'bind EADDRINUSE: address already in use /run/a.sock ' +
        '(the path exists: stop the server that listens there, or remove the file if it is not in use)',
    ],
    [
      new SystemError('bind', -98, { path: '\0name' }),
      'bind EADDRINUSE: address already in use @name (another socket has that name)',
    ],
    [new SystemError('connect', -2, { path: '/run/a.sock' }), 'connect ENOENT: no such file or directory /run/a.sock'],
    [new SystemError('sendto', -22, { path: '' }), 'sendto EINVAL: invalid argument (unnamed)'],
    [new SystemError('connect', -111, { path: '\0name' }), 'connect ECONNREFUSED: connection refused @name'],
    [
      new SystemError('socket', -24),
      'socket EMFILE: too many open files (this process may open no more files; see ulimit -n)',
    ],
    [
      new SystemError('accept4', -23),
      'accept4 ENFILE: file table overflow (the whole system may open no more files; see sysctl fs.file-max)',
    ],
    [
      new SystemError('bind', -13, { address: '::', port: 1023 }),
      'bind EACCES: permission denied [::]:1023 (ports below 1024 need root or CAP_NET_BIND_SERVICE)',
    ],
    [new SystemError('bind', -13, { address: '::', port: 1024 }), 'bind EACCES: permission denied [::]:1024'],
    [new SystemError('bind', -13, { path: '/root/a' }), 'bind EACCES: permission denied /root/a'],
    [new SystemError('connect', -13, { address: '::', port: 80 }), 'connect EACCES: permission denied [::]:80'],
  ] as const) {
    t.equal(error.message, message);
  }
});

t.test('the fields', async (t) => {
  const internet = new SystemError('bind', -98, { address: '::1', port: 8080 });
  t.match(internet, {
    name: 'SystemError',
    code: 'EADDRINUSE',
    errno: -98,
    syscall: 'bind',
    address: '::1',
    port: 8080,
  });
  t.equal('path' in internet, false, 'no path, not even an undefined one');
  const unix = new SystemError('bind', -98, { path: '/a' });
  t.equal(unix.path, '/a');
  t.equal('port' in unix, false);
  t.equal('address' in unix, false);
  const nowhere = new SystemError('close', -9);
  t.same(Object.keys(nowhere).sort(), ['code', 'errno', 'name', 'syscall']);
  t.match(String(internet), /^SystemError: bind EADDRINUSE/);
});

t.test('every errno of Linux has its name', async (t) => {
  // Two names for one number: either will do.
  const names = new Map<number, string[]>();
  for (const [name, errno] of Object.entries(constants.errno)) names.set(errno, [...(names.get(errno) ?? []), name]);
  for (const [errno, choices] of names) {
    const { code } = new SystemError('any', -errno);
    t.ok(choices.includes(code), `${errno}: ${code}, ${choices.join(' or ')}`);
  }
});

t.test('an unknown errno', async (t) => {
  t.match(new SystemError('any', -9999), { code: 'E9999', errno: -9999, message: /^any E9999: / });
});

t.test('check', async (t) => {
  t.equal(check('any', 0), 0);
  t.equal(check('any', 7), 7);
  t.throws(() => check('recv', -104), { name: 'SystemError', code: 'ECONNRESET', errno: -104, syscall: 'recv' });
  t.throws(() => check('bind', -98, { address: '::', port: 5 }), { name: 'SystemError', address: '::', port: 5 });
});
