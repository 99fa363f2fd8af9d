/** TrustedProxies: who the client is, and that nobody else decides it. */

import { test } from 'tap';
import { accessLog, Router, rateLimit, type ServeOptions, serve } from '../../../http/index.ts';
import { HeaderList } from '../../../http/request/header-list.ts';
import { type ForwardedField, TrustedProxies } from '../../../http/request/trusted-proxies.ts';
import { AddressRanges, canonicalAddress } from '../../../simplenet/index.ts';

type Said = readonly [address: string | null, scheme: string | null, host: string | null];

const ALL_X: readonly ForwardedField[] = ['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host'];
const peer = { address: '10.0.0.1', port: 1 };

function read(lines: readonly string[], fields: readonly ForwardedField[], from = peer): Said {
  const ranges = new AddressRanges(['10.0.0.0/8', '2001:db8:1::/48']);
  const proxies = new TrustedProxies(ranges, fields, canonicalAddress);
  const { address, scheme, host } = proxies.clientOf(new HeaderList(`${lines.join('\r\n')}\r\n\r\n`, 0), from);
  return [address, scheme, host];
}

test('the first address from the right that is not trusted is the client', async (t) => {
  const cases: readonly (readonly [value: string, client: string | null])[] = [
    ['192.0.2.1', '192.0.2.1'],
    ['6.6.6.6, 192.0.2.1', '192.0.2.1'],
    ['6.6.6.6, 192.0.2.1, 10.0.0.2', '192.0.2.1'],
    ['10.0.0.9, 192.0.2.1, [2001:db8:1::5]:80', '192.0.2.1'],
    ['10.0.0.3, 10.0.0.2', '10.0.0.3'],
    ['192.0.2.1, unknown, 10.0.0.2', '10.0.0.2'],
    ['192.0.2.1, _hidden', null],
    ['192.0.2.1, 300.1.1.1', null],
    ['192.0.2.1, <script>', null],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:DB8::0:1', '2001:db8::1'],
    ['192.0.2.1:4711', '192.0.2.1'],
    ['', null],
  ];
  for (const [value, client] of cases) {
    t.same(read([`X-Forwarded-For: ${value}`], ALL_X), [client, null, null], value);
    const quoted = value.split(', ').map((each) => (each === '' ? '' : `for="${each}"`));
    t.same(read([`Forwarded: ${quoted.join(',')}`], ['forwarded']), [client, null, null], value);
  }
  t.same(
    read(['X-Forwarded-For: 6.6.6.6', 'x-forwarded-for: 192.0.2.1'], ALL_X),
    ['192.0.2.1', null, null],
    'two lines',
  );
});

test('scheme and host come from the proxy that has seen the client', async (t) => {
  const two = ['X-Forwarded-For: 192.0.2.1, 10.0.0.2'];
  t.same(read([...two, 'X-Forwarded-Proto: http, https, http'], ALL_X), ['192.0.2.1', 'https', null]);
  t.same(read([...two, 'X-Forwarded-Proto: https'], ALL_X), ['192.0.2.1', 'https', null], 'replaced by each proxy');
  t.same(read(['X-Forwarded-Proto: http, HTTPS'], ALL_X), [null, 'https', null], 'without an address');
  t.same(read([...two, 'X-Forwarded-Host: evil, a.example:81, b'], ALL_X), ['192.0.2.1', null, 'a.example:81']);
  t.same(read([...two, 'X-Forwarded-Proto: javascript', 'X-Forwarded-Host: a b'], ALL_X), ['192.0.2.1', null, null]);
  const value = 'for=6.6.6.6;proto=http, for=192.0.2.1;proto=https;host=a.example, for=10.0.0.2;proto=http;host=b';
  t.same(read([`Forwarded: ${value}`], ['forwarded']), ['192.0.2.1', 'https', 'a.example']);
  t.same(read(['X: y'], ['forwarded']), [null, null, null]);
  t.same(read(['Forwarded: for=unknown;proto=https'], ['forwarded']), [null, 'https', null]);
});

