/** What is agreed on for permessage-deflate: RFC 7692 section 7.1, offer by offer. */

import { test } from 'tap';
import { agreeOnDeflate, type DeflateTerms } from '../../../http/websocket/deflate-agreement.ts';
import { parseExtensions } from '../../../http/websocket/handshake.ts';

const FULL: DeflateTerms = { serverBits: 15, clientBits: 15, serverKeepsContext: true, clientKeepsContext: true };
const SMALL: DeflateTerms = { ...FULL, serverBits: 12, clientBits: 12 };
const NONE: DeflateTerms = { ...SMALL, serverKeepsContext: false, clientKeepsContext: false };
const P = 'permessage-deflate';

const cases: readonly (readonly [offers: string, wanted: DeflateTerms, answer: string | null])[] = [
  [P, FULL, P],
  [`${P}; client_max_window_bits`, FULL, P],
  [`${P}; client_max_window_bits=15`, FULL, P],
  [`${P}; client_max_window_bits="10"`, FULL, `${P}; client_max_window_bits=10`],
  [`${P}; client_max_window_bits=8`, FULL, `${P}; client_max_window_bits=8`],
  [`${P}; server_max_window_bits=15`, FULL, `${P}; server_max_window_bits=15`],
  [`${P}; server_max_window_bits=9`, FULL, `${P}; server_max_window_bits=9`],
  [`${P}; server_no_context_takeover`, FULL, `${P}; server_no_context_takeover`],
  [`${P}; client_no_context_takeover`, FULL, `${P}; client_no_context_takeover`],
  // What the server limits, whatever is offered. A client that cannot limit its window keeps no context.
  [P, SMALL, `${P}; client_no_context_takeover; server_max_window_bits=12`],
  [`${P}; client_max_window_bits`, SMALL, `${P}; server_max_window_bits=12; client_max_window_bits=12`],
  [`${P}; client_max_window_bits=9`, SMALL, `${P}; server_max_window_bits=12; client_max_window_bits=9`],
  [
    `${P}; server_max_window_bits=10; client_max_window_bits=15`,
    SMALL,
    `${P}; server_max_window_bits=10; client_max_window_bits=12`,
  ],
  [
    `${P}; client_max_window_bits`,
    NONE,
    `${P}; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12; client_max_window_bits=12`,
  ],
  // Declined (section 7.1): not defined, a wrong value, a name twice, what zlib cannot do.
  [`${P}; level=9`, FULL, null],
  [`${P}; server_no_context_takeover=1`, FULL, null],
  [`${P}; client_no_context_takeover="true"`, FULL, null],
  [`${P}; server_max_window_bits`, FULL, null],
  [`${P}; server_max_window_bits=8`, FULL, null],
  [`${P}; server_max_window_bits=16`, FULL, null],
  [`${P}; server_max_window_bits=010`, FULL, null],
  [`${P}; client_max_window_bits=7`, FULL, null],
  [`${P}; client_max_window_bits=+9`, FULL, null],
  [`${P}; client_max_window_bits; client_max_window_bits=10`, FULL, null],
  [`${P}; server_no_context_takeover; server_no_context_takeover`, FULL, null],
  ['permessage-bzip2', FULL, null],
  ['Permessage-Deflate', FULL, null],
  [`${P};`, FULL, null],
  // The next offer is tried.
  [
    `${P}; level=9, ${P}; server_max_window_bits=8, x, ${P}; server_max_window_bits=11, ${P}`,
    FULL,
    `${P}; server_max_window_bits=11`,
  ],
];

test('the answer to each field of offers', async (t) => {
  t.equal(agreeOnDeflate([], FULL), null);
  for (const [offers, wanted, response] of cases) {
    t.equal(agreeOnDeflate(parseExtensions(offers), wanted)?.answer ?? null, response, offers);
  }
});

test('what is agreed on is what the answer says', async (t) => {
  for (const [offers, wanted] of cases) {
    const agreement = agreeOnDeflate(parseExtensions(offers), wanted);
    if (agreement === null) continue;
    const said = new Map(
      agreement.answer.split('; ').map((part) => part.split('=', 2) as [string, string | undefined]),
    );
    t.equal(agreement.serverKeepsContext, !said.has('server_no_context_takeover'), offers);
    t.equal(agreement.clientKeepsContext, !said.has('client_no_context_takeover'), offers);
    t.equal(agreement.serverBits, Number(said.get('server_max_window_bits') ?? 15), offers);
    t.equal(agreement.clientBits, Number(said.get('client_max_window_bits') ?? 15), offers);
  }
});
