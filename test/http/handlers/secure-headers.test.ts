/** secureHeaders: what is set, how each field is replaced or switched off, and the nonce. */

import { test } from 'tap';
import { CSP_NONCE, inject, Router, type SecureHeadersOptions, secureHeaders } from '../../../http/index.ts';

async function fieldsWith(options?: SecureHeadersOptions, url = 'https://localhost/'): Promise<Record<string, string>> {
  const site = new Router().use(secureHeaders(options)).get('/', (_request, response) => response.text('x'));
  const { headers } = await inject(site, { url });
  return Object.fromEntries([...headers].filter(([name]) => !/^content-(type|length)$/i.test(name)));
}

const POLICY = [
  "default-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'; img-src 'self' data:; ",
  "object-src 'none'; script-src 'self'; script-src-attr 'none'; style-src 'self'",
].join('');

test('the fields without options', async (t) => {
  t.same(await fieldsWith(), {
    'Strict-Transport-Security': 'max-age=31536000; includeSubDomains',
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'same-origin',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Origin-Agent-Cluster': '?1',
    'X-Frame-Options': 'SAMEORIGIN',
    'Content-Security-Policy': POLICY,
  });
});

test('over plain HTTP browsers are not told to use https, unless the program gives a value', async (t) => {
  const field = 'Strict-Transport-Security';
  const given = { strictTransportSecurity: 'max-age=1' };
  for (const more of [{}, { contentSecurityPolicy: false }, { nonce: true }] as const) {
    t.equal((await fieldsWith(more))[field], 'max-age=31536000; includeSubDomains');
    t.equal((await fieldsWith(more, '/'))[field], undefined);
    t.equal((await fieldsWith({ ...more, ...given }, '/'))[field], 'max-age=1');
  }
});

test('each can be switched off, replaced or added', async (t) => {
  const off: SecureHeadersOptions = {
    contentSecurityPolicy: false,
    strictTransportSecurity: false,
    xContentTypeOptions: false,
    referrerPolicy: false,
    crossOriginOpenerPolicy: false,
    crossOriginResourcePolicy: false,
    originAgentCluster: false,
    xFrameOptions: false,
  };
  t.same(await fieldsWith(off), {});
  t.same(await fieldsWith({ ...off, xFrameOptions: 'DENY', permissionsPolicy: 'camera=()' }), {
    'X-Frame-Options': 'DENY',
    'Permissions-Policy': 'camera=()',
  });
  t.match(await fieldsWith({ crossOriginEmbedderPolicy: 'require-corp' }), {
    'Cross-Origin-Embedder-Policy': 'require-corp',
  });
});

test('directives replace those by default, and null removes one', async (t) => {
  const contentSecurityPolicy = {
    'img-src': ['https://images.example'],
    'style-src': null,
    'upgrade-insecure-requests': [],
  };
  const policy = POLICY.replace("img-src 'self' data:", 'img-src https://images.example').replace(
    "; style-src 'self'",
    '; upgrade-insecure-requests',
  );
  t.match(await fieldsWith({ contentSecurityPolicy }), { 'Content-Security-Policy': policy });
  const reported = await fieldsWith({ reportOnly: true });
  t.equal(reported['Content-Security-Policy-Report-Only'], POLICY);
  t.notOk('Content-Security-Policy' in reported);
});

test('a nonce for each request, in the policy and for the page', async (t) => {
  const site = new Router()
    .use(secureHeaders({ nonce: true }))
    .get('/', ({ state }, response) => response.text(state.require(CSP_NONCE)))
    .get('/fails', () => {
      throw new Error('broken');
    });
  const seen = new Set<string>();
  for (let i = 0; i < 300; i++) {
    const answer = await inject(site, '/');
    const nonce = answer.text();
    t.match(nonce, /^[A-Za-z0-9+/]{22}==$/);
    const policy = POLICY.replace("script-src 'self'", `script-src 'self' 'nonce-${nonce}'`);
    t.equal(answer.headers.get('content-security-policy'), `${policy} 'nonce-${nonce}'`);
    seen.add(nonce);
  }
  t.equal(seen.size, 300, 'more than one pool of random bytes');
  const failed = await inject(site, { url: '/fails', onError: () => {} });
  t.same([failed.status, failed.headers.has('content-security-policy')], [500, true]);
  const first = {
    'default-src': null,
    'base-uri': null,
    'form-action': null,
    'frame-ancestors': null,
    'img-src': null,
  };
  const others = { 'object-src': null, 'script-src-attr': null, 'style-src': null };
  t.match(await fieldsWith({ contentSecurityPolicy: { ...first, ...others }, nonce: true }), {
    'Content-Security-Policy': /^script-src 'self' 'nonce-[^']*'$/,
  });
});

test('a handler may replace a field for its own answer', async (t) => {
  const site = new Router()
    .use(secureHeaders())
    .get('/', (_request, response) => response.header('X-Frame-Options', 'DENY').text('x'));
  t.equal((await inject(site, '/')).headers.get('x-frame-options'), 'DENY');
});

test('a field of an earlier middleware is replaced', async (t) => {
  const site = new Router()
    .use((_request, response, next) => {
      response.header('X-Frame-Options', 'DENY').header('X-Other', '1');
      return next();
    })
    .use(secureHeaders())
    .get('/', (_request, response) => response.text('x'));
  const { headers } = await inject(site, '/');
  t.same([headers.getAll('x-frame-options'), headers.get('x-other')], [['SAMEORIGIN'], '1']);
});

test('mistakes throw when the middleware is made', async (t) => {
  const wrong: [object, RegExp][] = [
    [{ xFrameOption: false }, /did you mean 'xFrameOptions'/],
    [{ xFrameOptions: 'a\r\nb' }, /must be the value of X-Frame-Options or false/],
    [{ xFrameOptions: '' }, /must be the value/],
    [{ referrerPolicy: true }, /must be the value/],
    [{ contentSecurityPolicy: false, nonce: true }, /needs a contentSecurityPolicy/],
    [
      { contentSecurityPolicy: { 'script-src': null, 'style-src': null }, nonce: true },
      /needs script-src or style-src/,
    ],
    [{ contentSecurityPolicy: { 'img-src': ['self'] } }, /needs quotes: "'self'"/],
    [{ contentSecurityPolicy: { 'img-src': ['nonce-abc'] } }, /needs quotes/],
    [{ contentSecurityPolicy: { 'img-src': ['a;b'] } }, /cannot be a source/],
    [{ contentSecurityPolicy: { 'img-src': ['a, b'] } }, /cannot be a source/],
    [{ contentSecurityPolicy: { 'img-src': ['\0'] } }, /cannot be a source/],
    [{ contentSecurityPolicy: { 'img-src': [''] } }, /cannot be a source/],
    [{ contentSecurityPolicy: { 'img-src': [7] } }, /cannot be a source/],
    [{ contentSecurityPolicy: { 'img-src': 'self' } }, /must be an array/],
    [{ contentSecurityPolicy: { imgSrc: [] } }, /not a directive/],
  ];
  for (const [options, message] of wrong) t.throws(() => secureHeaders(options as SecureHeadersOptions), { message });
});
