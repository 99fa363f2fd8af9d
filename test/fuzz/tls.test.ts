/**
 * The fuzzer of TLS for a moment, and whether it finds anything at all. SEED=n makes other inputs, EXECUTIONS=n more of them; for a long run there is
 * `npm run fuzz -- --target tls`.
 */

import { test } from 'tap';
import { decodeClientHello, type HelloFault } from '../../simplenet/layers/client-hello.ts';
import { type Checks, type Find, Fuzzer, faultOf } from './fuzzer.ts';
import { lineOf, readRegressions, TLS_REGRESSIONS } from './regressions.ts';
import { checks, parserProperty } from './tls-checks.ts';
import { converse, SCRIPT } from './tls-conversation.ts';
import { tlsInputs } from './tls-inputs.ts';

const SEED = Number(process.env.SEED ?? 1);
const EXECUTIONS = Number(process.env.EXECUTIONS ?? 300);

async function findWith(tried: Checks, executions: number): Promise<Find | null> {
  const fuzzer = new Fuzzer(tried, SEED);
  let find: Find | null = null;
  while (find === null && fuzzer.executions < executions) find = await fuzzer.step();
  return find === null ? null : fuzzer.shrink(find);
}

test(`${EXECUTIONS} hellos and conversations (seed ${SEED})`, async (t) => {
  const find = await findWith(checks, EXECUTIONS);
  t.equal(find, null, find === null ? 'nothing found' : `${find.what}\n${lineOf(find.input)}`);
});

test('what was found once is not found again', async (t) => {
  const regressions = readRegressions(TLS_REGRESSIONS);
  t.ok(regressions.length > 0);
  for (const input of regressions) {
    t.equal(await faultOf(checks.fast, input), null, `${input.bytes.length} bytes`);
    t.equal(await converse(Uint8Array.of(SCRIPT, 0, 0, 9, 5, 0, 0)), null, 'nor is the next connection disturbed');
  }
});

type Decode = typeof decodeClientHello;

const planted: readonly (readonly [bug: string, Decode, property: RegExp])[] = [
  [
    'a parser that looks beyond its end',
    (bytes, length = bytes.length) => decodeClientHello(new Uint8Array(bytes.buffer, bytes.byteOffset), length + 1),
    /bytes around it/,
  ],
  [
    'a parser that gives up too early',
    (bytes, length = bytes.length) =>
      decodeClientHello(bytes, length) ??
      (length > 5 ? ({ alert: 50, reason: 'too short' } satisfies HelloFault) : null),
    /it has decided otherwise/,
  ],
];

for (const [bug, decode, property] of planted) {
  test(`a planted bug is found: ${bug}`, async (t) => {
    const find = await findWith({ inputs: tlsInputs, fast: [parserProperty(decode)], slow: [] }, 2_000);
    t.match(find?.what, property);
  });
}

test('a conversation is judged: records that arrive, and records that do not', async (t) => {
  const script = (...steps: readonly number[]) => Uint8Array.of(SCRIPT, ...steps);
  t.equal(await converse(script(0, 0, 9, 5, 0, 0)), null, 'a record');
  t.equal(await converse(script(0, 0, 9, 2, 0, 7, 5, 0, 0)), null, 'a damaged one');
  t.match(await converse(script(0, 0, 9, 5, 0, 0), 1), /are not those of the client/, 'a byte is missing');
});
