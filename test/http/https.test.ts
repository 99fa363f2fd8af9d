/**
 * HTTPS as a whole, with Node's own client of TLS: which certificate a client gets, what a request knows about its connection, what
 * clients of plain HTTP get, and what handshakes cost the server that never end.
 */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { Agent, type RequestOptions, request } from 'node:https';
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { type Test, test } from 'tap';
import { httpsRedirect } from '../../http/https-redirect.ts';
import { inject, type ServeOptions, type Server, serve } from '../../http/index.ts';
import type { ChooseCertificate, TlsOptions } from '../../simplenet/index.ts';
import { curl } from '../simplenet/layers/recorded-hellos.ts';
import { certificateFor, clientCertificate } from '../support/certificates.ts';
import { RawClient } from '../support/raw-client.ts';
import { until } from '../support/waiting.ts';

const tls = certificateFor('localhost', '127.0.0.1');
const BACKEND = process.env.SIMPLENET_BACKEND === 'io_uring' ? 'io_uring' : 'epoll';

/** Says what each request knows of its connection. */
function serveAnswers(t: Test, options: ServeOptions): Server {
  const server = serve(
    (request, response) => {
      const { url, scheme } = request;
      const { peerCertificate, ...others } = request.tls ?? { peerCertificate: null };
      response.json({ url, scheme, peer: peerCertificate?.fingerprint256 ?? null, ...others });
    },
    { backend: BACKEND, ...options },
  );
  t.teardown(() => server.close({ graceMs: 0 }));
  return server;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly location: string | undefined;
}

/** Asks with a connection of its own, which trusts `tls` unless told otherwise. */
async function get(
  server: Server,
  options: RequestOptions & { readonly ALPNProtocols?: string[] } = {},
): Promise<Answer> {
  const agent = new Agent({ maxCachedSessions: 0 });
  const asked = request({ port: server.port, host: '127.0.0.1', ca: tls.cert, agent, ...options }).end();
  const [response] = await once(asked, 'response');
  let body = '';
  for await (const piece of response.setEncoding('utf8')) body += piece;
  return { status: response.statusCode, body, location: response.headers.location };
}

