/**
 * A client in memory: it sends bytes in pieces to a real Connection, without a socket, and gathers what comes back.
 *
 * Its stream keeps the contract of event-loop.ts: no callback runs inside a call, the bytes of onData are gone when it
 * returns, and whatever a client may do to a server, such as reading slowly, it can be asked to do.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { Connection } from '../../http/connection/connection.ts';
import type { Handler } from '../../http/handler.ts';
import { defaultLimits, type Limits } from '../../http/limits.ts';
import { MemoryCommons, MemoryStream } from '../support/memory-server.ts';

/** A handler of these tests needs a turn or two. */
const MAX_TURNS = 100;

const crampedLimits: Limits = { ...defaultLimits, bodyBufferBytes: 4 };

export interface Manners {
  /** It takes what was sent only when a turn is over. */
  readonly isSlow?: boolean;
  /** It sends its next piece without giving the server a turn. */
  readonly isHasty?: boolean;
  /** So few bytes of a body may wait for the handler that the server stops reading in almost every upload. */
  readonly isCramped?: boolean;
}

export interface Conversation {
  readonly sent: Buffer;
  /** The server has ended its side, by FIN or by closing. If not, it would leave the client waiting. */
  readonly isEnded: boolean;
  /** It closed both ways when it had received so many bytes; null if it waited for the client's end. */
  readonly closedAfter: number | null;
  readonly wasAborted: boolean;
  readonly reported: readonly unknown[];
}

/** Turns, until nothing changes any more. */
async function settle(stream: MemoryStream): Promise<void> {
  for (let turns = 0, quiet = 0; quiet < 2; turns++) {
    if (turns === MAX_TURNS) throw new Error('the server never comes to rest');
    const before = stream.sentBytes;
    await nextTurn();
    const isQuiet = stream.queuedBytes === 0 && !stream.wantsTurn && stream.sentBytes === before;
    stream.drain();
    stream.takeTurn();
    quiet = isQuiet ? quiet + 1 : 0;
  }
}

/** Sends the pieces and then FIN; answers what the server made of it. */
export async function converse(
  pieces: readonly Buffer[],
  handler: Handler,
  { isSlow = false, isHasty = false, isCramped = false }: Manners = {},
): Promise<Conversation> {
  const stream = new MemoryStream(isSlow);
  const home = new MemoryCommons(handler, isCramped ? crampedLimits : defaultLimits);
  const connection = new Connection(home, stream);
  stream.handler = connection;
  let delivered = 0;
  for (const piece of pieces) {
    if (!isHasty || stream.isPaused) await settle(stream);
    if (stream.isClosed) break;
    if (stream.isPaused) throw new Error('the server has stopped reading for ever');
    const bytes = Buffer.from(piece);
    connection.onData(stream, bytes);
    bytes.fill('!');
    delivered += piece.length;
  }
  await settle(stream);
  const closedAfter = stream.isClosed ? delivered : null;
  if (!stream.isClosed) connection.onEnd(stream);
  await settle(stream);
  const { sent, isEnded, wasAborted } = stream;
  connection.onClose(stream, null);
  await settle(stream);
  if (stream.sentBytes !== sent.length) throw new Error('something was sent after the end');
  return { sent, isEnded, closedAfter, wasAborted, reported: home.reported };
}
