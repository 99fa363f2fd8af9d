import { test } from 'tap';
import { ServerNames } from '../../../simplenet/layers/server-names.ts';

test('a name is found as it is, or by a pattern for one label', async (t) => {
  const names = new ServerNames<string>([
    ['example.com', 'exact'],
    ['*.example.com', 'pattern'],
    ['www.example.com', 'www'],
    ['localhost', 'local'],
  ]);
  const expected = {
    'example.com': 'exact',
    'www.example.com': 'www',
    'a.example.com': 'pattern',
    'a.b.example.com': null,
    'example.org': null,
    com: null,
    localhost: 'local',
    'a.localhost': null,
    '.example.com': 'pattern',
    '': null,
    constructor: null,
  };
  for (const [name, value] of Object.entries(expected)) t.equal(names.find(name), value, name);
});

test('names are compared as DNS writes them', async (t) => {
  const names = new ServerNames<number>([
    ['Bücher.Example', 1],
    ['*.WWW.Example.', 2],
  ]);
  t.equal(names.find('xn--bcher-kva.example'), 1);
  t.equal(names.find('a.www.example'), 2);
});

test('what is not a name is refused, and a name that comes twice', async (t) => {
  const of = (name: string) => new ServerNames([[name, 0]]);
  for (const name of [
    '',
    '*.',
    '*.*.a',
    'a.*.b',
    'w*.a',
    '127.0.0.1',
    '::1',
    'a b',
    'https://a',
    'a:443',
    'a/',
    '..',
    'a'.repeat(64),
  ]) {
    t.throws(() => of(name), {
      name: 'RangeError',
      message: `'${name}' is not a server name: write 'example.com' or '*.example.com'`,
    });
  }
  t.throws(() => of('*'), /cert and key of tls are for all other names/);
  t.throws(() => of(Array.from({ length: 127 }, () => 'ab').join('.')), RangeError);
  t.throws(
    () =>
      new ServerNames([
        ['a.b', 0],
        ['A.B.', 0],
      ]),
    /'A.B.' comes twice/,
  );
});
