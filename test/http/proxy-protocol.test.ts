/** `proxyProtocol` of serve: what requests know of their client, with TLS and without, and what its limits do. */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { type Test, test } from 'tap';
import { type ServeOptions, type Server, serve } from '../../http/index.ts';
import { addresses4, block, PROXY, TCP4, tlv } from '../simplenet/layers/proxy-headers.ts';
import { certificateFor } from '../support/certificates.ts';
import { RawClient } from '../support/raw-client.ts';
import { until } from '../support/waiting.ts';

const line = 'PROXY TCP4 192.0.2.1 198.51.100.7 4711 443\r\n';
const ask = 'GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n';
const tls = certificateFor('localhost', '127.0.0.1');

function serveAnswers(t: Test, options: ServeOptions = {}): Server {
  const server = serve(
    ({ remoteAddress, remotePort, localAddress, localPort, clientAddress, url }, response) =>
      response.json([remoteAddress, remotePort, localAddress, localPort, clientAddress, url]),
    { proxyProtocol: { from: 'loopback' }, ...options },
  );
  t.teardown(() => server.close({ graceMs: 0 }));
  return server;
}

async function answerOn(socket: Socket): Promise<unknown> {
  let text = '';
  for await (const piece of socket.setEncoding('utf8')) text += piece;
  return JSON.parse(text.slice(text.indexOf('\r\n\r\n')));
}

const told = (url: string) => ['192.0.2.1', 4711, '198.51.100.7', 443, '192.0.2.1', url];

test('the client of a header, with and without TLS', async (t) => {
  const plain = serveAnswers(t);
  const client = connect(plain.port as number, '127.0.0.1');
  client.write(line + ask);
  t.same(await answerOn(client), told('http://a.example/a'));

  const secure = serveAnswers(t, { tls });
  const below = connect(secure.port as number, '127.0.0.1');
  below.write(block(PROXY, TCP4, addresses4));
  const above = tlsConnect({ socket: below, ca: tls.cert, servername: 'localhost' });
  await once(above, 'secureConnect');
  above.write(ask);
  t.same(await answerOn(above), told('https://a.example/a'));
  t.same([plain.refusedProxyHeaders, secure.refusedProxyHeaders], [0, 0]);
});

test('a header may say that the client has used TLS, and a proxy behind it may be trusted', async (t) => {
  const server = serveAnswers(t, { trustProxy: { from: '192.0.2.1', fields: ['x-forwarded-for'] } });
  const client = connect(server.port as number, '127.0.0.1');
  client.write(block(PROXY, TCP4, Buffer.concat([addresses4, tlv(0x20, Buffer.from([1, 0, 0, 0, 0]))])));
  client.write(ask.replace('Host', 'X-Forwarded-For: 203.0.113.9\r\nHost'));
  const expected = told('https://a.example/a');
  expected[4] = '203.0.113.9';
  t.same(await answerOn(client), expected);
});

test('without a header the connection closes, is counted, and gets no answer', async (t) => {
  const server = serveAnswers(t);
  for (const [i, bytes] of [ask, 'PROXY x\r\n', '\r\n\r\n\0\r\nQUIT\n\x31\0\0\0'].entries()) {
    const client = new RawClient(server.port as number).write(Buffer.from(bytes, 'latin1'));
    await until(() => client.isOver);
    t.equal(client.receivedBytes, 0);
    t.equal(server.refusedProxyHeaders, i + 1);
  }
  await until(() => server.connectionCount === 0);
  const stranger = serveAnswers(t, { proxyProtocol: { from: '192.0.2.0/24' } });
  const client = new RawClient(stranger.port as number).write(line + ask);
  await until(() => client.isOver);
  t.same([client.receivedBytes, stranger.refusedProxyHeaders, stranger.connectionCount], [0, 1, 0]);
});

test('optional: clients without a header are answered, too', async (t) => {
  const server = serveAnswers(t, { proxyProtocol: { from: 'loopback', mode: 'optional' } });
  for (const [bytes, client] of [
    [ask, '127.0.0.1'],
    [line + ask, '192.0.2.1'],
  ] as const) {
    const socket = connect(server.port as number, '127.0.0.1');
    socket.write(bytes);
    t.match(await answerOn(socket), [client]);
  }
});

