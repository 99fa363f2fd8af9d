/** etag: the tag of a whole answer, and 304 for a client that has it. */

import { test } from 'tap';
import { isSameWeak, parseEntityTags } from '../../../http/content/validators.ts';
import { type EtagOptions, etag, inject, Router } from '../../../http/index.ts';

const site = new Router()
  .use(etag())
  .get('/', (_request, response) => response.header('Cache-Control', 'no-cache').json({ euro: 42 }))
  .get('/own', (_request, response) => response.header('ETag', '"v7"').text('seven'))
  .get('/stream', async (_request, response) => {
    await response.write('piece');
    response.end();
  })
  .get('/created', (_request, response) => response.status(201).text('x'))
  .post('/', (_request, response) => response.text('x'));

const tagOf = async (url: string) => (await inject(site, url)).headers.get('etag');

test('GET and HEAD have the same strong tag, and another body has another', async (t) => {
  const tag = await tagOf('/');
  t.match(tag, /^"[\w-]{22}"$/);
  t.equal((await inject(site, { method: 'HEAD', url: '/' })).headers.get('etag'), tag);
  const other = new Router().use(etag()).get('/', (_request, response) => response.json({ euro: 43 }));
  t.not((await inject(other, '/')).headers.get('etag'), tag);
});

test('If-None-Match with that tag is 304 without what describes the body', async (t) => {
  const tag = (await tagOf('/')) as string;
  for (const known of [tag, `W/${tag}`, `"a", ${tag}`, '*', ` , ${tag} ,, "b"`]) {
    for (const method of ['GET', 'HEAD']) {
      const answer = await inject(site, { method, url: '/', headers: { 'If-None-Match': known } });
      t.same([answer.status, answer.text(), answer.headers.get('etag')], [304, '', tag], `${method} ${known}`);
      t.equal(answer.headers.get('cache-control'), 'no-cache');
      t.same([answer.headers.get('content-type'), answer.headers.get('content-length')], [null, null]);
    }
  }
  for (const known of ['"other"', tag.slice(1), `${tag} "b"`, '', `"a" x, ${tag}`]) {
    t.equal((await inject(site, { url: '/', headers: { 'If-None-Match': known } })).status, 200, known);
  }
});

test('lists of entity tags', async (t) => {
  t.same(parseEntityTags('"a", W/"b,c",, "" , '), ['"a"', 'W/"b,c"', '""']);
  t.same([parseEntityTags(''), parseEntityTags('a'), parseEntityTags('"a" b')], [[], null, null]);
  t.same([isSameWeak('"a"', 'W/"a"'), isSameWeak('W/"a"', 'W/"b"')], [true, false]);
});

test('the tag of the handler counts', async (t) => {
  t.equal(await tagOf('/own'), '"v7"');
  t.equal((await inject(site, { url: '/own', headers: { 'If-None-Match': '"v7"' } })).status, 304);
});

test('no tag for pieces, for errors, for 201 and for other methods', async (t) => {
  for (const url of ['/stream', '/none', '/created']) {
    const answer = await inject(site, { url, headers: { 'If-None-Match': '*' } });
    t.equal(answer.headers.get('etag'), null, url);
    t.not(answer.status, 304);
  }
  t.equal((await inject(site, { method: 'POST', url: '/' })).headers.get('etag'), null);
});

test('a weak tag', async (t) => {
  const weak = new Router().use(etag({ weak: true })).get('/', (_request, response) => response.text('x'));
  const tag = (await inject(weak, '/')).headers.get('etag') as string;
  t.match(tag, /^W\/"[\w-]{22}"$/);
  t.equal((await inject(weak, { url: '/', headers: { 'If-None-Match': tag.slice(2) } })).status, 304);
});

test('maxBytes, and one more', async (t) => {
  const small = new Router()
    .use(etag({ maxBytes: 4 }))
    .get('/:text', ({ params }, response) => response.text(params.text));
  t.ok((await inject(small, '/1234')).headers.get('etag'));
  t.equal((await inject(small, '/12345')).headers.get('etag'), null);
  const usual = (length: number) =>
    inject(
      new Router().use(etag()).get('/', (_request, response) => response.bytes(Buffer.alloc(length))),
      '/',
    );
  t.ok((await usual(1_048_576)).headers.get('etag'));
  t.equal((await usual(1_048_577)).headers.get('etag'), null);
  for (const maxBytes of [0, -1, Number.NaN, '1']) t.throws(() => etag({ maxBytes } as EtagOptions), /above 0/);
  t.throws(() => etag({ week: true } as EtagOptions), /did you mean 'weak'/);
});
