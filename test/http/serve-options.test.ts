/** What `serve` can be told, and what it says about a mistake. */

import { test } from 'tap';
import {
  checkCloseOptions,
  checkServeOptions,
  listenPlaceOf,
  MAX_SOCKETS,
  type ServeOptions,
} from '../../http/serve-options.ts';
import type { EventLoop } from '../../simplenet/index.ts';

/** As a program without types gives them. */
const check = (options: unknown) => () => checkServeOptions(options as ServeOptions);
const placeOf = (options: unknown) => {
  checkServeOptions(options as ServeOptions);
  return listenPlaceOf(options as ServeOptions);
};

test('an unknown name is an error that names the nearest option', async (t) => {
  const cases: [string, string][] = [
    ['prot', "did you mean 'port'?"],
    ['Host', "did you mean 'host'?"],
    ['hostName', "did you mean 'hostname'?"],
    ['timeout', "did you mean 'timeouts'?"],
    ['bodyBytes', 'it belongs into limits: { limits: { bodyBytes: ... } }'],
    ['idleMs', 'it belongs into timeouts: { timeouts: { idleMs: ... } }'],
    ['reusePort', 'it belongs into socket: { socket: { reusePort: ... } }'],
  ];
  for (const [name, advice] of cases) {
    t.throws(check({ [name]: 1 }), new RangeError(`unknown option '${name}' of serve: ${advice}`));
    t.throws(check({ [name]: undefined }), RangeError, 'even if it has no value');
  }
  t.throws(check({ compression: true }), {
    message: /: use one of host, hostname, port, path, fd, systemdSocket, tls, redirectFrom, limits, /,
  });
  t.throws(check({ toString: 1 }), RangeError);
  t.throws(
    check({ socket: { noDelays: true } }),
    new RangeError("unknown socket option 'noDelays': did you mean 'noDelay'?"),
  );
});

test('all names, with undefined for each, are as nothing', async (t) => {
  const names = [
    'host',
    'hostname',
    'port',
    'path',
    'fd',
    'systemdSocket',
    'tls',
    'redirectFrom',
    'limits',
    'timeouts',
    'onError',
    'signal',
    'backend',
    'loop',
    'socket',
  ];
  const place = placeOf(Object.fromEntries(names.map((name) => [name, undefined])));
  t.same(place, { address: '127.0.0.1', port: 0 });
  t.same(placeOf({}), { address: '127.0.0.1', port: 0 });
});

test('tls: its names, those of its certificates, and what it needs', async (t) => {
  const tls = { cert: 'c', key: 'k' };
  t.doesNotThrow(check({ tls }));
  t.doesNotThrow(check({ tls: { ...tls, passphrase: 'p', serverNames: { 'a.example': tls } }, redirectFrom: 80 }));
  t.throws(
    check({ cert: 'c' }),
    new RangeError("unknown option 'cert' of serve: it belongs into tls: { tls: { cert: ... } }"),
  );
  t.throws(
    check({ tls: { ...tls, chiper: 'x' } }),
    new RangeError("unknown option 'chiper' of tls: did you mean 'ciphers'?"),
  );
  t.throws(check({ tls: { cert: 'c' } }), new RangeError('tls needs key: the text or the bytes of a PEM file'));
  t.throws(check({ tls: { key: 'k' } }), new RangeError('tls needs cert: the text or the bytes of a PEM file'));
  t.throws(check({ tls: true }), new TypeError('tls must be an object, not true'));
  const named = (certificate: unknown) => check({ tls: { ...tls, serverNames: { 'a.example': certificate } } });
  t.throws(named({ ...tls, ciphers: 'x' }), /^unknown option 'ciphers' of tls\.serverNames\['a\.example'\]: /);
  t.throws(
    named({ cert: 'c' }),
    new RangeError("tls.serverNames['a.example'] needs key: the text or the bytes of a PEM file"),
  );
  t.throws(named('pem'), new TypeError("tls.serverNames['a.example'] must be an object, not 'pem'"));
  t.throws(
    check({ tls: { ...tls, serverNames: [] } }),
    new TypeError('tls.serverNames must be an object, not an array'),
  );
});

