/**
 * Verdict: whether an answer is the right one, and whether a connection was allowed to end.
 *
 * Most requests have one right answer. Beside it there are the refusals, each of which needs its reason: a 408 needs a client
 * that was too slow, by the clock. An end without an answer needs an excuse. Each excuse is a condition that the client can
 * check by itself, so that a server which gives up too early, or the wrong one, has none.
 *
 * Next: weather.ts
 */

import assert from 'node:assert/strict';
import type { StrictResponse } from '../support/strict-responses.ts';
import type { Client, VerdictSettings } from './client.ts';
import { type Exchange, type ExpectedAnswer, isLastOfStop } from './exchange.ts';

export interface Circumstances {
  readonly settings: VerdictSettings;
  /** When the server began to stop, or -1. */
  readonly stoppedAt: number;
  readonly graceMs: number;
  /** Time ran while things happened: a prompt client may have been late all the same. */
  readonly isLenient: boolean;
  now(): number;
  wallNow(): number;
  wasTurnedAway(port: number): boolean;
  wasEvicted(port: number): boolean;
}

const CLOSE = 'Connection: close';

/** Where only RST shows that an answer is cut, those before it have this long to arrive: `DELIVERY_MS` of http/connection/connection.ts. */
const DELIVERY_MS = 100;

/** What a client gets that has ended its side, and whose handler has stopped at that. */
const CLIENT_ENDED = 'the client ended its side before the response\n';

export function judgeContinue(exchange: Exchange): void {
  assert.ok(exchange.expectsContinue, `100 Continue to request ${exchange.id}, which did not ask`);
  assert.ok(
    exchange.begunAt >= 0 && !exchange.gotContinue,
    `100 Continue to request ${exchange.id} twice, or too early`,
  );
}

/** Answers which kind it is; throws where it must not be. */
export function judgeAnswer(client: Client, exchange: Exchange, answer: StrictResponse, world: Circumstances): string {
  const shown = `request ${exchange.id} (${exchange.deed}) got ${answer.status}`;
  const { settings } = world;
  if (exchange.invalid !== null && answer.status === exchange.invalid.status) {
    checkRefusal(answer, shown);
    return 'malformed, refused';
  }
  const refusal = refusalIn(exchange, answer);
  if (refusal !== null) {
    checkReason(client, exchange, refusal, shown, world);
    checkRefusal(answer, shown);
    return `${answer.status} ${refusal.trim()}`;
  }
  const expected = exchange.answer;
  assert.ok(expected !== null, `${shown}, but no answer can be right: ${answer.body}`);
  compare(expected, exchange, answer, shown, world);
  checkClose(client, exchange, answer, shown, settings, world);
  // The FIN of a client that still reads aborts the signal too.
  if (exchange.signal !== null && !client.hasHalfClosed)
    assert.equal(exchange.signal.aborted, false, `${shown}, and its signal was aborted`);
  return answer.status === 500
    ? 'a handler failed'
    : answer.status >= 400
      ? 'refused by a handler'
      : String(answer.status);
}

/** The words of a refusal that the connection makes by itself, if it is one. */
function refusalIn({ method, answer: expected, begunAt }: Exchange, { status, body }: StrictResponse): string | null {
  if (status !== 400 && status !== 408 && status !== 499 && status !== 503) return null;
  const isToHead = method === 'HEAD' && begunAt >= 0;
  if (status === expected?.status && (isToHead || body.equals(expected.body))) return null;
  if (!isToHead || (status !== 503 && status !== 499)) return String(body);
  return status === 503 ? 'Service Unavailable\n' : CLIENT_ENDED;
}

function checkRefusal(answer: StrictResponse, shown: string): void {
  assert.ok(answer.fields.includes(CLOSE), `${shown}, and the connection goes on`);
}

function checkReason(client: Client, exchange: Exchange, reason: string, shown: string, world: Circumstances): void {
  const { headerMs, bodyGraceMs, answerMs } = world.settings;
  const now = world.now();
  const sentFor = now - exchange.firstSentAt;
  const wasSent = exchange.sentAt >= 0;
  switch (reason) {
    case 'the head took too long\n':
      assert.ok(
        exchange.headSentAt < 0 || exchange.headSentAt - exchange.firstSentAt >= headerMs || world.isLenient,
        `${shown}: the whole head was sent`,
      );
      assert.ok(sentFor >= headerMs, `${shown} after ${sentFor} ms`);
      break;
    case 'the connection ended within a head\n':
      assert.ok(
        client.hasHalfClosed && exchange.headSentAt < 0,
        `${shown}: the head was sent, or the client is still there`,
      );
      break;
    case 'the connection ended within a body\n':
      assert.ok(client.hasHalfClosed && !wasSent, `${shown}: the body was sent, or the client is still there`);
      break;
    case CLIENT_ENDED:
      assert.ok(client.hasHalfClosed && exchange.deed === 'never', `${shown}: the client is still there`);
      break;
    case 'the body took too long\n':
      assert.ok(sentFor >= bodyGraceMs, `${shown} after ${sentFor} ms`);
      assert.ok(
        !wasSent || exchange.sentAt - exchange.begunAt >= bodyGraceMs || world.isLenient,
        `${shown}: all of it was sent`,
      );
      break;
    case 'Service Unavailable\n':
      assert.ok(
        exchange.begunAt >= 0 && now - exchange.begunAt >= answerMs,
        `${shown} after ${now - exchange.begunAt} ms`,
      );
      assert.ok(
        exchange.answeredAt < 0 || exchange.answeredAt - exchange.begunAt >= answerMs,
        `${shown}: it had been answered`,
      );
      break;
    default:
      assert.fail(`${shown}: ${reason}`);
  }
}