/** The fingerprint of the certificate that a client gets. */
async function certificateOf(server: Server, options: ConnectionOptions = {}): Promise<string> {
  const socket = tlsConnect({ port: server.port as number, host: '127.0.0.1', rejectUnauthorized: false, ...options });
  await once(socket, 'secureConnect');
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

const fingerprintOf = ({ cert }: { readonly cert: string }) => new X509Certificate(cert).fingerprint256;

test('a request says how its connection is secured', async (t) => {
  const server = serveAnswers(t, { tls });
  t.match(server.url, /^https:\/\/127\.0\.0\.1:\d+$/);
  const { status, body } = await get(server, { path: '/a?b', servername: 'localhost', ALPNProtocols: ['http/1.1'] });
  t.equal(status, 200);
  t.same(JSON.parse(body), {
    url: `${server.url}/a?b`,
    scheme: 'https',
    peer: null,
    version: 'TLSv1.3',
    cipher: 'TLS_AES_256_GCM_SHA384',
    serverName: 'localhost',
    alpn: 'http/1.1',
    isResumed: false,
  });
  const old = JSON.parse((await get(server, { maxVersion: 'TLSv1.2' })).body);
  t.match(old, { version: 'TLSv1.2', serverName: null, scheme: 'https' });
  const absolute = await get(server, {
    path: 'http://other.example/a',
    servername: 'localhost',
    headers: { Host: 'other.example' },
  });
  t.equal(JSON.parse(absolute.body).url, 'https://other.example/a', 'the connection says the scheme');
});

test('without TLS a request has none', async (t) => {
  const server = serveAnswers(t, {});
  const client = new RawClient(server.port as number).write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  await until(() => client.isOver);
  t.match(client.text, '{"url":"http://x/","scheme":"http","peer":null}');
});

test('a session is resumed', async (t) => {
  const server = serveAnswers(t, { tls });
  const agent = new Agent({ maxCachedSessions: 10, keepAlive: false });
  const versions = [{}, { maxVersion: 'TLSv1.2' }] as const;
  for (const version of versions) {
    const answers = [];
    for (let i = 0; i < 2; i++)
      answers.push(JSON.parse((await get(server, { agent, servername: 'localhost', ...version })).body));
    t.same(
      answers.map(({ isResumed }) => isResumed),
      [false, true],
      JSON.stringify(version),
    );
  }
});

test('the name that a client asks for chooses the certificate', async (t) => {
  const exact = certificateFor('a.example');
  const pattern = certificateFor('*.example');
  const server = serveAnswers(t, { tls: { ...tls, serverNames: { 'a.example': exact, '*.example': pattern } } });
  t.equal(await certificateOf(server, { servername: 'a.example' }), fingerprintOf(exact));
  t.equal(await certificateOf(server, { servername: 'A.EXAMPLE' }), fingerprintOf(exact));
  t.equal(await certificateOf(server, { servername: 'b.example' }), fingerprintOf(pattern));
  t.equal(await certificateOf(server, { servername: 'a.b.example' }), fingerprintOf(tls));
  t.equal(await certificateOf(server), fingerprintOf(tls));
});

test('a function chooses the certificate; what it throws is reported, and ends the handshake', async (t) => {
  const chosen = certificateFor('a.example');
  const reported: unknown[] = [];
  const broken = new Error('the database is down');
  const answers: Readonly<Record<string, () => unknown>> = {
    'a.example': () => chosen,
    'late.example': () => new Promise((resolve) => setImmediate(resolve, chosen)),
    'throws.example': () => {
      throw broken;
    },
    'rejects.example': () => Promise.reject(broken),
    'wrong.example': () => ({ cert: chosen.cert, key: tls.key }),
  };
  const serverNames = ((name: string) => answers[name]?.()) as ChooseCertificate;
  const server = serveAnswers(t, { tls: { ...tls, serverNames }, onError: (error) => void reported.push(error) });
  t.equal(await certificateOf(server, { servername: 'a.example' }), fingerprintOf(chosen));
  t.equal(await certificateOf(server, { servername: 'late.example' }), fingerprintOf(chosen));
  t.equal(await certificateOf(server, { servername: 'other.example' }), fingerprintOf(tls));
  t.equal(await certificateOf(server), fingerprintOf(tls));
  for (const servername of ['throws.example', 'rejects.example', 'wrong.example'])
    await t.rejects(certificateOf(server, { servername }), /alert internal error/);
  t.same(reported.slice(0, 2), [broken, broken]);
  t.match(reported[2], { message: /^what tls.serverNames has returned.key: the key does not belong/ });
});

test('a promise of a certificate that comes too late, or when the client has gone', async (t) => {
  const resolvers: ((value: null) => void)[] = [];
  const serverNames = () => new Promise<null>((resolve) => resolvers.push(resolve));
  const server = serveAnswers(t, { tls: { ...tls, serverNames }, timeouts: { handshakeMs: 50 } });
  const hello = Buffer.from(curl, 'base64');
  const late = new RawClient(server.port as number).write(hello);
  await until(() => late.isOver);
  const gone = new RawClient(server.port as number).write(hello);
  await until(() => resolvers.length === 2);
  gone.reset();
  await until(() => server.connectionCount === 0);
  for (const resolve of resolvers) resolve(null);
  const patient = certificateOf(server, { servername: 'a.example' });
  await until(() => resolvers.length === 3);
  resolvers[2]?.(null);
  t.equal(await patient, fingerprintOf(tls));
});

test('clients with a certificate', async (t) => {
  const client = clientCertificate('client.example');
  const options: TlsOptions = { ...tls, ca: client.cert, requestClientCertificate: true };
  const server = serveAnswers(t, { tls: options });
  t.match(JSON.parse((await get(server, client)).body), { peer: fingerprintOf(client) });
  t.match(JSON.parse((await get(server)).body), { peer: null }, 'it may have none');
  await t.rejects(get(server, clientCertificate('other.example')), 'one that nobody vouches for');
  server.setTls({ ...options, requestClientCertificate: 'require' });
  await t.rejects(get(server));
  t.match(JSON.parse((await get(server, client)).body), { peer: fingerprintOf(client) });
});

test('setTls: new connections get the new certificate, and open ones go on', async (t) => {
  const server = serveAnswers(t, { tls });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.teardown(() => agent.destroy());
  const before = await get(server, { agent });
  const renewed = certificateFor('localhost', '127.0.0.1');
  server.setTls(renewed);
  t.equal((await get(server, { agent })).body, before.body, 'the same connection');
  t.equal(await certificateOf(server), fingerprintOf(renewed));
  t.throws(() => server.setTls({ cert: tls.cert, key: renewed.key }), {
    message: /the key does not belong to the certificate/,
  });
  t.throws(
    () => server.setTls({ cert: tls.cert } as TlsOptions),
    new RangeError('tls needs key: the text or the bytes of a PEM file'),
  );
  t.equal(await certificateOf(server), fingerprintOf(renewed), 'what cannot be used changes nothing');
  t.throws(
    () => serveAnswers(t, {}).setTls(tls),
    new Error('this server has no TLS: it would need tls from its beginning'),
  );
});

test('a certificate that cannot be used: serve throws, and listens to nothing', async (t) => {
  const other = certificateFor('other.example');
  t.throws(() => serve(() => {}, { tls: { cert: tls.cert, key: other.key } }), {
    name: 'RangeError',
    message: /^tls\.key: the key does not belong to the certificate/,
  });
  t.throws(() => serve(() => {}, { tls: { cert: 'x', key: 'y' } }), RangeError);
  const encrypted = createPrivateKey(tls.key).export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: 'secret',
  });
  t.throws(() => serve(() => {}, { tls: { cert: tls.cert, key: encrypted as string } }), RangeError);
  const server = serveAnswers(t, { tls: { cert: tls.cert, key: encrypted as string, passphrase: 'secret' } });
  t.equal(await certificateOf(server), fingerprintOf(tls));
});

