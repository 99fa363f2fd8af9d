/**
 * The router against a matcher that anyone can check by reading: it tries all patterns, one by one. Routes, prefixes and
 * paths are random and small, so that they collide often; a failure names its seed.
 */

import t from 'tap';
import type { Handler } from '../../../http/handler.ts';
import { Router } from '../../../http/router/router.ts';
import { Random } from '../../simulation/random.ts';
import { ask } from './router-exchange.ts';

const NAMES = ['a', 'b', 'é', '', '%', 'a b'];
const METHODS = ['get', 'post', 'put', 'head', 'options', 'all'] as const;
const ASKED = ['GET', 'POST', 'PUT', 'HEAD', 'OPTIONS', 'BREW', 'TRACE'];
const EVERY_METHOD = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT'];

/** Params are named after their depth, so that no two patterns disagree. */
function randomPattern(random: Random, mayBeWild: boolean): string {
  const parts: string[] = [];
  const depth = 1 + random.below(4);
  for (let i = 0; i < depth; i++) parts.push(random.chance(0.4) ? `:p${i}` : random.pick(NAMES));
  if (mayBeWild && random.chance(0.2)) parts.push('*');
  // A prefix does not end in a slash.
  if (!mayBeWild && parts.at(-1) === '') parts[parts.length - 1] = 'a';
  return `/${parts.join('/')}`;
}

/** A path as text and as somebody may have written it on the wire. */
function randomPath(random: Random): { segments: string[]; wire: string } {
  const segments: string[] = [];
  const depth = 1 + random.below(5);
  for (let i = 0; i < depth; i++)
    segments.push(random.chance(0.1) ? random.pick(['/', 'a/b', '..', '%2F']) : random.pick(NAMES));
  const wire = segments.map((text) =>
    [...Buffer.from(text)]
      .map((byte) => {
        const hex = byte.toString(16).padStart(2, '0');
        if (byte > 0x60 && byte < 0x7b && random.chance(0.7)) return String.fromCharCode(byte);
        return `%${random.chance(0.5) ? hex : hex.toUpperCase()}`;
      })
      .join(''),
  );
  return { segments, wire: `/${wire.join('/')}` };
}

/** The params if the pattern fits. */
function fits(pattern: string, segments: readonly string[], isPrefix = false): Record<string, string> | null {
  const parts = pattern.slice(1).split('/');
  const params: Record<string, string> = {};
  for (const [i, part] of parts.entries()) {
    const text = segments[i];
    if (text === undefined) return null;
    if (part === '*') return { ...params, '*': segments.slice(i).join('/') };
    if (part.startsWith(':')) {
      if (text === '') return null;
      params[part.slice(1)] = text;
    } else if (part !== text) return null;
  }
  return isPrefix || parts.length === segments.length ? params : null;
}

/** Sorts the most special pattern first: where two first differ, a name is before a param and a param before a wildcard. */
function bySpecialty(a: string, b: string): number {
  const rank = (pattern: string) =>
    pattern
      .slice(1)
      .split('/')
      .map((part) => (part === '*' ? 2 : part.startsWith(':') ? 1 : 0))
      .join('');
  return rank(a) < rank(b) ? -1 : 1;
}

function pick(routes: ReadonlyMap<string, ReadonlySet<string>>, method: string, segments: readonly string[]) {
  if (method === 'TRACE') return null;
  for (const pattern of [...routes.keys()].sort(bySpecialty)) {
    const params = fits(pattern, segments);
    const methods = routes.get(pattern) as ReadonlySet<string>;
    const answering = [method, ...(method === 'HEAD' ? ['GET'] : []), 'ALL'].find((name) => methods.has(name));
    if (params !== null && answering !== undefined) return { pattern, params, method: answering };
  }
  return null;
}

function allowed(routes: ReadonlyMap<string, ReadonlySet<string>>, segments: readonly string[]): string | null {
  const methods = new Set<string>();
  for (const [pattern, own] of routes) {
    if (fits(pattern, segments) === null) continue;
    for (const method of own) for (const name of method === 'ALL' ? EVERY_METHOD : [method]) methods.add(name);
  }
  if (methods.size === 0) return null;
  if (methods.has('GET')) methods.add('HEAD');
  return [...methods.add('OPTIONS')].sort().join(', ');
}

for (let seed = 1; seed <= 300; seed++) {
  t.test(`seed ${seed}`, async (t) => {
    const random = new Random(seed);
    const router = new Router();
    const mounted = new Router();
    const nested = random.chance(0.5);
    if (nested) router.use('/a', mounted);
    const routes = new Map<string, Set<string>>();
    const prefixes: string[] = [];
    let ran: unknown[] = [];

    const count = 1 + random.below(12);
    for (let i = 0; i < count; i++) {
      const pattern = randomPattern(random, true);
      const method = random.pick(METHODS);
      const name = method.toUpperCase();
      if (random.chance(0.3)) {
        const index = prefixes.length;
        const prefix = random.chance(0.2) ? '/' : randomPattern(random, false);
        prefixes.push(prefix);
        router.use(prefix, (request, _response, next) => {
          const params = Object.fromEntries(
            Object.entries(request.params).filter(([param]) => prefix.split('/').includes(`:${param}`)),
          );
          ran.push([index, params]);
          return next();
        });
      }
      const own = routes.get(pattern) ?? new Set();
      routes.set(pattern, own);
      if (own.has(name)) continue;
      own.add(name);
      const handler: Handler = (request, response) => {
        ran.push({ pattern, method: name, params: request.params });
        response.empty();
      };
      // Half of what can be registered through the mounted router is.
      if (nested && pattern.startsWith('/a/') && pattern !== '/a/' && random.chance(0.5)) {
        mounted[method](pattern.slice(2).replace(/^(?!\/)/, '/'), handler);
      } else router[method](pattern, handler);
    }

    for (let i = 0; i < 100; i++) {
      const { segments, wire } = randomPath(random);
      const method = random.pick(ASKED);
      const context = `${method} ${wire} in ${[...routes.keys()].join(' ')} below ${prefixes.join(' ')}`;
      const expected = pick(routes, method, segments);
      const match = router.find(method, wire);
      const actual = match && { pattern: match.pattern, params: match.params };
      const layers = prefixes.flatMap((prefix, index) => {
        const params = prefix === '/' ? {} : fits(prefix, segments, true);
        return params === null ? [] : [[index, params]];
      });
      ran = [];
      const answer = ask(router, method, wire);
      if (expected === null) {
        const allow = allowed(routes, segments);
        const status = method === 'TRACE' ? 501 : allow === null ? 404 : method === 'OPTIONS' ? 204 : 405;
        const headers = status === 204 || status === 405 ? { Allow: allow } : {};
        check(actual, null);
        check([answer.status, answer.headers, ran], [status, headers, layers]);
      } else {
        check(actual, { pattern: expected.pattern, params: expected.params });
        check(ran, [...layers, expected]);
      }

      // One assertion per difference: thirty thousand that pass would only slow tap down.
      function check(found: unknown, wanted: unknown): void {
        if (canonical(found) !== canonical(wanted)) t.same(found, wanted, context);
      }
    }
  });
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
