/** Patterns: what can be registered, and what a mistake is told. */

import t from 'tap';
import { coverage, joinPatterns, parsePattern, parsePrefix, sharesParams } from '../../../http/router/route-pattern.ts';

/** `/users/:id/*` as a table reads it: names as they are, the others by kind. */
function shapeOf(text: string): string[] {
  return parsePattern(text).segments.map((segment) =>
    segment.kind === 'name' ? segment.text : `${segment.kind} ${segment.name}`,
  );
}

const accepted: readonly (readonly [pattern: string, shape: readonly string[]])[] = [
  ['/', ['']],
  ['/a', ['a']],
  ['/a/', ['a', '']],
  ['//', ['', '']],
  ['/:id', ['param id']],
  ['/:id/', ['param id', '']],
  ['/users/:id/posts/:post', ['users', 'param id', 'posts', 'param post']],
  ['/*', ['wildcard *']],
  ['/files/*', ['files', 'wildcard *']],
  ['/files/*path', ['files', 'wildcard path']],
  ['/:user/*', ['param user', 'wildcard *']],
  ['/:_a1', ['param _a1']],
  ['/:constructor', ['param constructor']],
  ['/a:b', ['a:b']],
  ['/v1/items:batch', ['v1', 'items:batch']],
  ['/café', ['café']],
  ['/100%', ['100%']],
  ['/a b', ['a b']],
  ['/..', ['..']],
];

for (const [pattern, shape] of accepted) {
  t.test(`'${pattern}' is a pattern`, async (t) => t.same(shapeOf(pattern), shape));
}

const refused: readonly (readonly [pattern: unknown, why: RegExp])[] = [
  ['', /does not start with '\/'/],
  ['a', /does not start with '\/'/],
  ['*', /does not start with '\/'/],
  [' /a', /does not start with '\/'/],
  [undefined, /'undefined' does not start with '\/'/],
  [7, /does not start with '\/'/],
  ['/:', /a ':' without a name/],
  ['/:/a', /a ':' without a name/],
  ['/:1a', /named '1a'/],
  ['/:a-b', /named 'a-b'/],
  ['/:a.json', /named 'a.json'/],
  ['/:a:b', /named 'a:b'/],
  ['/:a*', /named 'a\*'/],
  ['/:id(\\d+)', /named 'id/],
  ['/:é', /named 'é'/],
  ['/:__proto__', /named '__proto__'/],
  ['/*__proto__', /named '__proto__'/],
  ['/*/a', /not its last segment/],
  ['/*path/a', /not its last segment/],
  ['/*/', /not its last segment/],
  ['/a*', /not its last segment/],
  ['/a*b/c', /not its last segment/],
  ['/**', /named '\*'/],
  ['/*a-b', /named 'a-b'/],
  ['/a?b=c', /without a query/],
  ['/:id?', /without options/],
  ['/a#b', /'\?' or '#'/],
  ['/caf%C3%A9', /decoded text/],
  ['/a%2fb', /decoded text/],
  ['/a\0', /NUL/],
  ['/:a/:a', /two params named 'a'/],
  ['/:a/b/*a', /two params named 'a'/],
];

for (const [pattern, why] of refused) {
  t.test(`${JSON.stringify(pattern)} is refused`, async (t) => {
    t.throws(() => parsePattern(pattern as string), { name: 'TypeError', message: why });
  });
}

t.test('prefixes', async (t) => {
  t.same(parsePrefix('/').segments, [], 'the root covers everything');
  t.same(parsePrefix('/api').segments, parsePattern('/api').segments);
  t.throws(() => parsePrefix('/api/'), { message: /write '\/api'/ });
  t.throws(() => parsePrefix('/api/*'), { message: /write '\/api'/ });
  t.throws(() => parsePrefix('/*'), { message: /write '\/'/ });
  t.throws(() => parsePrefix('api'), { message: /does not start with/ });
});

const joined = [
  ['/', '/', '/'],
  ['/', '/a', '/a'],
  ['/', '/a/', '/a/'],
  ['/api', '/', '/api'],
  ['/api', '/a', '/api/a'],
  ['/api', '/a/', '/api/a/'],
  ['/api', '/*', '/api/*'],
  ['/users/:id', '/posts/:post', '/users/:id/posts/:post'],
] as const;

t.test('a pattern below a prefix is the pattern written as one', async (t) => {
  for (const [prefix, pattern, whole] of joined) {
    t.same(joinPatterns(parsePrefix(prefix), parsePattern(pattern)), parsePattern(whole), whole);
  }
  t.throws(() => joinPatterns(parsePrefix('/:id'), parsePattern('/:id')), { message: /two params named 'id'/ });
});

const covered = [
  ['/', '/', 'all'],
  ['/', '/a/b', 'all'],
  ['/', '/*', 'all'],
  ['/a', '/a', 'all'],
  ['/a', '/a/', 'all'],
  ['/a', '/a/b', 'all'],
  ['/a', '/a/*', 'all'],
  ['/a', '/', 'none'],
  ['/a', '/b', 'none'],
  ['/a', '/ab', 'none'],
  ['/a/b', '/a', 'none'],
  ['/a', '/:x', 'some'],
  ['/a', '/*', 'some'],
  ['/a/b', '/a/*', 'some'],
  ['/a/b', '/c/*', 'none'],
  ['/a/b', '/:x/b', 'some'],
  ['/a/b', '/:x/c', 'none'],
  ['//b', '/:x/b', 'none'],
  ['/:x', '/a', 'all'],
  ['/:x', '/:y', 'all'],
  ['/:x', '/', 'none'],
  ['/:x', '/*', 'some'],
  ['/:x/b', '/a/*', 'some'],
] as const;

t.test('which routes a prefix covers', async (t) => {
  for (const [prefix, route, expected] of covered) {
    t.equal(coverage(parsePrefix(prefix), parsePattern(route)), expected, `${prefix} covers ${expected} of ${route}`);
  }
});

const shared = [
  ['/', '/a', true],
  ['/a', '/:x', true],
  ['/:x', '/:x/b', true],
  ['/:x', '/a', false],
  ['/:x', '/:y', false],
  ['/:x', '/*', false],
  ['/a/:x', '/:x/b', false],
] as const;

t.test('which routes have the params of a prefix', async (t) => {
  for (const [prefix, route, expected] of shared) {
    t.equal(sharesParams(parsePrefix(prefix), parsePattern(route)), expected, `${prefix} and ${route}`);
  }
});