test('proxyHeaderBytes, and one byte more', async (t) => {
  for (const [proxyHeaderBytes, refused] of [
    [28, 0],
    [27, 1],
  ] as const) {
    const server = serveAnswers(t, { limits: { proxyHeaderBytes } });
    const client = new RawClient(server.port as number).write(block(PROXY, TCP4, addresses4)).write(ask);
    await until(() => client.isOver);
    t.same([client.receivedBytes > 0, server.refusedProxyHeaders], [refused === 0, refused]);
  }
});

test('a header has handshakeMs, and the head of the request headerMs behind it', async (t) => {
  const slow = serveAnswers(t, { timeouts: { handshakeMs: 50, headerMs: 600_000 } });
  const client = new RawClient(slow.port as number).write('PROXY ');
  await until(() => client.isOver);
  t.same([client.receivedBytes, slow.refusedProxyHeaders], [0, 1]);
  const server = serveAnswers(t, { timeouts: { handshakeMs: 600_000, headerMs: 50 } });
  const late = new RawClient(server.port as number).write(`${line}GET `);
  await until(() => late.isOver);
  t.match(late.text, /^HTTP\/1\.1 408 /);
});

test('connections that have not sent their header count, and make room for new ones', async (t) => {
  const server = serveAnswers(t, { limits: { connections: 2 }, timeouts: { handshakeMs: 600_000, headerMs: 1_000 } });
  const silent = [new RawClient(server.port as number), new RawClient(server.port as number)];
  await until(() => server.connectionCount === 2);
  const socket = connect(server.port as number, '127.0.0.1');
  socket.write(line + ask);
  t.match(await answerOn(socket), ['192.0.2.1']);
  await until(() => silent.some(({ isOver }) => isOver));
  await server.close({ graceMs: 600_000, idleGraceMs: 20 });
  await until(() => silent.every(({ isOver }) => isOver));
});

test('connectionsPerAddress counts the clients that the headers name, and one more is closed, with TLS and without', async (t) => {
  const headerOf = (address: string) => `PROXY TCP4 ${address} 198.51.100.7 4711 443\r\n`;
  for (const options of [{}, { tls }]) {
    const server = serveAnswers(t, { ...options, limits: { connectionsPerAddress: 2 } });
    const port = server.port as number;
    const silent = [new RawClient(port), new RawClient(port), new RawClient(port)]; // of the balancer, whose header is to come
    await until(() => server.connectionCount === 3);
    const open = [1, 1, 2, 2].map((n) => new RawClient(port).write(headerOf(`192.0.2.${n}`)));
    await until(() => server.connectionCount === 7);
    const tooMany = new RawClient(port).write(headerOf('192.0.2.2') + ask);
    await until(() => tooMany.isOver);
    t.equal(tooMany.receivedBytes, 0);
    await until(() => server.connectionCount === 7);
    t.same([server.commons.door.counts.address, server.refusedProxyHeaders], [1, 0]);

    (open[3] as RawClient).destroy(); // one of that client leaves
    await until(() => server.connectionCount === 6);
    const next = new RawClient(port).write(headerOf('192.0.2.2'));
    await until(() => server.connectionCount === 7);
    next.write(ask);
    await until(() => next.receivedBytes > 0);
    t.notOk([...silent, ...open.slice(0, 3)].some(({ isOver }) => isOver));
    for (const client of [...silent, ...open]) client.destroy();
  }
});

test('options that make no sense are refused', async (t) => {
  for (const [proxyProtocol, message] of [
    ['required', /must be an object/],
    [{}, /addresses such as/],
    [{ from: 1 }, /proxyProtocol must be addresses/],
    [{ from: 'loopback', mode: 'maybe' }, /must be 'required' or 'optional', not 'maybe'/],
    [{ from: 'loopback', modus: 'optional' }, /did you mean 'mode'/],
    [{ from: '10.0.0.1/8' }, /inside a range/],
  ] as const) {
    t.throws(() => serve(() => {}, { proxyProtocol } as unknown as ServeOptions), { message });
  }
});

test('the port that redirects gets headers as well', async (t) => {
  const server = serveAnswers(t, { tls, redirectFrom: 0 });
  const { port } = new URL(server.redirectUrl as string);
  const client = new RawClient(Number(port)).write(line + ask);
  await until(() => client.isOver);
  t.match(client.text, /^HTTP\/1\.1 301 /);
});
