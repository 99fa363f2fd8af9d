/** FastResponse beside the Response of the platform: the same class, the same answers, and its body in one piece. */

import { test } from 'tap';
import { takeKeptBody } from '../../../http/handlers/fast-response.ts';
import { fastResponse, inject, useFastResponse } from '../../../http/index.ts';

const Native = Response;
const Fast = fastResponse();

type Args = ConstructorParameters<typeof Response>;

const given: [title: string, args: Args][] = [
  ['nothing', []],
  ['null', [null]],
  ['a text', ['h\xe4llo']],
  ['an empty text', ['']],
  ['a text with a status', ['x', { status: 404, statusText: 'Nope' }]],
  ['a text with headers', ['x', { headers: { 'X-A': 'b' } }]],
  ['a text with a type', ['x', { headers: [['Content-Type', 'a/b']] }]],
  ['bytes', [Buffer.from('bytes')]],
  ['an ArrayBuffer', [new Uint8Array([1, 2]).buffer]],
  ['a DataView', [new DataView(new Uint8Array([1, 2, 3]).buffer, 1)]],
  ['a form', [new URLSearchParams({ a: '1' })]],
  ['a blob', [new Blob(['x'], { type: 'a/b' })]],
  ['a stream', [new Blob(['x']).stream()]],
  ['204', [null, { status: 204 }]],
];

for (const [title, args] of given) {
  test(`made of ${title}`, async (t) => {
    const [ours, theirs] =
      title === 'a stream'
        ? [new Fast(new Blob(['x']).stream()), new Native(...args)]
        : [new Fast(...args), new Native(...args)];
    t.ok(ours instanceof Native);
    t.same(
      [ours.status, ours.statusText, ours.ok, ours.type],
      [theirs.status, theirs.statusText, theirs.ok, theirs.type],
    );
    t.same([...ours.headers], [...theirs.headers]);
    t.equal(ours.body === null, theirs.body === null);
    t.equal(ours.bodyUsed, false);
    t.same(await ours.clone().text(), await theirs.clone().text());
    t.same(new Uint8Array(await ours.arrayBuffer()), new Uint8Array(await theirs.arrayBuffer()));
    t.equal(ours.bodyUsed, theirs.bodyUsed);
  });
}

test('each way to read it', async (t) => {
  t.equal(await new Fast('x').text(), 'x');
  t.equal(await new Fast(null).text(), '');
  t.same(await new Fast('{"a":1}').json(), { a: 1 });
  t.same(await new Fast(new Blob(['{"a":1}'])).json(), { a: 1 });
  t.equal(await (await new Fast('x').blob()).text(), 'x');
  t.equal((await new Fast(new Blob(['x'])).blob()).size, 1);
  const bytes = await (new Fast('x') as Response & { bytes(): Promise<Uint8Array> }).bytes();
  t.same([...bytes], [120]);
  const form = { headers: { 'Content-Type': 'application/x-www-form-urlencoded' } };
  t.equal((await new Fast('a=1', form).formData()).get('a'), '1');
  t.equal((await new Fast(new URLSearchParams('a=1')).formData()).get('a'), '1');
});

test('it is read once', async (t) => {
  const response = new Fast('x');
  const copy = response.clone();
  await response.text();
  t.equal(response.bodyUsed, true);
  await t.rejects(response.text(), TypeError);
  t.throws(() => response.clone(), TypeError);
  t.equal(await copy.text(), 'x');
  const locked = new Fast('x');
  locked.body?.getReader();
  t.throws(() => locked.clone(), TypeError);
});

test('mistakes throw what the platform throws', async (t) => {
  t.throws(() => new Fast('x', { status: 204 }), TypeError);
  t.throws(() => new Fast('x', { status: 99 }), RangeError);
  t.throws(() => new Fast('x', { headers: { 'a b': 'c' } }), TypeError);
});

test('its static functions', async (t) => {
  for (const init of [undefined, { status: 201 }, { headers: { a: 'b' } }, { headers: { 'content-type': 'a/b' } }]) {
    const [ours, theirs] = [Fast.json({ a: 1 }, init), Native.json({ a: 1 }, init)];
    t.same(
      [ours.status, [...ours.headers], await ours.text()],
      [theirs.status, [...theirs.headers], await theirs.text()],
    );
  }
  t.throws(() => Fast.json(undefined, {}), TypeError);
  t.equal(Fast.redirect('http://a/', 302).status, 302);
  t.equal(Fast.error().type, 'error');
});

test('which objects are instances of it', async (t) => {
  class Own extends Fast {}
  t.ok(new Native('x') instanceof Fast, 'a Response of the platform, such as that of fetch');
  t.ok(new Own('x') instanceof Own);
  t.notOk(new Native('x') instanceof Own);
  t.notOk(({} as object) instanceof Fast);
  t.equal(Fast.name, 'Response');
  t.equal(fastResponse(), Fast, 'there is one class');
});

test('it keeps a copy of bytes, because an app may use its buffer again', async (t) => {
  const bytes = Buffer.from('abc');
  const response = new Fast(bytes);
  bytes.fill('x');
  t.equal(await response.text(), 'abc');
});

test('what it keeps can be taken once, and not when the app has begun to read it', async (t) => {
  const response = new Fast('x');
  t.same(takeKeptBody(response), { body: 'x', onlyContentType: 'text/plain;charset=UTF-8' });
  t.equal(response.bodyUsed, true);
  t.throws(() => takeKeptBody(response), TypeError);
  await t.rejects(response.text(), TypeError);
  t.same(takeKeptBody(new Fast('x', { headers: { a: 'b' } })), { body: 'x', onlyContentType: null });
  t.equal(takeKeptBody(new Native('x')), null);
  t.equal(takeKeptBody(new Fast(new Blob(['x']))), null);
  const read = new Fast('x');
  t.ok(read.body);
  t.equal(takeKeptBody(read), null);
});

test('as the global Response, until that is undone', async (t) => {
  const undo = useFastResponse();
  t.teardown(undo);
  t.equal(Response, Fast);
  const answer = await inject({ fetch: () => Response.json({ a: 1 }) });
  t.same([answer.headers.get('content-length'), answer.json()], ['7', { a: 1 }]);
  undo();
  t.equal(Response, Native);
});
