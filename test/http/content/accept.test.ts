/** Which type a client prefers, by weight, closeness and order. */

import { test } from 'tap';
import { preferredType } from '../../../http/content/accept.ts';
import { preferredCoding } from '../../../http/content/accept-encoding.ts';
import { importPeer, missingPeer } from '../../peers/peers.ts';
import { Random } from '../../simulation/random.ts';

const TYPES = ['text/plain', 'application/json', 'application/problem+json'];
const [TEXT, JSON_TYPE, PROBLEM] = TYPES as [string, string, string];

const cases: readonly (readonly [accept: string | null, preferred: string | null])[] = [
  [null, TEXT],
  ['', TEXT],
  ['*/*', TEXT],
  ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', TEXT],
  ['application/json', JSON_TYPE],
  ['APPLICATION/JSON', JSON_TYPE],
  ['application/*', JSON_TYPE],
  ['application/problem+json, application/json', PROBLEM],
  ['application/json, application/problem+json', JSON_TYPE],
  ['application/json, text/plain, */*', JSON_TYPE],
  ['text/plain, application/json', TEXT],
  ['application/json;q=0.5, text/plain;q=0.4', JSON_TYPE],
  ['application/json;q=0.4, text/plain;q=0.5', TEXT],
  ['text/plain;q=0.1, */*', JSON_TYPE],
  ['text/plain;q=0.100, application/json;q=0.101', JSON_TYPE],
  ['*/*;q=0.5, application/json', JSON_TYPE],
  ['application/json;q=0', null],
  ['application/json;q=0, */*', TEXT],
  ['image/png', null],
  ['application/json ; charset=utf-8 ; Q=1.000', JSON_TYPE],
  ['application/json;version="1,text/plain;q=0\\"";q=0.5, text/plain;q=0.4', JSON_TYPE],
  ['application/json;q=1;q=0', JSON_TYPE],
  // Malformed ranges count as absent.
  ['application/json;q=1.001, text/plain;q=0.1', TEXT],
  ['application/json;q=0.1234, text/plain;q=0.1', TEXT],
  ['application/json;q, text/plain;q=0.1', TEXT],
  ['json, text/plain;q=0.1', TEXT],
  ['*/json, text/plain;q=0.1', TEXT],
  ['application/json/x, text/plain;q=0.1', TEXT],
  [',, ,', TEXT],
  ['text/ plain', TEXT],
];

for (const [accept, preferred] of cases) {
  test(`Accept: ${accept}`, (t) => {
    t.equal(preferredType(accept, TYPES), preferred);
    t.end();
  });
}

test('without types there is no preferred one', (t) => {
  t.equal(preferredType(null, []), null);
  t.equal(preferredType('*/*', []), null);
  t.end();
});

interface NegotiatorModule {
  default: new (request: {
    headers: Readonly<Record<string, string>>;
  }) => {
    encodings(available: readonly string[], preferred: { preferred: readonly string[] }): string[];
  };
}

test('a library prefers the same encoding', { skip: missingPeer('negotiator') }, async (t) => {
  const { default: Negotiator } = await importPeer<NegotiatorModule>('node_modules/negotiator/index.js');
  const random = new Random(29);
  const names = ['br', 'zstd', 'gzip', 'deflate', 'identity', '*', 'GZIP', 'compress'];
  const weights = ['', ';q=1', ';q=0', ';q=0.5', ' ; q=0.25', ';q=1.000', '; q=0.001', ';Q=0.75'];
  const offered = ['br', 'zstd', 'gzip', 'deflate'];
  const available = [...offered, 'identity'];
  for (let i = 0; i < 50_000; i++) {
    const members = Array.from({ length: random.below(5) }, () => random.pick(names) + random.pick(weights));
    const accept = members.join(random.pick([',', ', ', ' ,']));
    const theirs = new Negotiator({ headers: { 'accept-encoding': accept } }).encodings(available, {
      preferred: available,
    })[0];
    const ours = preferredCoding(accept, offered) ?? 'identity';
    // They return nothing if the client accepts nothing: then we send the content as it is.
    if ((theirs ?? 'identity') !== ours) throw new Error(`${accept}: ${ours}, and not ${theirs}`);
  }
  t.equal(preferredCoding(null, offered), 'identity');
  t.equal(preferredCoding('x-gzip, gzip;q=3, ;q=1, "', offered), 'gzip');
});