test('plain HTTP at the port of HTTPS is 400 in plain text, and what is no HTTP gets nothing', async (t) => {
  const server = serveAnswers(t, { tls });
  const plain = new RawClient(server.port as number).write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(() => plain.isOver);
  t.match(plain.text, /^HTTP\/1\.1 400 Bad Request\r\nDate: [^\r]+GMT\r\n/);
  t.match(plain.text, /\r\nConnection: close\r\n\r\nthis port speaks HTTPS: the URL must begin with https:\/\/\n$/);
  for (const bytes of ['\0\0\0\0', '\x80\x2e\x01', '{"method"', '\x15\x03\x01\x00\x02\x02\x28']) {
    const client = new RawClient(server.port as number).write(Buffer.from(bytes, 'latin1'));
    await until(() => client.isOver);
    t.equal(client.receivedBytes, 0, JSON.stringify(bytes));
  }
  t.equal((await get(server)).status, 200);
});

test('redirectFrom sends clients of plain HTTP to https', async (t) => {
  const server = serveAnswers(t, { tls, redirectFrom: 0, limits: { headBytes: 1_000 } });
  const { port: plainPort } = new URL(server.redirectUrl as string);
  const ask = async (head: string) => {
    const client = new RawClient(Number(plainPort)).write(`${head}\r\nConnection: close\r\n\r\n`);
    await until(() => client.isOver);
    return [client.text.slice(9, 12), /\r\nLocation: (\S+)/.exec(client.text)?.[1]];
  };
  const { port } = server;
  t.same(await ask('GET /a/b?c=d HTTP/1.1\r\nHost: site.example'), ['301', `https://site.example:${port}/a/b?c=d`]);
  t.same(await ask('HEAD / HTTP/1.1\r\nHost: site.example:80'), ['301', `https://site.example:${port}/`]);
  t.same(await ask('GET //other.example/a HTTP/1.1\r\nHost: site.example'), [
    '301',
    `https://site.example:${port}//other.example/a`,
  ]);
  t.same(await ask('POST /a HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 0'), ['308', `https://[::1]:${port}/a`]);
  t.same(await ask('GET http://absolute.example/a HTTP/1.1\r\nHost: x'), ['301', `https://absolute.example:${port}/a`]);
  t.same(await ask('OPTIONS * HTTP/1.1\r\nHost: site.example'), ['308', `https://site.example:${port}/`]);
  t.same(await ask('GET / HTTP/1.0'), ['400', undefined]);
  t.same(
    await ask(`GET /${'a'.repeat(1_000)} HTTP/1.1\r\nHost: x`),
    ['431', undefined],
    'with the limits of the server',
  );
  const idle = new RawClient(Number(plainPort));
  await until(() => idle.isConnected);
  await server.close();
  await until(() => idle.isOver);
  const late = new RawClient(Number(plainPort));
  await until(() => late.isClosed);
  t.equal(late.error?.code, 'ECONNREFUSED', 'it ends with the server');
});

