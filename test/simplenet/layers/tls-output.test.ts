import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { test } from 'tap';
import { EPROTO } from '../../../simplenet/kernel/abi.ts';
import { libc } from '../../../simplenet/kernel/libc.ts';
import { SslConnection } from '../../../simplenet/layers/ssl-connection.ts';
import { createTlsContext } from '../../../simplenet/layers/tls-context.ts';
import { TlsOutput } from '../../../simplenet/layers/tls-output.ts';
import { ecdsa } from '../../support/certificates.ts';
import { MemoryClient, MemoryStream } from './memory-stream.ts';

const MEGABYTE = 1024 * 1024;

/** The output of a server whose handshake is complete, to a stream in memory. */
class Sending {
  readonly inner = new MemoryStream();
  readonly output = new TlsOutput(this.inner, { maxQueuedBytes: 16 * MEGABYTE, libc });
  readonly client = new MemoryClient();
  readonly #context = createTlsContext(ecdsa);
  readonly ssl = SslConnection.accept(this.#context.contextFor(null));

  constructor() {
    this.#receive(this.client.hello());
    this.#receive(this.client.finish(this.#flight()));
    this.client.open(this.#flight());
    this.output.open(this.ssl);
  }

  #receive(records: Buffer): void {
    this.ssl.receive(records, records.length);
    this.ssl.handshake();
  }

  #flight(): Buffer {
    const length = this.ssl.takeOutput();
    return Buffer.from(this.ssl.output.subarray(0, length));
  }

  /** From now on OpenSSL refuses to encrypt. */
  refuse(): this {
    this.ssl.shutdown();
    this.#flight();
    return this;
  }

  free(): void {
    this.output.close();
    this.ssl.free();
    this.client.free();
    this.#context.close();
  }
}

test('what is queued leaves in shares of a turn, also when the stream below always has room', async (t) => {
  const sending = new Sending();
  const { inner, output } = sending;
  const bytes = Buffer.alloc(2 * MEGABYTE + 1000, 'x');
  t.equal(output.write(bytes, bytes.length, true, false), 0);
  t.equal(output.waitingBytes, bytes.length, 'much that may wait does');
  t.equal(inner.turns, 1);
  let text = '';
  for (const waiting of [MEGABYTE + 1000, 1000, 0]) {
    t.equal(output.sendQueued(), 0);
    t.equal(output.waitingBytes, waiting);
    text += sending.client.open(inner.take());
  }
  t.equal(inner.turns, 3, 'a further turn after each full share');
  t.equal(text.length, bytes.length);
  sending.free();
});

test('64 KiB leave at once, and of a byte more the packet that is full', async (t) => {
  for (const { length, waiting, turns, left } of [
    { length: 65_536, waiting: 0, turns: 0, left: 0 },
    { length: 65_537, waiting: 65_537, turns: 1, left: 513 },
  ]) {
    const sending = new Sending();
    const { inner, output } = sending;
    inner.fullAfterWrites = 1;
    t.equal(output.write(Buffer.alloc(length, 'x'), length, true, false), 0);
    t.equal(output.waitingBytes, waiting);
    t.equal(inner.turns, turns);
    output.sendQueued();
    t.equal(output.waitingBytes, left);
    t.equal(sending.client.open(inner.take()).length, length - left);
    sending.free();
  }
});

test('a stream below that is full ends the share', async (t) => {
  const sending = new Sending();
  const { inner, output } = sending;
  inner.fullAfterWrites = 2;
  const bytes = Buffer.alloc(300_000, 'x');
  t.equal(output.write(bytes, bytes.length, false, false), 0);
  t.equal(output.owesDrain, true);
  t.ok(output.waitingBytes > 0);
  inner.queuedBytes = 0;
  inner.fullAfterWrites = Number.POSITIVE_INFINITY;
  t.equal(output.sendQueued(), 0);
  t.equal(output.waitingBytes, 0);
  t.equal(sending.client.open(inner.take()).length, bytes.length);
  sending.free();
});

test('each way to send says so when OpenSSL refuses to encrypt', async (t) => {
  for (const length of [5, 20_000]) {
    const sending = new Sending().refuse();
    t.equal(sending.output.write(Buffer.alloc(length), length, false, false), -EPROTO, `${length} bytes at once`);
    t.equal(sending.inner.take().length, 0);
    sending.free();
  }
  const queued = new Sending();
  queued.inner.queuedBytes = 1;
  t.equal(queued.output.write(Buffer.alloc(5), 5, false, false), 0);
  queued.refuse().inner.queuedBytes = 0;
  t.equal(queued.output.sendQueued(), -EPROTO, 'from the queue');
  t.equal(queued.output.isFileFault, false);
  queued.free();
  const fd = openSync(process.execPath, 'r');
  const file = new Sending().refuse();
  t.equal(file.output.sendFile(fd, 0, 10), -EPROTO, 'from a file');
  closeSync(fd);
  file.free();
});

test('a file that cannot be read is a fault of the file', async (t) => {
  const sending = new Sending();
  const fd = openSync('.', 'r');
  t.equal(sending.output.sendFile(fd, 0, 10), -constants.errno.EISDIR);
  t.equal(sending.output.isFileFault, true);
  closeSync(fd);
  sending.free();
});
