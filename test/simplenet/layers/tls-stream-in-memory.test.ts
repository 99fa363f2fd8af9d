import { MessageChannel } from 'node:worker_threads';
import { test } from 'tap';
import {
  type AcceptTlsOptions,
  acceptTls,
  createTlsContext,
  type OnSecureConnection,
  type SecureStream,
  type StreamHandler,
  type TlsOptions,
} from '../../../simplenet/index.ts';
import { ECONNRESET } from '../../../simplenet/kernel/abi.ts';
import { SystemError } from '../../../simplenet/kernel/system-error.ts';
import { connectTls } from '../../../simplenet/layers/accept-tls.ts';
import { openssl } from '../../../simplenet/layers/openssl.ts';
import { declare } from '../../../simplenet/layers/openssl-functions.ts';
import { Handle, openHandles } from '../../../simplenet/layers/openssl-handles.ts';
import { MAX_BATCH_BYTES, OUTPUT_BYTES } from '../../../simplenet/layers/ssl-connection.ts';
import { createClientContext } from '../../../simplenet/layers/tls-context.ts';
import { MAX_ANSWER_BYTES } from '../../../simplenet/layers/tls-input.ts';
import { authority, ecdsa } from '../../support/certificates.ts';
import { MemoryClient, MemoryStream } from './memory-stream.ts';

/** One connection that a server has accepted, and its client. Everything that the program hears is in `events`. */
class Accepted {
  readonly inner = new MemoryStream();
  readonly client: MemoryClient;
  readonly events: string[] = [];
  readonly below: StreamHandler;
  readonly #context;
  #stream: SecureStream | null = null;