test('fields that the program has not named do not count, and nothing from anybody else does', async (t) => {
  const lines = [
    'X-Forwarded-For: 192.0.2.1',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Host: a',
    'Forwarded: for=192.0.2.2;host=b',
  ];
  t.same(read(lines, ['x-forwarded-for']), ['192.0.2.1', null, null]);
  t.same(read(lines, ['x-forwarded-proto']), [null, 'https', null]);
  t.same(read(lines, ['forwarded']), ['192.0.2.2', null, 'b']);
  t.same(read(lines, ALL_X, { address: '11.0.0.1', port: 1 }), [null, null, null]);
});

const asking = (fields: Record<string, string>) => ({ headers: fields });

async function withSite(options: ServeOptions, run: (url: string) => Promise<void>): Promise<void> {
  const site = new Router().use('/limited', rateLimit({ limit: 1, windowMs: 60_000 }));
  site.get('/limited', (_request, response) => response.text('ok'));
  site.get('/', ({ clientAddress, remoteAddress, scheme, authority, url }, response) =>
    response.json([clientAddress, remoteAddress, scheme, authority, url]),
  );
  const server = serve(site, options);
  try {
    await run(server.url);
  } finally {
    await server.close();
  }
}

test('a server believes whom it is told to believe', async (t) => {
  const says = {
    'X-Forwarded-For': '6.6.6.6, 192.0.2.1',
    'X-Forwarded-Proto': 'https',
    'X-Forwarded-Host': 'a.example',
  };
  const plain = (url: string) => ['127.0.0.1', '127.0.0.1', 'http', new URL(url).host, `${url}/`];
  for (const trustProxy of [undefined, '10.0.0.0/8', ['192.0.2.0/24', 'private']]) {
    await withSite({ trustProxy }, async (url) => {
      t.same(await (await fetch(url, asking(says))).json(), plain(url));
    });
  }
  for (const trustProxy of ['loopback', ['127.0.0.1'], { from: '127.0.0.0/8' }]) {
    await withSite({ trustProxy }, async (url) => {
      const { host } = new URL(url);
      t.same(await (await fetch(url, asking(says))).json(), [
        '192.0.2.1',
        '127.0.0.1',
        'https',
        host,
        `https://${host}/`,
      ]);
      t.same(await (await fetch(url)).json(), plain(url));
    });
  }
  await withSite({ trustProxy: { from: ['loopback'], fields: ALL_X } }, async (url) => {
    const seen = await (await fetch(url, asking(says))).json();
    t.same(seen, ['192.0.2.1', '127.0.0.1', 'https', 'a.example', 'https://a.example/']);
  });
});

test('rateLimit and accessLog stand on it', async (t) => {
  let log = '';
  const onDone = accessLog({
    format: 'common',
    to: (lines) => {
      log += lines;
    },
  });
  await withSite({ trustProxy: 'loopback', onDone }, async (url) => {
    const from = async (client: string) =>
      (await fetch(`${url}/limited`, asking({ 'X-Forwarded-For': client }))).status;
    t.same([await from('192.0.2.1'), await from('192.0.2.1'), await from('192.0.2.2')], [200, 429, 200]);
  });
  onDone.close();
  t.same(log.match(/^\S+/gm), ['192.0.2.1', '192.0.2.1', '192.0.2.2']);
});

test('options that make no sense are refused before anything listens', async (t) => {
  const cases: readonly (readonly [trustProxy: unknown, message: RegExp])[] = [
    [true, /trustProxy must be an object/],
    [1, /trustProxy must be an object/],
    [null, /trustProxy must be an object/],
    [[1], /addresses such as/],
    [{}, /addresses such as .*undefined/],
    [{ from: 'loopback', header: [] }, /unknown option 'header'/],
    [{ from: 'loopback', fields: 'forwarded' }, /must be an array/],
    [{ from: 'loopback', fields: ['x-forwarded-fro'] }, /did you mean 'x-forwarded-for'/],
    [{ from: 'loopback', fields: ['forwarded', 'x-forwarded-for'] }, /stands alone/],
    ['10.0.0.1/8', /inside a range/],
    [[], /is empty/],
  ];
  for (const [trustProxy, message] of cases) {
    t.throws(() => serve(new Router(), { trustProxy } as ServeOptions), { message }, String(message));
  }
});