test('redirectFrom: a port beside HTTPS on an address', async (t) => {
  const tls = { cert: 'c', key: 'k' };
  t.throws(check({ redirectFrom: 80 }), new RangeError('redirectFrom is for a server of HTTPS, so it needs tls'));
  t.throws(check({ tls, redirectFrom: 65_536 }), new RangeError('a port is an integer from 0 to 65535, not 65536'));
  t.doesNotThrow(check({ tls, redirectFrom: '' }), 'an empty text is as if absent');
  const message =
    'redirectFrom is a port on the host of the server, so it needs host and port, not path, fd or systemdSocket';
  for (const place of [{ path: '/run/site' }, { fd: 3 }, { systemdSocket: 'https' }])
    t.throws(check({ tls, redirectFrom: 80, ...place }), new RangeError(message));
});

test('values of a type that an option does not have', async (t) => {
  const cases: [object, string][] = [
    [{ host: 5 }, 'host must be a string, not 5'],
    [{ hostname: null }, 'hostname must be a string, not null'],
    [{ path: ['a'] }, 'path must be a string, not an array'],
    [{ backend: true }, 'backend must be a string, not true'],
    [{ loop: {} }, 'loop must be an event loop, not an object'],
    [{ loop: null }, 'loop must be an event loop, not null'],
    [{ fd: '3' }, "fd must be a number, not '3'"],
    [{ limits: 5 }, 'limits must be an object, not 5'],
    [{ limits: null }, 'limits must be an object, not null'],
    [{ timeouts: [] }, 'timeouts must be an object, not an array'],
    [{ socket: 'noDelay' }, "socket must be an object, not 'noDelay'"],
    [{ onError: {} }, 'onError must be a function, not an object'],
    [{ signal: {} }, 'signal must be an AbortSignal, not an object'],
    [{ signal: null }, 'signal must be an AbortSignal, not null'],
    [{ signal: { aborted: false } }, 'signal must be an AbortSignal, not an object'],
  ];
  for (const [options, message] of cases) t.throws(check(options), new TypeError(message), message);
  for (const fd of [-1, 1.5, Number.NaN])
    for (const given of [fd, [3, fd]]) {
      t.throws(check({ fd: given }), new RangeError(`fd must be an integer >= 0, not ${fd}`));
    }
  const many = (count: number) => Array.from({ length: count }, (_, i) => i);
  t.doesNotThrow(check({ fd: many(MAX_SOCKETS) }));
  for (const fd of [[], [3, 3], many(MAX_SOCKETS + 1)]) {
    t.throws(check({ fd }), new RangeError('fd must be one descriptor, or 1 to 252 different ones'));
  }
  t.throws(check({ fd: [3, '4'] }), new TypeError("fd must be a number, not '4'"));
  t.throws(check({ systemdSocket: 3 }), new TypeError('systemdSocket must be a string, not 3'));
  const both = { loop: { listen: () => {} } as unknown as EventLoop, backend: 'epoll' };
  t.throws(check(both), new RangeError('backend chooses a loop for the server alone, so it makes no sense with loop'));
  const port = 'serve(handler, 8080)';
  t.throws(check(8080), new TypeError('the options of serve must be an object such as { port: 8080 }, not 8080'), port);
  t.throws(check(null), TypeError);
  const right = { fd: 0, limits: {}, timeouts: {}, socket: { backlog: 1 }, onError: () => {}, backend: 'epoll' };
  t.doesNotThrow(check({ ...right, signal: new AbortController().signal }));
});