function compare(
  expected: ExpectedAnswer,
  exchange: Exchange,
  answer: StrictResponse,
  shown: string,
  world: Circumstances,
): void {
  assert.equal(answer.status, expected.status, `${shown}: ${answer.fields.join(', ')} ${answer.body.subarray(0, 200)}`);
  const fields = answer.fields.filter((field) => !field.startsWith('Connection: ') && !field.startsWith('Date: '));
  assert.deepEqual([...fields].sort(), [...expected.fields].sort(), shown);
  if (answer.status !== 101) checkDate(exchange, answer, shown, world);
  if (exchange.method === 'HEAD') return;
  assert.equal(answer.framing, expected.framing, shown);
  assert.ok(answer.body.equals(expected.body), `${shown} with another body`);
  if (expected.chunks !== undefined) assert.deepEqual(answer.chunks, expected.chunks, shown);
  assert.deepEqual(answer.trailers, expected.trailers ?? [], shown);
}

/** The Date is of a moment between the request and now. */
function checkDate(exchange: Exchange, answer: StrictResponse, shown: string, world: Circumstances): void {
  const dates = answer.fields.filter((field) => field.startsWith('Date: '));
  assert.equal(dates.length, 1, shown);
  const date = Date.parse((dates[0] as string).slice('Date: '.length));
  const offset = world.wallNow() - world.now();
  const isInTime = date >= exchange.firstSentAt + offset - 1_000 && date <= world.wallNow();
  assert.ok(isInTime, `${shown}, dated ${dates[0]}`);
}

/** Whether the answer may, must or must not say that it is the last. */
function checkClose(
  client: Client,
  exchange: Exchange,
  answer: StrictResponse,
  shown: string,
  settings: VerdictSettings,
  world: Circumstances,
): void {
  const isClosing = answer.fields.includes(CLOSE);
  if (answer.status === 101) return;
  const isLast =
    exchange.isLast ||
    exchange.handlerCloses ||
    isLastOfStop(exchange, client.script[exchange.index + 1]) ||
    exchange.answer?.framing === 'close' ||
    exchange.index + 1 >= settings.requestsPerConnection;
  if (isLast) assert.ok(isClosing, `${shown} without ${CLOSE}`);
  else if (isClosing) {
    // A router responds by itself, at a time that is not recorded. A stop may find requests behind this one, or not.
    const mayStop = exchange.wasStopping !== false && world.stoppedAt >= 0;
    // An answer that begins before the body has come does not know that it will be read.
    const isEarly = exchange.deed === 'relay' && (exchange.body?.length ?? 0) > settings.discardBytes;
    assert.ok(mayStop || isEarly || leavesBody(exchange, settings), `${shown} with ${CLOSE}, and nobody knows why`);
  }
}

/** The handler left so much of the body unread, or a body that may not even come, that the connection may end. */
function leavesBody(exchange: Exchange, settings: VerdictSettings): boolean {
  const { deed, body } = exchange;
  if (body === null || (deed !== 'ignore' && deed !== 'taste' && deed !== 'reject')) return false;
  return (
    exchange.expectsContinue || body.length > settings.discardBytes || exchange.wire.length > settings.discardBytes
  );
}

/** Why the connection was allowed to end now. Throws where it was not. */
export function excuseFor(client: Client, how: 'FIN' | 'RST', world: Circumstances): string {
  const exchange = client.script[client.answered];
  const isAnswering = client.reader.isInside;
  if (client.wasBroken) return 'broken by the kernel';
  if (client.isClosing && !isAnswering) return 'after the last answer';
  const excuse = excuseOfServer(client, exchange, world) ?? excuseOfClient(client, exchange, world);
  if (excuse !== null && !isAnswering) return excuse;
  const brutal = excuseWithinAnswer(client, world);
  return brutal ?? assert.fail(`${how} for no reason at ${world.now()}: ${client.describe()}`);
}