  constructor(
    reaction: Partial<StreamHandler> = {},
    prepare?: (stream: SecureStream) => void,
    options?: AcceptTlsOptions,
    identity: TlsOptions = ecdsa,
    client = new MemoryClient(),
  ) {
    this.client = client;
    this.#context = createTlsContext(identity);
    const onConnection: OnSecureConnection = (stream) => {
      this.#stream = stream;
      prepare?.(stream);
      return {
        onEnd: () => void this.events.push('end'),
        ...reaction,
        onData: (of, bytes) => {
          this.events.push(bytes.length > 100 ? `${bytes.length} bytes` : bytes.toString());
          reaction.onData?.(of, bytes);
        },
        onClose: (_of, error) =>
          void this.events.push(error === null ? 'closed' : `${error.syscall} ${error.code}: ${error.message}`),
      };
    };
    this.below = acceptTls(this.#context, onConnection, options)(this.inner);
  }

  get stream(): SecureStream {
    return this.#stream as SecureStream;
  }

  receive(bytes: Buffer): void {
    this.below.onData(this.inner, bytes);
  }

  /** The client says hello, and gets the answer. Returns what completes the handshake. */
  almostOpen(): Buffer {
    this.receive(this.client.hello());
    return this.client.finish(this.inner.take());
  }

  open(): this {
    this.receive(this.almostOpen());
    this.client.open(this.inner.take()); // tickets
    return this;
  }

  /** Turns are granted until none is asked for. Returns how many. */
  takeTurns(): number {
    let taken = 0;
    for (; this.inner.turns > 0; taken++) {
      this.inner.turns = 0;
      this.below.onTurn?.(this.inner);
    }
    return taken;
  }

  closeBelow(error: SystemError | null = null): void {
    this.below.onClose?.(this.inner, error);
  }

  free(): void {
    this.client.free();
    this.#context.close();
  }
}

const reset = new SystemError('recv', -ECONNRESET);
const microtasks = () => new Promise((resolve) => setImmediate(resolve));

/** Records whose last byte, a part of the tag, is another one. */
function damaged(records: Buffer): Buffer {
  const copy = Buffer.from(records);
  copy[copy.length - 1] = (copy[copy.length - 1] as number) ^ 1;
  return copy;
}

/** A server whose program has paused, and which has got these texts with the end of the handshake; then the connection breaks. */
function brokenWhilePaused(reaction: Partial<StreamHandler> = {}, isEnded = false): Accepted {
  const accepted = new Accepted(reaction, (stream) => stream.pause());
  const last = [accepted.almostOpen(), accepted.client.seal('last words')];
  if (isEnded) last.push(accepted.client.goodbye());
  accepted.receive(Buffer.concat(last));
  accepted.closeBelow(reset);
  return accepted;
}

test('what a paused program has not got when the connection breaks comes after resume', async (t) => {
  const before = openHandles();
  const accepted = brokenWhilePaused();
  t.same(accepted.events, []);
  accepted.stream.resume();
  t.same(accepted.events, [], 'not within the call');
  await microtasks();
  t.match(accepted.events, ['last words', /^recv ECONNRESET/]);
  t.equal(accepted.events.length, 2);
  accepted.free();
  t.equal(openHandles().SSL, before.SSL);
});

test('a program that pauses again before it gets its last bytes gets them later', async (t) => {
  const accepted = brokenWhilePaused();
  accepted.stream.resume();
  accepted.stream.pause();
  await microtasks();
  t.same(accepted.events, []);
  accepted.stream.resume();
  await microtasks();
  t.match(accepted.events, ['last words', /^recv ECONNRESET/]);
  accepted.free();
});

test('a program that pauses with its last bytes gets the end of the peer after the next resume', async (t) => {
  const accepted = brokenWhilePaused({ onData: (stream) => stream.pause() }, true);
  accepted.stream.resume();
  await microtasks();
  t.same(accepted.events, ['last words']);
  accepted.stream.resume();
  await microtasks();
  t.match(accepted.events, ['last words', 'end', /^recv ECONNRESET/]);
  accepted.free();
});

test('a program that closes with its last bytes hears of the end once', async (t) => {
  const accepted = brokenWhilePaused({ onData: (stream) => stream.close() });
  accepted.stream.resume();
  accepted.stream.resume();
  await microtasks();
  t.match(accepted.events, ['last words', /^recv ECONNRESET/]);
  t.equal(accepted.events.length, 2);
  accepted.free();
});

test('a program that closes and never resumes hears of the end, too', async (t) => {
  const accepted = brokenWhilePaused();
  accepted.stream.resume();
  accepted.stream.abort();
  await microtasks();
  t.equal(accepted.events.length, 1);
  t.match(accepted.events, [/^recv ECONNRESET/]);
  accepted.free();
});

test('a damaged record ends the connection, and the peer gets an alert', async (t) => {
  const accepted = new Accepted().open();
  accepted.receive(damaged(accepted.client.seal('x')));
  t.ok(accepted.inner.take().length > 0, 'the alert');
  t.same(accepted.inner.ends, ['end']);
  accepted.closeBelow();
  t.match(accepted.events, [/^SSL_read EPROTO: .*damaged or forged/]);
  accepted.free();
});

test('a program may answer what came in front of a damaged record: the write fails, and throws nothing', async (t) => {
  const results: boolean[] = [];
  const echo = { onData: (stream: SecureStream, bytes: Buffer) => void results.push(stream.write(bytes)) };
  const accepted = new Accepted(echo as Partial<StreamHandler>).open();
  accepted.receive(Buffer.concat([accepted.client.seal('first'), damaged(accepted.client.seal('second'))]));
  t.same(results, [false]);
  t.same(accepted.inner.ends, ['end']);
  accepted.closeBelow();
  t.match(accepted.events, ['first', /^SSL_read EPROTO: .*a record has been damaged or forged/]);
  t.equal(accepted.events.length, 2);
  accepted.free();
});

/** An open connection that reads three records in a turn. */
function threeInATurn(reaction: Partial<StreamHandler> = {}): Accepted {
  return new Accepted(reaction, undefined, { recordsPerTurn: 3 }).open();
}

test('as many records of a chunk as a turn may read are one onData; the next one waits for the next turn', async (t) => {
  const accepted = threeInATurn();
  const { client, inner } = accepted;
  const records = (text: string) => Buffer.concat([...text].map((letter) => client.seal(letter)));
  accepted.receive(records('abc'));
  t.same(accepted.events, ['abc']);
  t.same([inner.turns, inner.isPaused], [0, false]);
  accepted.receive(records('defg'));
  t.same(accepted.events, ['abc', 'def']);
  t.same([inner.turns, inner.isPaused], [1, true], 'nothing may overtake it');
  t.equal(accepted.stream.hasInput(), true);
  t.equal(accepted.takeTurns(), 1);
  t.same(accepted.events, ['abc', 'def', 'g']);
  t.same([inner.isPaused, accepted.stream.hasInput()], [false, false]);
  accepted.receive(records('hijklmnopq').subarray(0, -1));
  t.equal(accepted.takeTurns(), 3);
  t.same(accepted.events.slice(3), ['hij', 'klm', 'nop'], 'the last record is incomplete');
  accepted.stream.close();
  accepted.closeBelow();
  accepted.free();
});

test('records that came with the end of the handshake are limited as well', async (t) => {
  const accepted = new Accepted({}, undefined, { recordsPerTurn: 1 });
  const last = accepted.almostOpen();
  accepted.receive(Buffer.concat([last, accepted.client.seal('a'), accepted.client.seal('b')]));
  t.same(accepted.events, ['a']);
  t.equal(accepted.takeTurns(), 1);
  t.same(accepted.events, ['a', 'b']);
  accepted.stream.close();
  accepted.closeBelow();
  accepted.free();
});

test('a program that pauses gets the records that wait after resume, and the end behind them', async (t) => {
  const accepted = threeInATurn({ onData: (stream) => stream.pause() });
  const { client } = accepted;
  accepted.receive(Buffer.concat([...[...'abcd'].map((letter) => client.seal(letter)), client.goodbye()]));
  t.same(accepted.events, ['abc']);
  t.equal(accepted.takeTurns(), 0);
  accepted.stream.resume();
  t.equal(accepted.takeTurns(), 1);
  t.same(accepted.events, ['abc', 'd'], 'it has paused again');
  accepted.stream.resume();
  t.equal(accepted.takeTurns(), 1);
  t.same(accepted.events, ['abc', 'd', 'end']);
  accepted.closeBelow();
  accepted.free();
});

test('the connection breaks while records wait: the program gets them first', async (t) => {
  const accepted = threeInATurn();
  const { client } = accepted;
  accepted.receive(Buffer.concat([...'abcdefgh'].map((letter) => client.seal(letter))));
  accepted.closeBelow(reset);
  t.same(accepted.events, ['abc']);
  await microtasks();
  t.match(accepted.events, ['abc', 'def', 'gh', /^recv ECONNRESET/]);
  t.equal(accepted.events.length, 4);
  accepted.free();
});

test('what follows close_notify is ignored, in the same chunk and later', async (t) => {
  const accepted = threeInATurn({ onEnd: () => void accepted.events.push('end') });
  const { client } = accepted;
  const late = Buffer.of(23, 3, 3, 0, 1, 0);
  accepted.receive(Buffer.concat([client.goodbye(), late, late, late]));
  accepted.receive(late);
  accepted.below.onEnd?.(accepted.inner);
  t.same(accepted.events, ['end']);
  accepted.stream.end();
  accepted.closeBelow();
  t.same(accepted.events, ['end', 'closed']);
  accepted.free();
});

test('a flood of changes of keys: some for each turn', async (t) => {
  const accepted = new Accepted().open();
  const { client, inner } = accepted;
  const FLOOD = 2_000;
  const records = Array.from({ length: FLOOD }, () => client.updateKeys());
  accepted.receive(Buffer.concat([...records, client.seal('after it')]));
  t.equal(accepted.takeTurns(), Math.floor(FLOOD / 256));
  t.same(accepted.events, ['after it']);
  accepted.stream.write(Buffer.from('an answer'));
  const answer = inner.take();
  t.equal(client.open(answer), 'an answer', 'with the new keys');
  accepted.stream.close();
  accepted.closeBelow();
  accepted.free();
});

test('a peer that changes its keys and takes no answer: 64 KiB of answers wait, and no byte more', async (t) => {
  const accepted = new Accepted({}, undefined, { recordsPerTurn: 2_500 }).open();
  const { client, inner } = accepted;
  inner.isFull = true;
  const update = client.updateKeys();
  accepted.receive(update);
  accepted.receive(Buffer.concat(Array.from({ length: 2_400 }, () => client.updateKeys())));
  let queued = 0;
  while (inner.ends.length === 0) {
    queued = inner.queuedBytes;
    accepted.receive(client.updateKeys());
  }
  t.ok(queued <= MAX_ANSWER_BYTES && queued + update.length > MAX_ANSWER_BYTES, `${queued} bytes waited`);
  accepted.closeBelow();
  t.match(accepted.events, [/^SSL_read EPROTO: .*takes no answer/]);
  accepted.free();
});

test('answers that the peer takes do not add up', async (t) => {
  const accepted = new Accepted({}, undefined, { recordsPerTurn: 2_500 }).open();
  const { client, inner } = accepted;
  for (let round = 0; round < 3; round++) {
    inner.isFull = true;
    accepted.receive(Buffer.concat(Array.from({ length: 1_500 }, () => client.updateKeys())));
    inner.isFull = false;
    inner.queuedBytes = 0;
    accepted.below.onDrain?.(inner);
    accepted.receive(client.seal('still here'));
  }
  t.same(inner.ends, []);
  t.same(accepted.events, ['still here', 'still here', 'still here']);
  accepted.stream.close();
  accepted.closeBelow();
  accepted.free();
});

test('answers that do not fit into the output at once are sent in several writes', async (t) => {
  const accepted = new Accepted({}, undefined, { recordsPerTurn: 5_000 }).open();
  const { client, inner } = accepted;
  accepted.receive(Buffer.concat(Array.from({ length: 3_000 }, () => client.updateKeys()))); // 81,000 bytes, and as many of answers
  accepted.stream.write(Buffer.from('hello'));
  t.equal(client.open(inner.take()), 'hello');
  t.same(accepted.events, []);
  accepted.stream.close();
  accepted.closeBelow();
  accepted.free();
});

test('records of 512 bytes with long tags do not fit into the output at once', async (t) => {
  const shortRecords = declare<[number, number], number>('SSL_CTX_set_tlsext_max_fragment_length', 'int', [
    'int64',
    'uint8',
  ]);
  const context = createClientContext({ maxVersion: 'TLSv1.2' });
  t.equal(shortRecords(Handle.addressOf(context, 'SSL_CTX'), 1), 1);
  const identity = { ...ecdsa, ciphers: 'ECDHE-ECDSA-AES256-SHA384' };
  const accepted = new Accepted({}, undefined, undefined, identity, new MemoryClient(context)).open();
  const text = 'x'.repeat(MAX_BATCH_BYTES);
  t.equal(accepted.stream.write(Buffer.from(text)), true);
  const records = accepted.inner.take();
  t.ok(records.length > OUTPUT_BYTES, `${records.length} bytes`);
  t.ok(accepted.client.open(records) === text);
  accepted.stream.close();
  accepted.closeBelow();
  accepted.free();
  openssl.SSL_CTX_free(context);
});

test('a program that writes to another stream when its handshake is complete still gets what came with it', async (t) => {
  const other = new Accepted().open();
  const accepted = new Accepted({ onOpen: () => void other.stream.write(Buffer.from('somebody has come')) });
  accepted.receive(Buffer.concat([accepted.almostOpen(), accepted.client.seal('hello')]));
  t.same(accepted.events, ['hello']);
  t.equal(other.client.open(other.inner.take()), 'somebody has come');
  for (const each of [accepted, other]) {
    each.stream.close();
    each.closeBelow();
    each.free();
  }
});

test('a program that writes to another stream when it gets the keys of a handshake does not disturb it', async (t) => {
  const other = new Accepted().open();
  const identity = { ...ecdsa, onKeyLog: () => void other.stream.write(Buffer.from('.')) };
  const accepted = new Accepted({}, undefined, undefined, identity);
  accepted.receive(Buffer.concat([accepted.almostOpen(), accepted.client.seal('hello')]));
  t.same(accepted.events, ['hello']);
  for (const each of [accepted, other]) {
    each.stream.close();
    each.closeBelow();
    each.free();
  }
});

test('TLS over TLS: both have the same memory, and neither disturbs the other', async (t) => {
  const context = createTlsContext(ecdsa);
  const received: string[] = [];
  let stream: SecureStream | null = null;
  const acceptInner = acceptTls(context, (inner) => {
    stream = inner;
    return { onData: (_of, bytes) => void received.push(bytes.toString()) };
  });
  const outer = new MemoryClient();
  const inner = new MemoryClient();
  const base = new MemoryStream();
  const below = acceptTls(context, acceptInner)(base);
  below.onData(base, outer.hello());
  below.onData(base, outer.finish(base.take()));
  outer.open(base.take());
  const sendInner = (records: Buffer) => below.onData(base, outer.sealBytes(records));
  const takeInner = () => Buffer.from(outer.open(base.take()), 'latin1');
  sendInner(inner.hello());
  sendInner(inner.finish(takeInner()));
  inner.open(takeInner());
  sendInner(inner.seal('hello'));
  t.same(received, ['hello']);
  const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, i) => i % 251));
  (stream as SecureStream | null)?.write(bytes);
  t.ok(Buffer.from(inner.open(takeInner()), 'latin1').equals(bytes));
  below.onClose?.(base, null);
  inner.free();
  outer.free();
  context.close();
});

