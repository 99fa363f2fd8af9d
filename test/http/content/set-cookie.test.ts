/** Set-Cookie: the exact text, each rule that a browser would enforce in silence, and a library that reads back what was written. */

import { parseSetCookie } from 'cookie';
import fc from 'fast-check';
import { test } from 'tap';
import { type CookieOptions, isSameCookie, setCookie } from '../../../http/content/set-cookie.ts';

const SAFE = 'Path=/; HttpOnly; SameSite=Lax';

const written: [title: string, name: string, value: string, options: CookieOptions, expected: string][] = [
  ['the defaults are the safe ones', 'a', 'b', {}, `a=b; ${SAFE}`],
  ['no value', 'a', '', { maxAge: 0 }, `a=; Max-Age=0; ${SAFE}`],
  [
    'what a cookie may contain stays as it is',
    'a',
    "!#$&'()*+-./0:<=>?@A[]^_`a{|}~",
    {},
    `a=!#$&'()*+-./0:<=>?@A[]^_\`a{|}~; ${SAFE}`,
  ],
  [
    'what it may not contain is encoded',
    'a',
    ' ",;\\%\r\n\0ä😀',
    {},
    `a=%20%22%2C%3B%5C%25%0D%0A%00%C3%A4%F0%9F%98%80; ${SAFE}`,
  ],
  [
    'all attributes',
    'a',
    'b',
    {
      maxAge: 60,
      expires: new Date(0),
      domain: 'x.example',
      path: '/p',
      secure: true,
      httpOnly: false,
      sameSite: 'strict',
      partitioned: true,
    },
    'a=b; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Domain=x.example; Path=/p; Secure; SameSite=Strict; Partitioned',
  ],
  ['sameSite none is secure', 'a', 'b', { sameSite: 'none' }, 'a=b; Path=/; Secure; HttpOnly; SameSite=None'],
  [
    'partitioned is secure',
    'a',
    'b',
    { partitioned: true },
    'a=b; Path=/; Secure; HttpOnly; SameSite=Lax; Partitioned',
  ],
  ['__Host- is secure', '__Host-a', 'b', {}, '__Host-a=b; Path=/; Secure; HttpOnly; SameSite=Lax'],
  [
    '__Secure- is secure, and may have a domain',
    '__Secure-a',
    'b',
    { domain: 'x.example', path: '/p' },
    '__Secure-a=b; Domain=x.example; Path=/p; Secure; HttpOnly; SameSite=Lax',
  ],
  ['a negative age', 'a', 'b', { maxAge: -1 }, `a=b; Max-Age=-1; ${SAFE}`],
  [
    'the first and the last year',
    'a',
    'b',
    { expires: new Date(Date.UTC(9999, 11, 31, 23, 59, 59)) },
    `a=b; Expires=Fri, 31 Dec 9999 23:59:59 GMT; ${SAFE}`,
  ],
];

for (const [title, name, value, options, expected] of written) {
  test(`a cookie: ${title}`, async (t) => t.equal(setCookie(name, value, options), expected));
}

const refused: [title: string, name: string, value: unknown, options: object, message: RegExp][] = [
  ...['', ' a', 'a b', 'a=b', 'a;b', 'ä', 'a\r\n'].map((name): (typeof refused)[number] => [
    `the name ${JSON.stringify(name)}`,
    name,
    'b',
    {},
    /not a valid cookie name/,
  ]),
  ['a value that is not text', 'a', 5, {}, /must be a string, not number/],
  ['half a character', 'a', '\ud800', {}, /has half a character/],
  ['__Host- without Secure', '__Host-a', 'b', { secure: false }, /must be secure: its name/],
  ['__Host- with a domain', '__Host-a', 'b', { domain: 'x.example' }, /must not have a domain/],
  ['__Host- with another path', '__Host-a', 'b', { path: '/p' }, /must have the path '\/'/],
  ['__HOST- with another path', '__HOST-a', 'b', { path: '/p' }, /must have the path '\/'/],
  ['__Secure- without Secure', '__Secure-a', 'b', { secure: false }, /must be secure: its name/],
  ['__secure- without Secure', '__secure-a', 'b', { secure: false }, /must be secure: its name/],
  ['sameSite none without Secure', 'a', 'b', { sameSite: 'none', secure: false }, /has sameSite 'none', so/],
  ['partitioned without Secure', 'a', 'b', { partitioned: true, secure: false }, /is partitioned, so/],
  ['a misspelt option', 'a', 'b', { secured: true }, /^unknown option 'secured' of cookie a: did you mean 'secure'\?$/],
  ['an unknown sameSite', 'a', 'b', { sameSite: 'Lax' }, /must be 'strict', 'lax' or 'none'/],
  ['a sameSite of every object', 'a', 'b', { sameSite: 'toString' }, /must be 'strict', 'lax' or 'none'/],
  ['half a second', 'a', 'b', { maxAge: 0.5 }, /whole number of seconds/],
  ['no age', 'a', 'b', { maxAge: Number.NaN }, /whole number of seconds/],
  ['an age as text', 'a', 'b', { maxAge: '5; Domain=x' }, /whole number of seconds/],
  ['an invalid date', 'a', 'b', { expires: new Date(Number.NaN) }, /must be a Date/],
  ['a date as text', 'a', 'b', { expires: 'tomorrow' }, /must be a Date/],
  ['a year too early', 'a', 'b', { expires: new Date(Date.UTC(1600, 11, 31)) }, /must be a Date/],
  ['a year too late', 'a', 'b', { expires: new Date(Date.UTC(10_000, 0)) }, /must be a Date/],
  ...['', 'p', '/p; Secure', '/p\r\n', '/ä', 5].map((path): (typeof refused)[number] => [
    `the path ${JSON.stringify(path)}`,
    'a',
    'b',
    { path },
    /not a valid path/,
  ]),
  ...['', 'a b', 'a;b', '-a', 'a-', 'a..b', '..a', 'ä.example', 'a.', 5].map((domain): (typeof refused)[number] => [
    `the domain ${JSON.stringify(domain)}`,
    'a',
    'b',
    { domain },
    /not a valid domain/,
  ]),
];

