import { test } from 'tap';
import {
  lastFailure,
  openssl,
  SSL_ERROR_SSL,
  SSL_ERROR_WANT_READ,
  SSL_ERROR_ZERO_RETURN,
} from '../../../simplenet/layers/openssl.ts';
import { openSslFunctions } from '../../../simplenet/layers/openssl-functions.ts';
import { createdHandles, Handle, openHandles } from '../../../simplenet/layers/openssl-handles.ts';
import { SslConnection } from '../../../simplenet/layers/ssl-connection.ts';
import { createClientContext, createTlsContext } from '../../../simplenet/layers/tls-context.ts';
import { ecdsa } from '../../support/certificates.ts';

type Version = 'TLSv1.2' | 'TLSv1.3';

/** Both sides of a connection, without a network. */
class Pair {
  readonly #serverContext = createTlsContext(ecdsa);
  readonly #clientContext;
  readonly server: SslConnection;
  readonly client: SslConnection;

  constructor(maxVersion: Version = 'TLSv1.3') {
    this.#clientContext = createClientContext({ maxVersion });
    this.server = SslConnection.accept(this.#serverContext.contextFor(null));
    this.client = SslConnection.connect(this.#clientContext, 'localhost');
  }

  /** Completes the handshake, and reads what follows it. */
  shakeHands(): this {
    for (let flights = 0; flights < 2; flights++) {
      this.client.handshake();
      pass(this.client, this.server);
      this.server.handshake();
      pass(this.server, this.client);
    }
    this.client.handshake();
    read(this.client);
    return this;
  }

  free(): void {
    this.server.free();
    this.client.free();
    this.#serverContext.close();
    openssl.SSL_CTX_free(this.#clientContext);
  }
}

function output(from: SslConnection): Buffer {
  const length = from.takeOutput();
  return Buffer.from(from.output.subarray(0, length));
}

function pass(from: SslConnection, to: SslConnection): number {
  const records = output(from);
  if (records.length > 0) to.receive(records, records.length);
  return records.length;
}

/** Reads until nothing is left. Returns the text, and the last result. */
function read(from: SslConnection): { text: string; result: number } {
  const bytes = Buffer.alloc(100_000);
  let filled = 0;
  let result = 0;
  while (result >= 0 && from.hasRecords) {
    result = from.read(bytes, filled, bytes.length - filled);
    if (result > 0) filled += result;
  }
  return { text: bytes.toString('latin1', 0, filled), result };
}

const hello = Buffer.from('hello');

test('what connections share is made with the first context, because a worker that is being terminated cannot make it', async (t) => {
  createTlsContext(ecdsa).close();
  t.equal(createdHandles('PAIRED_BIO'), 2);
  new Pair().shakeHands().free();
  t.equal(createdHandles('PAIRED_BIO'), 2);
});

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`two sides shake hands and talk (${version})`, async (t) => {
    const before = openHandles();
    const pair = new Pair(version).shakeHands();
    const { client, server } = pair;
    t.equal(server.version, version);
    t.equal(client.cipher, server.cipher);
    t.equal(server.isResumed, false);
    t.equal(server.hasAlpn, false);
    t.equal(server.peerCertificate, null);
    t.ok(client.peerCertificate);
    t.equal(client.write(hello, 0, 5), 5);
    client.write(Buffer.from('..and more'), 2, 3);
    pass(client, server);
    t.equal(read(server).text, 'helloand');
    t.equal(server.hasRecords, false);
    pair.free();
    const { BIO: _input, PAIRED_BIO: _output, ...rest } = openHandles();
    const { BIO: _inputBefore, PAIRED_BIO: _outputBefore, ...restBefore } = before;
    t.same(rest, restBefore);
  });

  test(`close_notify ends a direction, and a damaged record the connection (${version})`, async (t) => {
    const pair = new Pair(version).shakeHands();
    const { client, server } = pair;
    client.write(hello, 0, 5);
    client.shutdown();
    pass(client, server);
    // What other code has left in the queue of errors is not an error of this connection.
    const c = openSslFunctions();
    const bio = openssl.BIO_new_mem();
    c.PEM_read_bio_X509(Handle.addressOf(bio, 'BIO'), 0, 0, '');
    t.same(read(server), { text: 'hello', result: -SSL_ERROR_ZERO_RETURN });
    openssl.BIO_free(bio);
    t.equal(server.write(hello, 0, 5), 5, 'the other direction is open');
    const records = output(server);
    records.writeUInt8(records.readUInt8(records.length - 1) ^ 1, records.length - 1);
    client.receive(records, records.length);
    t.same(read(client), { text: '', result: -SSL_ERROR_SSL });
    t.equal(lastFailure(), 'a record has been damaged or forged');
    pair.free();
  });
}

test('records may come in any pieces, and are counted', async (t) => {
  const whole = new Pair().shakeHands();
  whole.client.write(hello, 0, 5);
  whole.client.write(hello, 0, 5);
  const bytes = output(whole.client);
  let text = '';
  for (const byte of bytes) {
    whole.server.receive(Uint8Array.of(byte), 1);
    text += read(whole.server).text;
  }
  t.equal(text, 'hellohello');
  t.equal(whole.server.hasRecords, false);
  whole.server.receive(Uint8Array.of(23, 3, 3, 0, 0), 5);
  t.equal(whole.server.hasRecords, true, 'an empty record is one as well');
  whole.free();
});

test('connections of a thread share their BIOs, and never their bytes', async (t) => {
  const [a, b] = [new Pair().shakeHands(), new Pair().shakeHands()];
  a.client.write(hello, 0, 5);
  const records = output(a.client);
  a.server.receive(records, records.length); // and nobody reads it: the program is gone
  b.client.write(Buffer.from('other'), 0, 5);
  pass(b.client, b.server);
  t.equal(read(b.server).text, 'other');
  a.server.write(hello, 0, 5); // and nobody takes it
  b.server.write(hello, 0, 5);
  t.equal(a.server.takeOutput(), 0);
  pass(b.server, b.client);
  t.equal(read(b.client).text, 'hello');
  a.free();
  b.free();
});

test('empty records behind a hello: nothing of them is left for the next connection', async (t) => {
  const pair = new Pair();
  pair.client.handshake();
  const flight = Buffer.concat([output(pair.client), Buffer.alloc(18)]); // three records of no type, and a part of one
  pair.server.receive(flight, flight.length);
  t.equal(pair.server.handshake(), -SSL_ERROR_SSL, 'all of it is read, so it is known to be wrong');
  output(pair.server);
  const next = new Pair().shakeHands();
  next.client.write(hello, 0, 5);
  pass(next.client, next.server);
  t.equal(read(next.server).text, 'hello');
  pair.free();
  next.free();
});

test('input that waits can be taken and given again', async (t) => {
  const pair = new Pair().shakeHands();
  pair.client.write(hello, 0, 5);
  pass(pair.client, pair.server);
  const waiting = pair.server.takeInput();
  t.ok(waiting.length > 5);
  t.equal(pair.server.takeInput().length, 0);
  t.equal(pair.server.hasRecords, false);
  pair.server.receive(waiting, waiting.length);
  t.equal(read(pair.server).text, 'hello');
  pair.free();
});

test('a read that fills its buffer leaves the rest of the record', async (t) => {
  const pair = new Pair().shakeHands();
  pair.client.write(hello, 0, 5);
  pass(pair.client, pair.server);
  const bytes = Buffer.alloc(3);
  t.equal(pair.server.read(bytes, 0, 3), 3);
  t.equal(pair.server.hasRecords, true);
  t.equal(pair.server.read(bytes, 0, 3), 2);
  t.equal(bytes.toString(), 'lol');
  pair.free();
});

test('the keys of TLS 1.3 change on demand', async (t) => {
  const pair = new Pair().shakeHands();
  const { client, server } = pair;
  for (let i = 0; i < 3; i++) {
    client.updateKeys();
    client.write(hello, 0, 5);
    pass(client, server);
    t.equal(read(server).text, 'hello');
    server.write(hello, 0, 5);
    pass(server, client);
    t.equal(read(client).text, 'hello');
  }
  pair.free();
});

test('a handshake waits for the peer', async (t) => {
  const pair = new Pair();
  t.equal(pair.server.handshake(), -SSL_ERROR_WANT_READ);
  t.equal(pair.client.handshake(), -SSL_ERROR_WANT_READ);
  pair.free();
});

test('an alert that is not encrypted ends a handshake, and nothing is left for the next connection', async (t) => {
  const record = [23, 3, 3, 0, 5, 1, 2, 3, 4, 5];
  const endings: [what: string, bytes: number[], result: number][] = [
    // The wrong version makes it a failure in the middle of a record, after which SSL_want says that OpenSSL waits for bytes.
    ['close_notify of another version', [21, 3, 1, 0, 2, 2, 0], -SSL_ERROR_SSL],
    ['close_notify, and records behind it', [21, 3, 3, 0, 2, 1, 0, ...record], -SSL_ERROR_SSL],
    ['handshake_failure, and records behind it', [21, 3, 3, 0, 2, 2, 40, ...record], -SSL_ERROR_SSL],
    ['a record that is not encrypted', [...record, ...record], -SSL_ERROR_SSL],
  ];
  for (const [what, bytes, result] of endings) {
    const broken = new Pair();
    broken.client.handshake();
    pass(broken.client, broken.server);
    t.equal(broken.server.handshake(), -SSL_ERROR_WANT_READ);
    output(broken.server);
    broken.server.receive(Buffer.from(bytes), bytes.length);
    t.equal(broken.server.handshake(), result, what);
    broken.free();
    const next = new Pair();
    t.equal(next.shakeHands().server.version, 'TLSv1.3');
    t.equal(next.server.write(hello, 0, hello.length), hello.length, 'the handshake is complete');
    output(next.server);
    next.free();
  }
});