test('a port is a number, or its digits', async (t) => {
  const cases: [unknown, number][] = [
    [undefined, 0],
    ['', 0],
    [0, 0],
    ['0', 0],
    [3000, 3000],
    ['3000', 3000],
    [65_535, 65_535],
    ['65535', 65_535],
  ];
  for (const [given, port] of cases) t.same(placeOf({ port: given }), { address: '127.0.0.1', port }, String(given));
  for (const wrong of [-1, 65_536, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.throws(check({ port: wrong }), new RangeError(`a port is an integer from 0 to 65535, not ${wrong}`));
  }
  for (const wrong of [' 80', '80 ', '+80', '-1', '0x50', '8e1', '1.5', '65536', '000080', '80/tcp', 'http', ' ']) {
    t.throws(check({ port: wrong }), new RangeError(`a port is an integer from 0 to 65535, not '${wrong}'`));
  }
  const types: [unknown, string][] = [
    [true, 'true'],
    [null, 'null'],
    [80n, '80'],
    [[80], 'an array'],
    [{}, 'an object'],
    [() => 80, 'a function'],
  ];
  for (const [wrong, text] of types) {
    t.throws(check({ port: wrong }), new TypeError(`port must be a number, or its digits as text, not ${text}`));
  }
});

test('a host is an address, with or without brackets, or localhost; hostname is the same option', async (t) => {
  const cases: [object, string][] = [
    [{ host: '0.0.0.0' }, '0.0.0.0'],
    [{ hostname: '0.0.0.0' }, '0.0.0.0'],
    [{ host: '', hostname: '::1' }, '::1'],
    [{ host: '::1', hostname: '' }, '::1'],
    [{ host: '::1', hostname: '::1' }, '::1'],
    [{ host: '[::1]' }, '::1'],
    [{ host: '[::]' }, '::'],
    [{ host: '[fe80::1%2]' }, 'fe80::1%2'],
    [{ host: 'localhost' }, '127.0.0.1'],
    [{ hostname: 'LocalHost' }, '127.0.0.1'],
    [{ host: '' }, '127.0.0.1'],
    [{ host: '[127.0.0.1]' }, '[127.0.0.1]'], // the socket refuses it: brackets are for IPv6
  ];
  for (const [options, address] of cases) t.same(placeOf(options), { address, port: 0 }, JSON.stringify(options));
  t.throws(
    () => placeOf({ host: '::1', hostname: '::' }),
    new RangeError("host and hostname are one option, but they are '::1' and '::'"),
  );
});

test('a path, a descriptor, or an address: one of them', async (t) => {
  t.same(placeOf({ path: '/run/a' }), { path: '/run/a' });
  t.same(placeOf({ path: '/run/a', host: '', port: '' }), { path: '/run/a' });
  t.same(placeOf({ path: '' }), { path: '' }, 'an empty path is not as if absent: the socket refuses it');
  t.same(placeOf({ fd: 0 }), { fds: [0] });
  t.same(placeOf({ fd: [3, 4] }), { fds: [3, 4] });
  const several = [
    { path: 'a', port: 1 },
    { path: 'a', host: '::' },
    { fd: 3, port: 0 },
    { fd: 3, path: 'a' },
    { fd: 3, systemdSocket: 'a' },
    { systemdSocket: 'a', path: 'a' },
    { systemdSocket: 'a', port: 0 },
    { fd: 3, hostname: '::' },
  ];
  for (const options of several) {
    t.throws(
      () => placeOf(options),
      new RangeError('only one of fd, path, systemdSocket, or host and port says where to listen'),
    );
  }
});

test('options of close: names and values', async (t) => {
  for (const options of [
    {},
    { noticeMs: 5, graceMs: 0, idleGraceMs: undefined },
    { graceMs: Number.POSITIVE_INFINITY },
  ]) {
    t.doesNotThrow(() => checkCloseOptions(options));
  }
  t.throws(
    () => checkCloseOptions({ grace: 5 }),
    new RangeError("unknown option 'grace' of close: did you mean 'graceMs'?"),
  );
  for (const value of [Number.NaN, -1, '5', null]) {
    for (const name of ['noticeMs', 'graceMs']) t.throws(() => checkCloseOptions({ [name]: value }), RangeError);
  }
  for (const options of [5_000, null]) t.throws(() => checkCloseOptions(options as unknown as object), TypeError);
});

test('sockets of systemd: by their name, or all where no place is given', async (t) => {
  const tls = { cert: 'c', key: 'k' };
  const passed = [
    { name: 'http', fd: 3, isTaken: false },
    { name: 'admin', fd: 4, isTaken: false },
    { name: 'http', fd: 5, isTaken: false },
  ];
  t.same(listenPlaceOf({ systemdSocket: 'http' }, passed), { fds: [3, 5] });
  t.same(listenPlaceOf({}, passed), { fds: [3, 4, 5] });
  t.same(listenPlaceOf({ port: '' }, passed), { fds: [3, 4, 5] });
  t.same(listenPlaceOf({ port: 0 }, passed), { address: '127.0.0.1', port: 0 }, 'a port is a place');
  t.same(listenPlaceOf({ path: 'a' }, passed), { path: 'a' });
  t.same(listenPlaceOf({ fd: 7 }, passed), { fds: [7] });
  t.throws(() => listenPlaceOf({ systemdSocket: 'htpp' }, passed), {
    name: 'RangeError',
    message: "systemd has passed no socket 'htpp' that is free: did you mean 'http'?",
  });
  t.throws(() => listenPlaceOf({ systemdSocket: 'http' }), {
    message: "systemd has passed no socket 'http' that is free, and no other one",
  });
  t.throws(() => listenPlaceOf({ tls, redirectFrom: 80 }, passed), { message: /redirectFrom is a port on the host/ });
});
