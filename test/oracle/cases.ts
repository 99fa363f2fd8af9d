/**
 * What both parsers read: the corpus of test/http, all that the golden transcripts send, and requests made by grammar.
 */

import { requestText, sampled } from '../fuzz/request-grammar.ts';
import { invalidRequests, validRequests } from '../http/request/corpus.ts';
import { bytesOf, readCorpus } from '../transcripts/transcript.ts';

export interface OracleCase {
  readonly title: string;
  readonly bytes: Buffer;
  /** Behind this offset there is nothing of interest to cut. */
  readonly cutUpTo: number;
}

/** Of the transcripts that send a megabyte, only size is the point, and that is ours to limit. */
const MAX_BYTES = 20_000;

/** A request behind: with it, hardly a parser can wait for more before it makes up its mind. */
const NEXT = 'GET /next HTTP/1.1\r\nHost: next\r\nConnection: close\r\n\r\n';

export function writtenCases(): OracleCase[] {
  const corpus = [...validRequests, ...invalidRequests].map(({ title, text }) => ({ title, text }));
  const transcripts = readCorpus().flatMap(({ cases }) =>
    cases.map((one) => ({ title: `${one.file}: ${one.title}`, text: bytesOf(one).toString('latin1') })),
  );
  return [...corpus, ...transcripts]
    .filter(({ text }) => text.length <= MAX_BYTES)
    .flatMap(({ title, text }) => [
      { title, bytes: Buffer.from(text, 'latin1'), cutUpTo: 0 },
      { title: `${title}, with a request behind`, bytes: Buffer.from(text + NEXT, 'latin1'), cutUpTo: text.length },
    ]);
}

/** Two of three requests have something behind them. */
export function generatedCases(seed: number, count: number): OracleCase[] {
  return sampled(requestText, seed, count).map((text, i) => {
    const bytes = Buffer.from([text, text + NEXT, `${text}\r\n0\r\n\r\n${NEXT}`][i % 3] as string, 'latin1');
    return { title: `generated request ${i} (seed ${seed})`, bytes, cutUpTo: bytes.length };
  });
}
