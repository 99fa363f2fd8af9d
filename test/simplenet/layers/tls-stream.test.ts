import { once } from 'node:events';
import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectSecure } from 'node:tls';
import { test } from 'tap';
import {
  type AcceptTlsOptions,
  acceptTls,
  createEventLoop,
  createTlsContext,
  type EventLoop,
  type OnSecureConnection,
  portOf,
  type SecureStream,
  type StreamHandler,
  type SystemError,
} from '../../../simplenet/index.ts';
import { openHandles } from '../../../simplenet/layers/openssl-handles.ts';
import { ecdsa } from '../../support/certificates.ts';

/** A listener, what it has accepted, and how each stream has ended. */
class Listening {
  readonly loop: EventLoop = createEventLoop();
  readonly port: number;
  readonly streams: SecureStream[] = [];
  readonly received: string[] = [];
  readonly ends: (SystemError | null)[] = [];
  readonly #context = createTlsContext(ecdsa);
  #waiting: (() => void)[] = [];

  constructor(reaction: Partial<StreamHandler> = {}, options: AcceptTlsOptions = {}, prepare?: OnSecureConnection) {
    const onConnection: OnSecureConnection = (stream) => {
      this.streams.push(stream);
      prepare?.(stream);
      return {
        ...reaction,
        onData: (of, bytes) => {
          this.received.push(bytes.toString('latin1'));
          reaction.onData?.(of, bytes);
          this.#tell();
        },
        onClose: (_stream, error) => {
          this.ends.push(error);
          this.#tell();
        },
      };
    };
    const listener = this.loop.listen(
      { address: '127.0.0.1', port: 0 },
      acceptTls(this.#context, onConnection, options),
    );
    this.port = portOf(listener.address);
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    this.loop.close();
    this.#context.close();
  }

  #tell(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

function plainClient(port: number): { socket: Socket; bytes: () => Buffer } {
  const parts: Buffer[] = [];
  const socket = connectPlain({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('data', (part) => parts.push(part)).on('error', () => {});
  return { socket, bytes: () => Buffer.concat(parts) };
}

const echo: Partial<StreamHandler> = { onData: (stream, bytes) => void stream.write(bytes) };
const secureOptions = (port: number) => ({
  port,
  host: '127.0.0.1',
  rejectUnauthorized: false,
  servername: 'localhost',
});

test('what is not TLS gets a plain answer', async (t) => {
  const server = new Listening({}, { plainAnswer: (bytes) => Buffer.from(`you sent ${bytes.length} bytes`) });
  const client = plainClient(server.port);
  client.socket.write('GET / HTTP/1.1\r\n\r\n');
  await once(client.socket, 'end');
  t.equal(client.bytes().toString(), 'you sent 18 bytes');
  client.socket.end();
  await server.until(() => server.ends.length === 1);
  t.match(server.ends[0], { code: 'EPROTO', syscall: 'SSL_do_handshake', message: /these bytes are not TLS/ });
  const silent = new Listening();
  const other = plainClient(silent.port);
  other.socket.end('GET');
  await once(other.socket, 'end');
  t.equal(other.bytes().length, 0);
  server.close();
  silent.close();
});

test('a hello that is broken gets an alert', async (t) => {
  const server = new Listening();
  const client = plainClient(server.port);
  client.socket.write(Buffer.from([22, 3, 1, 0, 0]));
  await once(client.socket, 'end');
  t.same([...client.bytes()], [21, 3, 3, 0, 2, 2, 50], 'decode_error');
  client.socket.end('this is dropped');
  await server.until(() => server.ends.length === 1);
  t.match(server.ends[0], { code: 'EPROTO' });
  server.close();
});

test('a peer that goes before the handshake is complete, or never begins one', async (t) => {
  const server = new Listening({}, { handshakeMs: 50 });
  const early = plainClient(server.port);
  early.socket.end();
  await server.until(() => server.ends.length === 1);
  t.match(server.ends[0], { code: 'EPROTO', message: /before the handshake was complete/ });
  const silent = plainClient(server.port);
  await once(silent.socket, 'end');
  silent.socket.end();
  await server.until(() => server.ends.length === 2);
  t.match(server.ends[1], { code: 'ETIMEDOUT', syscall: 'SSL_do_handshake' });
  server.close();
});

test('FIN without close_notify is an error, and never an end', async (t) => {
  let ends = 0;
  const server = new Listening({ ...echo, onEnd: () => void ends++ });
  const socket = connectPlain(server.port, '127.0.0.1');
  await once(socket, 'connect');
  const secure = connectSecure({ ...secureOptions(server.port), socket });
  secure.on('error', () => {});
  secure.write('x');
  await once(secure, 'data');
  socket.end(); // below TLS
  await server.until(() => server.ends.length === 1);
  t.match(server.ends[0], { code: 'EPROTO', syscall: 'SSL_read', message: /without close_notify/ });
  t.equal(ends, 0);
  secure.destroy();
  server.close();
});

test('a hello may come byte by byte', async (t) => {
  const server = new Listening(echo);
  const through = connectPlain(server.port, '127.0.0.1');
  through.setNoDelay(true);
  await once(through, 'connect');
  // node:tls writes its records into this duplex, and each byte goes out alone.
  const { Duplex } = await import('node:stream');
  const drip = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      for (const byte of chunk) through.write(Buffer.of(byte));
      done();
    },
  });
  through.on('data', (part) => drip.push(part));
  const secure = connectSecure({ ...secureOptions(server.port), socket: drip });
  secure.on('error', () => {});
  secure.write('slowly');
  const [bytes] = (await once(secure, 'data')) as [Buffer];
  t.equal(bytes.toString(), 'slowly');
  secure.destroy();
  through.destroy();
  server.close();
});

test('a program that pauses before the handshake gets the first bytes when it resumes', async (t) => {
  const server = new Listening(echo, {}, (stream) => {
    stream.pause();
    return { onData: () => {} };
  });
  const secure = connectSecure(secureOptions(server.port));
  secure.on('error', () => {});
  secure.write('early');
  await once(secure, 'secureConnect');
  const stream = server.streams[0] as SecureStream;
  while (!stream.hasInput()) await new Promise((resolve) => setImmediate(resolve));
  t.same(server.received, []);
  stream.resume();
  const [bytes] = (await once(secure, 'data')) as [Buffer];
  t.equal(bytes.toString(), 'early');
  secure.destroy();
  server.close();
});

test('whenClosed calls back once, also when the stream has closed', async (t) => {
  const calls: string[] = [];
  const server = new Listening(echo, {}, (stream) => {
    stream.whenClosed(() => calls.push('first'));
    stream.whenClosed(() => calls.push('second'));
    return { onData: () => {} };
  });
  const secure = connectSecure(secureOptions(server.port));
  secure.write('x');
  await once(secure, 'data');
  secure.end();
  await server.until(() => server.ends.length === 1);
  t.equal(server.ends[0], null);
  await new Promise<void>((resolve) => server.streams[0]?.whenClosed(resolve));
  t.same(calls, ['first', 'second']);
  t.equal(server.streams[0]?.queuedBytes, 0);
  server.close();
});

test('all that was created is freed', async (t) => {
  const before = openHandles();
  const server = new Listening(echo);
  for (let i = 0; i < 20; i++) {
    const secure = connectSecure(secureOptions(server.port));
    secure.on('error', () => {});
    if (i % 4 === 1) await once(secure, 'secureConnect');
    if (i % 4 === 2) {
      secure.write('x');
      await once(secure, 'data');
    }
    if (i % 2 === 0) secure.destroy();
    else secure.end();
    await once(secure, 'close');
  }
  server.close();
  await server.until(() => server.ends.length === server.streams.length);
  const after = openHandles();
  t.equal(after.SSL, before.SSL);
  t.equal(after.SSL_CTX, before.SSL_CTX);
  t.equal(after.X509, before.X509);
});