for (const [title, name, value, options, message] of refused) {
  test(`no cookie: ${title}`, async (t) => {
    t.throws(() => setCookie(name, value as string, options), { message });
  });
}

test('name and value have 4096 bytes at most, a path and a domain 1024', async (t) => {
  t.equal(setCookie('abc', 'x'.repeat(4_093)).indexOf(';'), 4_097);
  t.throws(() => setCookie('abc', 'x'.repeat(4_094)), { name: 'RangeError', message: /more than 4096 bytes/ });
  t.throws(() => setCookie('abc', 'ä'.repeat(1_000)), { message: /more than 4096 bytes/ }, 'as encoded');
  t.match(setCookie('a', '', { path: `/${'x'.repeat(1_023)}` }), /x{1023};/);
  t.throws(() => setCookie('a', '', { path: `/${'x'.repeat(1_024)}` }), { message: /path .* more than 1024 bytes/ });
  t.match(setCookie('a', '', { domain: 'x'.repeat(1_024) }), /x{1024};/);
  t.throws(() => setCookie('a', '', { domain: 'x'.repeat(1_025) }), { message: /domain .* more than 1024 bytes/ });
});

test('a cookie is the same if name, domain and path are', async (t) => {
  const same: [one: string, other: string, isSame: boolean][] = [
    ['a=1; Path=/', 'a=2; Secure; path=/', true],
    ['a=1; Path=/', 'a=1; Path=/p', false],
    ['a=1', 'A=1', false],
    ['a=1; Domain=.X.example', 'a=2;domain=x.EXAMPLE', true],
    ['a=1; Domain=x', 'a=1', false],
    ['a', 'b', true], // neither has a name
  ];
  for (const [one, other, isSame] of same) t.equal(isSameCookie(one, other), isSame, `${one} and ${other}`);
});

test('a library reads back what was written', async (t) => {
  const names = fc
    .stringMatching(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,20}$/)
    .filter((name) => !/^__(host|secure)-/i.test(name));
  const optional = { requiredKeys: [] as [] };
  const options = fc.record(
    {
      maxAge: fc.integer(),
      expires: fc.date({ min: new Date(0), max: new Date(Date.UTC(9999, 0)), noInvalidDate: true }),
      path: fc.stringMatching(/^\/[a-z0-9/=]{0,20}$/),
      domain: fc.domain(),
      secure: fc.constant(true),
      httpOnly: fc.boolean(),
      sameSite: fc.constantFrom('strict' as const, 'lax' as const),
      partitioned: fc.constant(false),
    },
    optional,
  );
  fc.assert(
    fc.property(names, fc.string({ unit: 'grapheme' }), options, (name, value, given) => {
      const read = parseSetCookie(setCookie(name, value, given));
      t.equal(read.name, name);
      t.equal(read.value, value);
      t.equal(read.maxAge, given.maxAge);
      t.equal(read.expires?.getTime(), given.expires && Math.floor(given.expires.getTime() / 1_000) * 1_000);
      t.equal(read.path, given.path ?? '/');
      t.equal(read.domain, given.domain);
      t.equal(read.secure ?? false, given.secure ?? false);
      t.equal(read.httpOnly ?? false, given.httpOnly ?? true);
      t.equal(read.sameSite, given.sameSite ?? 'lax');
    }),
    { numRuns: 200 },
  );
});
