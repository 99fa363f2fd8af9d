/** cors: which origins are allowed, what a preflight gets, and what caches and error answers get. */

import { type Test, test } from 'tap';
import { type AllowedOrigin, type CorsOptions, cors, HttpError, inject, Router } from '../../../http/index.ts';

const SHOP = 'https://shop.example';

function siteOf(options: CorsOptions): Router {
  return new Router()
    .use(cors(options))
    .get('/', (_request, response) => response.text('ok'))
    .post('/', () => {
      throw new HttpError(422, 'no');
    });
}

async function ask(options: CorsOptions, headers: Record<string, string> = {}, method = 'GET', url = '/') {
  const answer = await inject(siteOf(options), { method, url, headers });
  const fields: Record<string, string> = {};
  for (const [name, value] of answer.headers) {
    if (/^(access-control|vary)/i.test(name)) fields[name.toLowerCase().replace('access-control-', '')] = value;
  }
  return { status: answer.status, ...fields };
}

async function allows(t: Test, origin: AllowedOrigin, given: string, isAllowed: boolean): Promise<void> {
  const wanted = isAllowed ? { status: 200, vary: 'Origin', 'allow-origin': given } : { status: 200, vary: 'Origin' };
  t.same(await ask({ origin }, { Origin: given }), wanted, `${String(origin)} ${given}`);
}

test('an origin by name, in a list, by a pattern and by a function', async (t) => {
  await allows(t, SHOP, SHOP, true);
  await allows(t, SHOP, 'https://shop.example:444', false);
  await allows(t, SHOP, 'http://shop.example', false);
  await allows(t, [SHOP, 'http://localhost:5173'], 'http://localhost:5173', true);
  await allows(t, [], SHOP, false);
  await allows(t, ['chrome-extension://abc'], 'chrome-extension://abc', true);
  await allows(t, (origin, request) => origin === SHOP && request.path === '/', SHOP, true);
  await allows(t, () => false, SHOP, false);
  for (const flags of ['', 'g', 'y', 'm']) {
    const pattern = new RegExp('https://(a|ab)\\.example', flags);
    for (let i = 0; i < 2; i++) {
      await allows(t, pattern, 'https://ab.example', true);
      await allows(t, pattern, 'https://ab.example.evil.example', false);
      await allows(t, pattern, 'xhttps://ab.example', false);
    }
  }
  await allows(t, /https:\/\/shop\.example/i, 'https://SHOP.example', true);
});

test('any origin: without Vary and without credentials', async (t) => {
  t.same(await ask({ origin: '*' }, { Origin: SHOP }), { status: 200, 'allow-origin': '*' });
  t.same(await ask({ origin: '*' }, { Origin: 'null' }), { status: 200, 'allow-origin': '*' });
  t.same(await ask({ origin: '*' }), { status: 200 });
  t.throws(() => cors({ origin: '*', credentials: true }), { name: 'RangeError', message: /by name/ });
});

test('a request without Origin, or without a handler, says that it depends on Origin', async (t) => {
  t.same(await ask({ origin: SHOP }), { status: 200, vary: 'Origin' });
  const headers = { Origin: SHOP };
  t.same(await ask({ origin: SHOP }, headers, 'GET', '/none'), { status: 404, vary: 'Origin', 'allow-origin': SHOP });
});

test('a Response of Fetch with a Vary of its own keeps that of cors', async (t) => {
  const router = new Router().use(cors({ origin: SHOP }));
  router.get('/', () => new Response('x', { headers: { Vary: 'Accept, Origin' } }));
  t.equal((await inject(router, '/')).headers.get('vary'), 'Origin, Accept');
});

test('error answers have the fields', async (t) => {
  const options = { origin: SHOP, credentials: true, exposedHeaders: ['X-Request-Id', 'ETag'] };
  const fields = { vary: 'Origin', 'allow-origin': SHOP, 'allow-credentials': 'true' };
  const exposed = { 'expose-headers': 'X-Request-Id, ETag' };
  t.same(await ask(options, { Origin: SHOP }, 'POST'), { status: 422, ...fields, ...exposed });
  t.same(await ask(options, { Origin: SHOP }, 'DELETE'), { status: 405, ...fields, ...exposed });
});

