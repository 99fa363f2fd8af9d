/** MultipartReader: the parts of a body for a handler that reads some, none or half of them. */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { test } from 'tap';
import { MultipartParser } from '../../../http/content/multipart.ts';
import { defaultLimits, type MultipartLimits } from '../../../http/limits.ts';
import type { FormPart } from '../../../http/request/form-part.ts';
import { MultipartReader, type PartedBody } from '../../../http/request/multipart-reader.ts';

const part = (name: string, content: string) =>
  `--b\r\nContent-Disposition: form-data; name=${name}\r\nX-Part: ${name}\r\n\r\n${content}\r\n`;
const THREE = `${part('a', 'one')}${part('b', 'two')}${part('c', 'three')}--b--\r\n`;

/** A body that gives its pieces when it is asked, and notes what it was asked. */
class Body implements PartedBody {
  readonly #pieces: Buffer[];
  #error: Error | null = null;
  reads = 0;
  keptBytes = 0;
  cancels: (Error | undefined)[] = [];

  constructor(text: string, pieceBytes = 10) {
    const bytes = Buffer.from(text);
    this.#pieces = Array.from({ length: Math.ceil(bytes.length / pieceBytes) }, (_, i) =>
      bytes.subarray(i * pieceBytes, (i + 1) * pieceBytes),
    );
  }

  async read(): Promise<Buffer | null> {
    this.reads++;
    await nextTurn();
    if (this.#error !== null) throw this.#error;
    return this.#pieces.shift() ?? null;
  }

  keep(byteLength: number): void {
    this.keptBytes += byteLength;
  }

  cancel(reason?: Error): void {
    this.cancels.push(reason);
    this.#error ??= reason ?? new Error('cancelled');
  }
}

function read(text: string, pieceBytes = 10, limits: Partial<MultipartLimits> = {}) {
  const body = new Body(text, pieceBytes);
  const reader = new MultipartReader(body, new MultipartParser('b', { ...defaultLimits, ...limits }));
  return { body, parts: reader.parts() };
}

async function nextOf(parts: AsyncGenerator<FormPart>): Promise<FormPart> {
  return (await parts.next()).value as FormPart;
}

test('each part, whole or in pieces', async (t) => {
  const { body, parts } = read(THREE);
  const found: unknown[] = [];
  for await (const each of parts) {
    let content = '';
    if (each.name === 'b') for await (const piece of each) content += piece;
    else content = await each.text();
    found.push([each.name, content, each.headers.get('x-part'), each.filename, each.contentType]);
    t.equal(each.headers, each.headers, 'made once');
  }
  t.same(found, [
    ['a', 'one', 'a', undefined, undefined],
    ['b', 'two', 'b', undefined, undefined],
    ['c', 'three', 'c', undefined, undefined],
  ]);
  t.same(body.cancels, []);
  t.equal(await body.read(), null, 'the body was read to its end');
});

test('what is not read is skipped', async (t) => {
  const names: string[] = [];
  for await (const each of read(`${part('a', 'x'.repeat(500))}${part('b', '')}${part('c', 'y')}--b--`).parts)
    names.push(each.name);
  t.same(names, ['a', 'b', 'c']);
  const { parts } = read(`${part('a', 'x'.repeat(500))}${part('b', 'y')}--b--`);
  for await (const piece of await nextOf(parts)) {
    t.ok(piece.length > 0);
    break;
  }
  t.equal(await (await nextOf(parts)).text(), 'y', 'also the rest of a part that was read in half');
});

test('no more is read than asked for', async (t) => {
  const { body, parts } = read(`${part('a', 'x'.repeat(500))}--b--`);
  const first = await nextOf(parts);
  const { reads } = body;
  await nextTurn();
  t.equal(body.reads, reads);
  const pieces = first[Symbol.asyncIterator]();
  await pieces.next();
  t.ok(body.reads <= reads + 1, 'one piece');
});

test('a handler that leaves the loop cancels the body', async (t) => {
  const { body, parts } = read(THREE);
  for await (const each of parts) {
    t.equal(each.name, 'a');
    break;
  }
  t.same(body.cancels, [undefined]);
  const failing = read(THREE);
  const loop = async () => {
    for await (const _ of failing.parts) throw new Error('mine');
  };
  await t.rejects(loop(), { message: 'mine' });
  t.same(failing.body.cancels, [undefined]);
});