/** Whether bytes are still there when a program has tried to give their memory to another thread. Newer versions of Node throw. */
function stays(bytes: Uint8Array): boolean {
  const { port1, port2 } = new MessageChannel();
  try {
    port1.postMessage(null, [bytes.buffer as ArrayBuffer]);
  } catch {}
  port1.close();
  port2.close();
  return bytes.length > 0;
}

test('a program cannot transfer the memory that all connections share', async (t) => {
  const answers: boolean[] = [];
  const accepted = new Accepted({ onData: (_stream, bytes) => void answers.push(stays(bytes)) }).open();
  const { client } = accepted;
  accepted.receive(client.seal('small'));
  accepted.receive(Buffer.concat(Array.from({ length: 4 }, () => client.sealBytes(Buffer.alloc(MAX_BATCH_BYTES)))));
  t.same(answers, [true, true], 'nor that which takes its place for a larger chunk');
  t.ok(stays(client.ssl.output));
  accepted.stream.close();
  accepted.closeBelow();
  accepted.free();
});

test('a chain of certificates that does not fit into the output at once is sent in several writes', async (t) => {
  const identity = { ...ecdsa, cert: ecdsa.cert + authority.cert.repeat(200) };
  const accepted = new Accepted({}, undefined, undefined, identity);
  accepted.receive(accepted.client.hello());
  const flight = accepted.inner.take();
  t.ok(flight.length > OUTPUT_BYTES, `${flight.length} bytes`);
  accepted.receive(accepted.client.finish(flight));
  accepted.client.open(accepted.inner.take());
  accepted.receive(accepted.client.seal('hello'));
  t.same(accepted.events, ['hello']);
  accepted.stream.close();
  accepted.closeBelow();
  accepted.free();
});