test('a preflight is 204, and no handler runs', async (t) => {
  const headers = { Origin: SHOP, 'Access-Control-Request-Method': 'PUT' };
  const vary = 'Origin, Access-Control-Request-Headers';
  const byDefault = { 'allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE', 'max-age': '600' };
  t.same(await ask({ origin: SHOP }, headers, 'OPTIONS'), { status: 204, vary, 'allow-origin': SHOP, ...byDefault });
  t.same(await ask({ origin: SHOP }, { ...headers, Origin: 'https://evil.example' }, 'OPTIONS'), { status: 204, vary });

  const asked = { ...headers, 'Access-Control-Request-Headers': 'Content-Type, x-a' };
  t.match(await ask({ origin: SHOP }, asked, 'OPTIONS'), { 'allow-headers': 'content-type, x-a' });
  const broken = { ...headers, 'Access-Control-Request-Headers': 'x-a, b c' };
  t.notOk('allow-headers' in (await ask({ origin: SHOP }, broken, 'OPTIONS')), 'not a list of names');

  const options = {
    methods: ['QUERY'],
    allowedHeaders: ['X-B'],
    exposedHeaders: ['X-C'],
    maxAge: 0,
    credentials: true,
  };
  t.same(await ask({ origin: SHOP, ...options }, asked, 'OPTIONS'), {
    status: 204,
    vary: 'Origin',
    'allow-origin': SHOP,
    'allow-credentials': 'true',
    'allow-methods': 'QUERY',
    'allow-headers': 'X-B',
    'max-age': '0',
  });
  t.notOk('allow-headers' in (await ask({ origin: SHOP, allowedHeaders: [] }, asked, 'OPTIONS')));
});

test('OPTIONS that is not a preflight goes on to the router', async (t) => {
  const answer = await inject(siteOf({ origin: SHOP }), { method: 'OPTIONS', headers: { Origin: SHOP } });
  t.equal(answer.headers.get('allow'), 'GET, HEAD, OPTIONS, POST');
  const bare = await inject(siteOf({ origin: SHOP }), {
    method: 'OPTIONS',
    headers: { 'Access-Control-Request-Method': 'GET' },
  });
  t.equal(bare.headers.get('allow'), 'GET, HEAD, OPTIONS, POST');
});

test('mistakes throw when the middleware is made', async (t) => {
  const wrong: [object, RegExp][] = [
    [{ origin: 'null' }, /any site can send it/],
    [{ origin: 'https://shop.example/' }, /not an origin/],
    [{ origin: 'https://shop.example:443' }, /not an origin/],
    [{ origin: 'https://Shop.example' }, /not an origin/],
    [{ origin: 'http://a:99999' }, /not an origin/],
    [{ origin: 'shop.example' }, /not an origin/],
    [{ origin: [7] }, /must be a string/],
    [{}, /must be a string/],
    [{ origin: '*', methods: 'GET' }, /must be an array/],
    [{ origin: '*', methods: ['G T'] }, /cannot be in methods/],
    [{ origin: '*', exposedHeaders: [7] }, /cannot be in exposedHeaders/],
    [{ origin: '*', allowedHeaders: ['a\r\nb'] }, /cannot be in allowedHeaders/],
    [{ origin: '*', maxAge: -1 }, /whole number of seconds/],
    [{ origin: '*', maxAge: 1.5 }, /whole number of seconds/],
    [{ origins: '*' }, /did you mean 'origin'/],
  ];
  for (const [options, message] of wrong) t.throws(() => cors(options as CorsOptions), { message });
});

test('a function that returns a promise does not allow every origin', async (t) => {
  const origin = (async () => false) as unknown as (origin: string) => boolean;
  let reported: unknown;
  const onError = (error: unknown) => {
    reported = error;
  };
  const answer = await inject(siteOf({ origin }), { headers: { Origin: SHOP }, onError });
  t.same([answer.status, answer.headers.get('access-control-allow-origin')], [500, null]);
  t.match(reported, { name: 'TypeError', message: /true or false/ });
});