test('a part can be read once, and not when the next one has been asked for', async (t) => {
  const { parts } = read(THREE);
  const first = await nextOf(parts);
  t.equal(await first.text(), 'one');
  await t.rejects(first.bytes(), { message: 'the part has been read already; it can be read once' });
  await t.rejects(first[Symbol.asyncIterator]().next(), { message: /read already/ });
  const second = await nextOf(parts);
  const pieces = second[Symbol.asyncIterator]();
  await pieces.next();
  const third = await nextOf(parts);
  await t.rejects(pieces.next(), { message: 'the part is over: read it before you ask for the next one' });
  t.equal(await third.text(), 'three');
  t.ok((await parts.next()).done);
  await t.rejects(second.text(), { message: /read already/ });
});

test('a part whose promise was not awaited is complete before the next one comes', async (t) => {
  const { parts } = read(THREE);
  const texts: Promise<string>[] = [];
  for await (const each of parts) texts.push(each.text());
  t.same(await Promise.all(texts), ['one', 'two', 'three']);
});

test('after the last part no part can be read', async (t) => {
  const { parts } = read(THREE);
  const all: FormPart[] = [];
  for await (const each of parts) all.push(each);
  await t.rejects((all[2] as FormPart).text(), { message: /the part is over/ });
});

test('an error reaches the handler wherever it waits, and the body is cancelled with it', async (t) => {
  const cut = part('a', 'x'.repeat(30)).slice(0, -10);
  const whole = read(cut);
  const first = await nextOf(whole.parts);
  const refusal = { status: 400, message: /^the multipart body ends before its last boundary/ };
  await t.rejects(first.bytes(), refusal);
  t.match(whole.body.cancels, [refusal]);
  await t.rejects(whole.parts.next(), refusal, 'and again');
  t.ok((await whole.parts.next()).done, 'then it is over');

  const pieces = read(cut);
  const iterate = async () => {
    for await (const _ of await nextOf(pieces.parts));
  };
  await t.rejects(iterate(), refusal);
  const skipped = read(cut);
  await nextOf(skipped.parts);
  await t.rejects(skipped.parts.next(), refusal);
});

test('limits', async (t) => {
  const limited = read(THREE, 10, { partBytes: 3 });
  t.equal(await (await nextOf(limited.parts)).text(), 'one');
  await nextOf(limited.parts);
  const third = await nextOf(limited.parts);
  await t.rejects(third.bytes(), { status: 413, message: /^more than 3 bytes in the part/ });
  const skipped = read(THREE, 10, { partBytes: 3 });
  const all = async () => {
    for await (const _ of skipped.parts);
  };
  await t.rejects(all(), { name: 'HttpError', status: 413 }, 'they count for parts that nobody reads, too');
});

test('what is read whole is kept, what is read in pieces is not', async (t) => {
  const { body, parts } = read(
    `${part('a', 'x'.repeat(2_000))}${part('b', 'y'.repeat(2_000))}${part('c', '')}--b--`,
    100,
  );
  t.equal((await (await nextOf(parts)).bytes()).length, 2_000);
  const { keptBytes } = body;
  t.ok(keptBytes >= 2_000 && keptBytes <= 4_000, `${keptBytes}`);
  for await (const _ of await nextOf(parts));
  t.equal((await (await nextOf(parts)).bytes()).length, 0);
  t.equal(body.keptBytes, keptBytes);
});

test('text that is not UTF-8 is refused with its place in the body', async (t) => {
  const { parts } = read(THREE);
  t.equal(await (await nextOf(parts)).text(), 'one');
  const wrong = part('a', 'é').replace('é', '\ufffe');
  const bytes = Buffer.from(`${wrong}--b--`);
  bytes[bytes.indexOf(0xef)] = 0xff;
  const body: PartedBody = new Body('');
  const pieces = [bytes];
  const reader = new MultipartReader(
    { ...body, read: async () => pieces.shift() ?? null, cancel: () => {}, keep: () => {} },
    new MultipartParser('b', defaultLimits),
  );
  await t.rejects((await nextOf(reader.parts())).text(), {
    status: 400,
    message: `a field of the form is not valid UTF-8, at byte ${bytes.indexOf(0xff)}`,
  });
});
