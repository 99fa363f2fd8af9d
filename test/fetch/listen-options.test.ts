/** The options of the draft, and what they become. */

import { test } from 'tap';
import { bindingOf, type TlsOptions } from '../../fetch/listen-options.ts';
import { defaultLimits } from '../../http/index.ts';

const NONE = Number.POSITIVE_INFINITY;

test('the defaults: any port of every address, and no limit on how long something takes', async (t) => {
  t.same(bindingOf({}, {}), {
    http: {
      host: '0.0.0.0',
      port: 0,
      socket: {},
      limits: { bodyBytes: NONE },
      timeouts: { bodyMs: NONE, answerMs: NONE },
    },
    maxBodyBytes: defaultLimits.bodyBytes,
    tunnelIdleMs: NONE,
    receiveMs: null,
    waitUntilMs: 30_000,
  });
});

test('each option has its place', async (t) => {
  const binding = bindingOf(
    {
      port: 8080,
      hostname: '::',
      reusePort: true,
      ipv6Only: true,
      backlog: 5,
      quic: false,
      altSvc: 'clear',
      timeouts: { handshake: 1, idle: 2, headers: 3, receive: 4, send: 5, tunnelIdle: 6, waitUntil: 7 },
      limits: {
        maxHeaderSize: 1_000,
        maxRequestBodySize: 2_000,
        maxRequestsPerConnection: 3,
        maxConcurrentStreams: 4,
        maxConnections: 5,
      },
    },
    {},
  );
  t.same(binding, {
    http: {
      host: '::',
      port: 8080,
      socket: { reusePort: true, ipv6Only: true, backlog: 5 },
      limits: { bodyBytes: NONE, headBytes: 1_000, requestsPerConnection: 3, connections: 5 },
      timeouts: {
        bodyMs: NONE,
        answerMs: NONE,
        handshakeMs: 1,
        headerMs: 3,
        idleMs: 2,
        bodyGraceMs: NONE,
        writeMs: 5,
        writeMinBytesPerSecond: Number.MIN_VALUE,
      },
    },
    maxBodyBytes: 2_000,
    tunnelIdleMs: 6,
    receiveMs: 4,
    waitUntilMs: 7,
  });
  t.same(bindingOf({ hostname: '::' }, {}).http.socket, { ipv6Only: false }, 'the default takes IPv4 too');
  t.same(bindingOf({ ipv6Only: true }, {}).http.socket, {}, 'it says nothing about IPv4');
});

test('a port may be text', async (t) => {
  const portFor = (port: string) => bindingOf({ port }, {}).http.port;
  t.same([portFor('3000'), portFor('65535'), portFor('0'), portFor('')], [3_000, 65_535, 0, 0]);
});

test('0 switches a timeout or a limit off', async (t) => {
  const binding = bindingOf(
    { timeouts: { receive: 0, tunnelIdle: 0, idle: 0 }, limits: { maxRequestBodySize: 0 } },
    {},
  );
  t.same(
    [binding.receiveMs, binding.tunnelIdleMs, binding.http.timeouts?.idleMs, binding.maxBodyBytes],
    [NONE, NONE, NONE, NONE],
  );
});

test('those of a binding replace those of the server, each by itself', async (t) => {
  const ofServer = { timeouts: { idle: 1, headers: 2 }, limits: { maxConnections: 3, maxHeaderSize: 4 } };
  const { http } = bindingOf({ timeouts: { idle: 9 }, limits: { maxHeaderSize: 8 } }, ofServer);
  t.match(http.timeouts, { idleMs: 9, headerMs: 2 });
  t.match(http.limits, { connections: 3, headBytes: 8 });
  t.match(bindingOf({ timeouts: { idle: undefined } as never }, ofServer).http.timeouts, { headerMs: 2 });
});

test('certificates: of the binding or of the server, as text or bytes, and by name', async (t) => {
  const bytes = Buffer.from('xcert').subarray(1);
  const tlsFrom = (tls: object) => bindingOf({ tls: tls as TlsOptions }, {}).http.tls;
  t.same(tlsFrom({ cert: 'c', key: 'k', alpn: ['h2', 'http/1.1'], later: 1 }), {
    cert: 'c',
    key: 'k',
    serverNames: {},
  });
  t.same(tlsFrom({ cert: bytes, key: new Uint8Array([107]).buffer }), {
    cert: new Uint8Array(Buffer.from('cert')),
    key: new Uint8Array([107]),
    serverNames: {},
  });
  const sni = { '*.example': { cert: 'c2', key: 'k2', later: 1 } };
  t.same(tlsFrom({ cert: 'c', key: 'k', sni })?.serverNames, { '*.example': { cert: 'c2', key: 'k2' } });
  t.equal(bindingOf({}, { tls: { cert: 'server', key: 'k' } }).http.tls?.cert, 'server');
  t.equal(
    bindingOf({ tls: { cert: 'binding', key: 'k' } }, { tls: { cert: 'server', key: 'k' } }).http.tls?.cert,
    'binding',
  );
});

test('what this server cannot do yet', async (t) => {
  const tls = { cert: 'c', key: 'k' };
  t.throws(() => bindingOf({ tls: { ...tls, alpn: ['h2'] } }, {}), { name: 'NotSupportedError' });
  t.throws(() => bindingOf({ tls, quic: true }, {}), { name: 'NotSupportedError' });
  t.throws(() => bindingOf({ quic: true }, {}), TypeError, 'quic without tls is a mistake');
  t.throws(() => bindingOf({ quic: {} }, {}), TypeError);
});

test('values that are no amounts; unknown names are ignored', async (t) => {
  for (const port of [-1, 65_536, 1.5, Number.NaN, '65536', '-1', '1.5', '0x50', ' 80', '080808']) {
    t.throws(() => bindingOf({ port }, {}), RangeError, String(port));
  }
  t.throws(() => bindingOf({ timeouts: { idle: -1 } }, {}), /idle must be a whole number, not -1/);
  t.throws(() => bindingOf({ limits: { maxConnections: Number.POSITIVE_INFINITY } }, {}), RangeError);
  t.throws(() => bindingOf({ backlog: 1.5 }, {}), RangeError);
  t.doesNotThrow(() => bindingOf({ later: 1 } as never, {}));
});