test('close_notify during the handshake is no end: the server waits for FIN, or for the end of its patience', async (t) => {
  const accepted = new Accepted();
  accepted.receive(accepted.client.hello());
  accepted.receive(Buffer.of(21, 3, 3, 0, 2, 1, 0)); // not encrypted
  t.same(accepted.inner.ends, []);
  accepted.below.onEnd?.(accepted.inner);
  t.same(accepted.inner.ends, ['end']);
  accepted.closeBelow();
  t.match(accepted.events, [/^SSL_do_handshake EPROTO: .*before the handshake was complete/]);
  accepted.free();
});

test('a chunk that is larger than any before arrives whole', async (t) => {
  const accepted = new Accepted().open();
  const piece = 'x'.repeat(60_000);
  const records = [1, 2, 3].map(() => Buffer.from(accepted.client.seal(piece)));
  accepted.receive(Buffer.concat(records));
  t.same(accepted.events, ['180000 bytes']);
  accepted.stream.close();
  accepted.closeBelow();
  accepted.free();
});

test('a closing stream has no deadline and takes no turn, and it shows the process at the other end', async (t) => {
  let turns = 0;
  const accepted = new Accepted({ onTurn: () => void turns++ }).open();
  t.same(accepted.stream.peerCredentials, { pid: 3, uid: 4, gid: 5 });
  t.equal(accepted.stream.deadlineAt, 7);
  accepted.stream.awaitTurn();
  accepted.stream.close();
  t.equal(accepted.stream.deadlineAt, Number.POSITIVE_INFINITY);
  accepted.below.onTurn?.(accepted.inner);
  t.equal(turns, 0);
  accepted.closeBelow();
  t.same(accepted.events, ['closed']);
  accepted.free();
});

