/** CookieSigner: what it signs it verifies, and nothing else. */

import { createHmac } from 'node:crypto';
import { test } from 'tap';
import { CookieSigner, inject, Router } from '../../../http/index.ts';

const OLD = 'an old key of at least 32 bytes.';
const NEW = 'a new key that has 32 bytes, too.';

const values = ['', 'ada', 'a.b.c', '{"user":"ada"}', 'ä=;, \u{1f600}', 'x'.repeat(3_000)];

test('what was signed is verified, for that name', async (t) => {
  const signer = new CookieSigner([NEW]);
  for (const value of values) {
    const signed = signer.sign('user', value);
    t.equal(signed.length, value.length + 44);
    t.equal(signer.verify('user', signed), value);
    for (const name of ['theme', 'use', 'user2', 'User', '']) t.equal(signer.verify(name, signed), null, name);
  }
  const hmac = createHmac('sha256', NEW).update('user=ada').digest('base64url');
  t.equal(signer.sign('user', 'ada'), `ada.${hmac}`, 'the algorithm that the page names');
  t.equal(signer.verify('user', undefined), null);
});

test('a name and a value cannot be cut in another place', async (t) => {
  const signer = new CookieSigner([NEW]);
  const signature = signer.sign('a', 'b=c').slice(-43);
  t.equal(signer.verify('a=b', `c.${signature}`), 'c', 'such a name cannot be signed:');
  t.throws(() => signer.sign('a=b', 'c'), /not a valid cookie name/);
});

test('each changed character, each truncation and each addition is refused', async (t) => {
  const signer = new CookieSigner([NEW]);
  const signed = signer.sign('user', 'ada');
  for (let i = 0; i < signed.length; i++) {
    for (const other of ['A', 'b', '0', '-', '_', '.', '=', 'ä', '\0']) {
      if (signed[i] === other) continue;
      t.equal(signer.verify('user', signed.slice(0, i) + other + signed.slice(i + 1)), null);
    }
    t.equal(signer.verify('user', signed.slice(0, i)), null);
    t.equal(signer.verify('user', signed.slice(i + 1)), null);
  }
  for (const more of ['=', 'A', '.', ' ']) {
    t.equal(signer.verify('user', signed + more), null);
    t.equal(signer.verify('user', more + signed), null);
  }
  t.equal(signer.verify('user', `${'\u00e4'.repeat(43)}`), null);
  t.equal(signer.verify('user', `a.${'\u00e4'.repeat(43)}`), null);
});

test('the last character of a signature has one form alone', async (t) => {
  const signer = new CookieSigner([NEW]);
  const signed = signer.sign('user', 'ada');
  const last = signed.at(-1) as string;
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const same = [...alphabet].filter((each) => alphabet.indexOf(each) >> 2 === alphabet.indexOf(last) >> 2);
  t.equal(same.length, 4, 'four characters stand for the same bits');
  t.same(
    same.map((each) => signer.verify('user', signed.slice(0, -1) + each)),
    same.map((each) => (each === last ? 'ada' : null)),
  );
});

test('the first key signs, and all verify', async (t) => {
  const before = new CookieSigner([OLD]);
  const during = new CookieSigner([NEW, Buffer.from(OLD)]);
  const after = new CookieSigner([NEW]);
  const old = before.sign('user', 'ada');
  const renewed = during.sign('user', 'ada');
  t.same(
    [before, during, after].map((signer) => signer.verify('user', old)),
    ['ada', 'ada', null],
  );
  t.same(
    [before, during, after].map((signer) => signer.verify('user', renewed)),
    [null, 'ada', 'ada'],
  );
});

test('a key of 32 bytes, and one less; 16 keys, and one more', async (t) => {
  const key = (length: number) => Buffer.alloc(length, 1);
  t.ok(new CookieSigner([key(32)]));
  t.ok(new CookieSigner(['\u00e4'.repeat(16)]));
  t.throws(() => new CookieSigner([key(31)]), { name: 'RangeError', message: /at least 32 bytes, not 31/ });
  t.ok(new CookieSigner(Array(16).fill(key(32))));
  for (const keys of [Array(17).fill(key(32)), [], NEW]) {
    t.throws(() => new CookieSigner(keys as string[]), /1 to 16 keys/);
  }
  t.throws(() => new CookieSigner([7] as unknown as string[]), /must be a string or bytes/);
  t.throws(() => new CookieSigner([NEW]).sign('user', 7 as unknown as string), /must be a string/);
});

test('through Set-Cookie and Cookie', async (t) => {
  const signer = new CookieSigner([NEW]);
  const site = new Router()
    .get('/in', ({ query }, response) => response.cookie('v', signer.sign('v', query.get('v') as string)).empty())
    .get('/out', ({ cookies }, response) => response.json(signer.verify('v', cookies.get('v'))));
  for (const value of values) {
    const answer = await inject(site, `/in?v=${encodeURIComponent(value)}`);
    const [cookie = ''] = (answer.headers.get('set-cookie') as string).split(';');
    t.equal((await inject(site, { url: '/out', headers: { Cookie: cookie } })).json(), value);
  }
});