test('a redirect to port 443 does not name it', async (t) => {
  const { headers } = await inject(
    httpsRedirect(() => 443),
    'http://site.example:8080/a?b',
  );
  t.equal(headers.get('location'), 'https://site.example/a?b');
});

test('redirectFrom a port that is taken: serve throws, and leaves nothing open', async (t) => {
  const taken = serveAnswers(t, {});
  t.throws(() => serve(() => {}, { tls, redirectFrom: taken.port as number }), { code: 'EADDRINUSE' });
  t.equal(serveAnswers(t, { tls }).redirectUrl, null);
});

test('a handshake has a time limit', async (t) => {
  const server = serveAnswers(t, { tls, timeouts: { handshakeMs: 50, headerMs: 600_000 } });
  const silent = new RawClient(server.port as number);
  const begun = new RawClient(server.port as number).write(Buffer.from('16030100', 'hex'));
  await until(() => silent.isOver && begun.isOver);
  t.equal(server.connectionCount, 0);
});

async function openTls(server: Server): Promise<TLSSocket> {
  const socket = tlsConnect({ port: server.port as number, host: '127.0.0.1', ca: tls.cert });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  return socket;
}

test('connections in a handshake count, and make room for new ones', async (t) => {
  const server = serveAnswers(t, { tls, limits: { connections: 2 } });
  const clients = [new RawClient(server.port as number), new RawClient(server.port as number)];
  await until(() => server.connectionCount === 2);
  const third = await openTls(server);
  t.teardown(() => third.destroy());
  await until(() => clients.some(({ isOver }) => isOver));
  t.equal(server.connectionCount, 2);
  t.equal((await get(server)).status, 200);
  await until(() => clients.every(({ isOver }) => isOver));
});

test('a stop does not wait for handshakes that never end, nor for idle connections', async (t) => {
  const server = serveAnswers(t, { tls, timeouts: { handshakeMs: 600_000, headerMs: 600_000 } });
  const silent = new RawClient(server.port as number);
  const begun = new RawClient(server.port as number).write(Buffer.from('16030100', 'hex'));
  const idle = await openTls(server);
  await until(() => server.connectionCount === 3);
  await server.close({ graceMs: 600_000, idleGraceMs: 20 });
  await until(() => silent.isOver && begun.isOver && idle.closed);
});

test('clients that break off in any state leave nothing behind', async (t) => {
  const server = serveAnswers(t, { tls });
  const hello = Buffer.from(curl, 'base64');
  for (const length of [0, 1, 5, 100, hello.length - 1, hello.length]) {
    for (const end of ['end', 'destroy', 'resetAndDestroy'] as const) {
      const client = new RawClient(server.port as number).write(hello.subarray(0, length));
      await until(() => client.isConnected && (length < hello.length || client.receivedBytes > 0));
      client.socket[end]();
    }
  }
  await until(() => server.connectionCount === 0);
  t.equal((await get(server)).status, 200);
});