test('a client that is closed before it is connected begins no handshake', async (t) => {
  const context = createClientContext();
  const inner = new MemoryStream();
  let below: StreamHandler | null = null;
  const stream = connectTls(context, { onData: () => {} }, (handler) => {
    below = handler;
    return inner;
  });
  stream.close();
  (below as StreamHandler | null)?.onOpen?.(inner);
  t.equal(inner.take().length, 0);
  (below as StreamHandler | null)?.onClose?.(inner, null);
  openssl.SSL_CTX_free(context);
});

test('a function that cannot choose a certificate ends the handshake with internal_error', async (t) => {
  const serverNames = () => {
    throw new Error('no database');
  };
  const context = createTlsContext({ ...ecdsa, serverNames });
  const [inner, client] = [new MemoryStream(), new MemoryClient()];
  const errors: unknown[] = [];
  const below = acceptTls(context, () => ({ onData: () => {}, onClose: (_of, error) => void errors.push(error) }))(
    inner,
  );
  below.onData(inner, client.hello());
  t.same([...inner.take()], [21, 3, 3, 0, 2, 2, 80]);
  below.onClose?.(inner, null);
  t.match(errors, [{ code: 'EPROTO', message: /no certificate could be chosen: Error: no database/ }]);
  client.free();
  context.close();
});

test('a client offers the newest version unless it is told otherwise', async (t) => {
  const accepted = new Accepted().open();
  t.match(accepted.stream.tls, { version: 'TLSv1.3' });
  accepted.stream.close();
  accepted.closeBelow();
  accepted.free();
});
