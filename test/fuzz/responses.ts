/** The responses of a connection that has ended, as two readers without tolerance see them: ours and llhttp. */

import { fieldsAsUtf8 } from '../oracle/comparison.ts';
import type { Field } from '../oracle/reading.ts';
import { type Answer, readAnswersWithLlhttp } from '../oracle/theirs.ts';
import { isLastResponse, type StrictResponse, StrictResponseReader, valueOfLine } from '../support/strict-responses.ts';

function fieldsIn(lines: readonly string[]): Field[] {
  return lines.map((line) => [line.slice(0, line.indexOf(':')), valueOfLine(line)]);
}

/** In the words in which llhttp's reading is written, and in their order. */
function comparable(response: StrictResponse): Answer {
  const { status, reason, fields, body, trailers } = response;
  return {
    status,
    reason,
    fields: fieldsIn(fields),
    body: body.toString('latin1'),
    trailers: fieldsIn(trailers),
    keepAlive: !isLastResponse(response),
  };
}

/**
 * `methods` are those of the requests, in order; a 1xx comes before the final response to the same request. Throws where the
 * bytes are anything else, or not all of a response.
 */
export function readResponses(bytes: Buffer, methods: readonly string[]): Answer[] {
  const responses: Answer[] = [];
  let request = 0;
  const reader = new StrictResponseReader(
    () => methods[request] === 'HEAD',
    (response) => {
      responses.push(comparable(response));
      if (response.status >= 200) request++;
    },
  );
  reader.push(bytes);
  reader.end();
  if (reader.isInside || reader.rest.length > 0) throw new Error(`the connection ends before ${reader.waitsFor}`);
  return responses;
}

/** What both readers take for the responses. Throws where they disagree. */
export function responsesForBoth(bytes: Buffer, methods: readonly string[]): Answer[] {
  const ours = readResponses(bytes, methods);
  const theirs = JSON.stringify(readAnswersWithLlhttp(bytes, methods));
  const oursAsUtf8 = ours.map((response) => ({ ...response, fields: fieldsAsUtf8(response.fields) }));
  if (JSON.stringify(oursAsUtf8) !== theirs) throw new Error(`we read ${JSON.stringify(ours)}, llhttp ${theirs}`);
  return ours;
}