/** The connection breaks in the middle of an answer, or instead of it. */
function excuseWithinAnswer(client: Client, world: Circumstances): string | null {
  const { stoppedAt, graceMs, settings } = world;
  const now = world.now();
  if (stoppedAt >= 0 && now - stoppedAt >= graceMs) return 'the grace is over';
  if (client.temper.reading !== 'prompt') {
    const slow = client.reads.filter(([at]) => at > now - settings.lingerMs - settings.tickMs);
    const recent = slow.reduce((sum, [, bytes]) => sum + bytes, 0);
    if (now - client.connectedAt >= settings.lingerMs && recent < 70_000) return 'read too slowly';
  }
  const next = client.script[client.answered];
  const isAtWork = next !== undefined && next.begunAt >= 0;
  if (world.isLenient && isAtWork && now - next.begunAt >= settings.lingerMs) return 'the wire was slow';
  // Whoever says that no request follows is believed: the connection is closed, and more bytes are answered with RST.
  const last = client.script.find((one) => one.index >= client.answered && one.isLast);
  if (last !== undefined && (client.script[last.index + 1]?.firstSentAt ?? -1) >= 0) return 'sent on after its last';
  const waiting = client.script.slice(client.answered, client.begun);
  if (waiting.some((one) => one.deed === 'hang up')) return 'upgraded and closed: what was queued is dropped';
  const isCutOff = (one: Exchange) => one.deed === 'break' && one.isHttp10 && one.answeredAt >= 0;
  if (waiting.some((one) => isCutOff(one) && now - one.answeredAt >= DELIVERY_MS))
    return 'read on too late after a cut';
  // An answer that breaks takes none of those before it with it.
  return isAtWork ? excuseOfHandler(client, next, world) : null;
}

function excuseOfHandler(client: Client, exchange: Exchange, world: Circumstances): string | null {
  const { settings } = world;
  const now = world.now();
  if (exchange.begunAt < 0) return null;
  if (exchange.deed === 'break' && exchange.answeredAt >= 0) return 'the handler broke its answer';
  // What was queued when it began may be of the answer before it, too.
  const before = client.script[exchange.index - 1];
  const wasBehind = before !== undefined && (before.receivedAt < 0 || before.receivedAt >= exchange.begunAt);
  const isMuch = pieceSum(exchange) > settings.answerBufferBytes || wasBehind;
  if (exchange.deed === 'flood' && isMuch) return 'the handler flooded';
  if (exchange.deed === 'relay') {
    const tookMs = now - exchange.firstSentAt;
    const late = exchange.sentAt < 0 && (client.hasHalfClosed || tookMs >= settings.bodyGraceMs);
    if (late) return 'the body broke off during its answer';
    if (now - exchange.begunAt >= settings.answerMs && client.temper.reading !== 'prompt') return 'relayed too slowly';
  }
  return null;
}

function excuseOfServer(client: Client, exchange: Exchange | undefined, world: Circumstances): string | null {
  const { stoppedAt } = world;
  if (stoppedAt >= 0 && (exchange === undefined || exchange.begunAt < 0)) return 'the server stops';
  if (client.answered === 0 && client.begun === 0 && world.wasTurnedAway(client.port)) return 'turned away';
  // The router answers some requests itself, and none of those begins a handler.
  const isIdle = client.answered >= client.begun && (exchange === undefined || exchange.begunAt < 0);
  if (isIdle && world.wasEvicted(client.port)) return 'made room for another';
  return null;
}

function excuseOfClient(client: Client, exchange: Exchange | undefined, world: Circumstances): string | null {
  const { idleMs, headerMs, lingerMs } = world.settings;
  const now = world.now();
  const before = client.script[client.answered - 1];
  const isUntouched = exchange === undefined || exchange.begunAt < 0;
  if (!isUntouched) return null;
  // A response to HEAD is complete with its head, and its handler may still write too much behind it.
  if (before?.method === 'HEAD' && before.deed === 'flood') return 'the handler flooded';
  // A client that still sends bytes that are dropped is disconnected after a while.
  if (before !== undefined && leavesBody(before, world.settings)) return 'left a body unread';
  const leftBody =
    before !== undefined && (before.deed === 'ignore' || before.deed === 'taste' || before.deed === 'reject');
  if (leftBody && before.body !== null) {
    // Its end may have been on the wire for as long as that, though it was sent in time.
    const isLate = now - before.begunAt >= lingerMs && (before.sentAt < 0 || now - before.sentAt < lingerMs);
    if (isLate || client.hasHalfClosed) return 'left a body unfinished';
  }
  const isUnfinished = exchange === undefined || exchange.sentAt < 0;
  if (client.hasHalfClosed && isUnfinished) return 'half-closed, all answered';
  if (before === undefined) return now - client.connectedAt >= headerMs ? 'never asked' : null;
  const idleSince = before.answeredAt >= 0 ? before.answeredAt : before.firstSentAt;
  const isLateStart = exchange === undefined || exchange.lineSentAt < 0 || exchange.lineSentAt - idleSince >= idleMs;
  if (now - idleSince >= idleMs && (isLateStart || world.isLenient)) return 'idle for too long';
  return null;
}

function pieceSum(exchange: Exchange): number {
  return exchange.pieces.reduce((sum, piece) => sum + piece, 0);
}
