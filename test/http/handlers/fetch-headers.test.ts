/** FetchHeaders beside the Headers of the platform: the same answers, and no Headers made for `get` and `has`. */

import { inspect } from 'node:util';
import { test } from 'tap';
import { FetchHeaders } from '../../../http/handlers/fetch-headers.ts';
import { prepareFetch } from '../../../http/handlers/fetch-request.ts';
import { HeaderList } from '../../../http/request/header-list.ts';

prepareFetch();

const LINES: readonly [string, string][] = [
  ['Host', 'a.example'],
  ['Accept', 'text/html'],
  ['accept', ' text/plain\t'],
  ['Cookie', 'a=1'],
  ['COOKIE', 'b=2'],
  ['X-Name', 'caf\xe9'],
  ['Set-Cookie', 'c=3'],
  ['Set-Cookie', 'd=4'],
];

const text = `${LINES.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;

/** Both in their first state. */
function both(): { ours: Headers; theirs: Headers } {
  const ours = new FetchHeaders(new HeaderList(text, 0)) as unknown as Headers;
  return { ours, theirs: new Headers(LINES.map(([name, value]) => [name, value])) };
}

const questions: [title: string, ask: (headers: Headers) => unknown][] = [
  ['get', (h) => ['host', 'ACCEPT', 'cookie', 'Cookie', 'x-name', 'set-cookie', 'none'].map((name) => h.get(name))],
  ['has', (h) => ['Host', 'cookie', 'none'].map((name) => h.has(name))],
  ['getSetCookie', (h) => h.getSetCookie()],
  ['iteration', (h) => [...h]],
  ['entries', (h) => [...h.entries()]],
  ['keys', (h) => [...h.keys()]],
  ['values', (h) => [...h.values()]],
  [
    'forEach',
    (h) => {
      const seen: unknown[] = [];
      h.forEach(function (this: unknown, value, name, all) {
        seen.push(this, value, name, all === h);
      }, 'self');
      return seen;
    },
  ],
  [
    'changes, which are seen by every later question',
    (h) => {
      h.set('accept', 'x');
      h.append('Accept', 'y');
      h.delete('host');
      return [h.get('accept'), h.has('host'), h.get('cookie'), [...h]];
    },
  ],
];

for (const [title, ask] of questions) {
  test(title, async (t) => {
    const { ours, theirs } = both();
    t.same(ask(ours), ask(theirs));
  });
}

test('mistakes throw what the platform throws', async (t) => {
  const { ours, theirs } = both();
  for (const mistake of ['', 'a b', undefined]) {
    const of = (headers: Headers) => {
      try {
        return headers.get(mistake as string);
      } catch (error) {
        return (error as Error).constructor.name;
      }
    };
    t.equal(of(ours), of(theirs), String(mistake));
  }
});

test('everything that takes a Headers takes it', async (t) => {
  const { ours, theirs } = both();
  t.ok(ours instanceof Headers);
  t.equal(Object.prototype.toString.call(ours), '[object Headers]');
  t.same([...new Headers(ours)], [...theirs]);
  t.same([...new Request('http://a/', { headers: ours }).headers], [...theirs]);
  t.equal(inspect(ours), inspect(theirs));
});
