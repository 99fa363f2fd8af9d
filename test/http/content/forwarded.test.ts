/** Forwarded and X-Forwarded-...: each form of an element, and what is damaged. */

import { test } from 'tap';
import { addressOfNode, forwardedFromRight, hostOf, membersFromRight } from '../../../http/content/forwarded.ts';
import { mutate } from '../../fuzz/mutator.ts';
import { Random } from '../../simulation/random.ts';

type Said = readonly [address: string | null, scheme: string | null, host: string | null];

function read(value: string): Said[] {
  return [...forwardedFromRight(value)].map(({ address, scheme, host }) => [address, scheme, host]);
}

test('elements from the right, with each kind of value', async (t) => {
  const cases: readonly (readonly [value: string, elements: readonly Said[]])[] = [
    ['', []],
    [' , ,', []],
    ['for=192.0.2.43', [['192.0.2.43', null, null]]],
    ['For="[2001:db8:cafe::17]:4711"', [['2001:db8:cafe::17', null, null]]],
    ['for=192.0.2.60;proto=http;by=203.0.113.43', [['192.0.2.60', 'http', null]]],
    [
      'for=192.0.2.43, for=198.51.100.17',
      [
        ['198.51.100.17', null, null],
        ['192.0.2.43', null, null],
      ],
    ],
    ['for="192.0.2.1:80";host="a.example:8080";proto=HTTPS', [['192.0.2.1', 'https', 'a.example:8080']]],
    [
      'for=_hidden, for=unknown',
      [
        [null, null, null],
        [null, null, null],
      ],
    ],
    ['proto=https', [[null, 'https', null]]],
    ['for=1.2.3.4 ; proto=https;', [['1.2.3.4', 'https', null]]],
    ['for="1.2.3.4";ext="a,b;c=\\"d\\", for=6.6.6.6"', [['1.2.3.4', null, null]]],
    ['for="\\1.2.3.4"', [['1.2.3.4', null, null]]],
    ['for=1.2.3.4;proto=ftp;host="a/b"', [['1.2.3.4', null, null]]],
  ];
  for (const [value, elements] of cases) t.same(read(value), elements, value);
});

test('a damaged element ends the list, and does not touch those at its right', async (t) => {
  const right: Said = ['192.0.2.1', 'https', null];
  for (const damaged of [
    'for',
    'for=',
    'for=1.2.3.4:80',
    'for=1.2.3.4;for=5.6.7.8',
    'for=1.2.3.4;FOR=5.6.7.8',
    'for="1.2.3.4',
    'for=1.2.3.4"',
    'for="a\\',
    'for="a\\"',
    'for="a"b',
    'for = 1.2.3.4',
    'for=[::1]',
    'fo r=1',
    'for=1.2.3.4 proto=https',
    '"',
    '\\"',
    '"""',
    '=',
    '\x80',
  ]) {
    t.same(read(damaged), [], damaged);
    t.same(read(`for=6.6.6.6, ${damaged}, for=192.0.2.1;proto=https`), [right], damaged);
    t.same(read(`for="6.6.6.6, ${damaged},for="192.0.2.1:1";proto="https"`)[0], right, damaged);
  }
});

test('whatever a client has sent, the element of the proxy is read first', async (t) => {
  const random = new Random(Number(process.env.SEED ?? 1));
  const element = 'for="[2001:db8::1]:4711";proto=https;host="a,b\\""'; // the quotes of a proxy may hold anything
  const honest = Buffer.from('for="1.2.3.4";proto=http, for="[::1]";host="x\\"y"', 'latin1');
  const other = Buffer.from('", \\" ; for=_hidden, for="unknown"', 'latin1');
  for (let i = 0; i < Number(process.env.CASES ?? 20_000); i++) {
    const sent = mutate(random, honest, other);
    const text = sent.toString('latin1').replace(/[\r\n]/g, ' ');
    const [first] = read(`${text}, ${element}`);
    if (first?.[0] !== '2001:db8::1' || first[1] !== 'https') t.same(first, null, text);
  }
});

test('a long value takes no longer than its length', async (t) => {
  const n = 200_000;
  const started = performance.now();
  for (const unit of ['"', '\\', '\\"', ',', ' ', 'for=1,', '";', 'a=" ']) {
    read(unit.repeat(n / unit.length));
    read(`for=1.2.3.4;${unit.repeat(n / unit.length)}x`);
  }
  t.ok(performance.now() - started < 5_000, 'with a step for each pair of bytes it would take minutes');
});

test('the address of a node', async (t) => {
  const cases: readonly (readonly [node: string, address: string | null])[] = [
    ['192.0.2.1', '192.0.2.1'],
    ['192.0.2.1:65535', '192.0.2.1'],
    ['192.0.2.1:_port', '192.0.2.1'],
    ['[2001:db8::1]', '2001:db8::1'],
    ['[2001:db8::1]:80', '2001:db8::1'],
    ['2001:db8::1', '2001:db8::1'],
    ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
    ['unknown', null],
    ['_x', null],
    ['localhost', null],
    ['192.0.2.1:', null],
    ['192.0.2.1:999999', null],
    ['[::1', null],
    ['[::1]80', null],
    ['', null],
  ];
  for (const [node, address] of cases) t.equal(addressOfNode(node), address, node);
});

test('members of a plain list, and hosts', async (t) => {
  t.same([...membersFromRight(' a, ,b\t,,c ,')], ['c', 'b', 'a']);
  t.same([...membersFromRight('')], []);
  t.same(['a.example', '[::1]:80', 'a b', '', 'a/b', 'u@a'].map(hostOf), [
    'a.example',
    '[::1]:80',
    null,
    null,
    null,
    null,
  ]);
});
