/**
 * SameWork: reads the responses of a peer before the peer is timed. A server that leaves out the Date, the type or half of the
 * body would win by doing less.
 *
 * The check sends the bytes of the workload over a socket of TCP or TLS, as the load does: two rounds of requests on one connection, pipelined if
 * the workload is. It checks status, fields and body, and whether the connection closes.
 *
 * Next: same-socket-work.ts
 */

import { connect, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { gunzipSync } from 'node:zlib';
import { fieldOf, type ResponseHead, ResponseReader } from './response-reader.ts';
import { checkSocketWork } from './same-socket-work.ts';
import type { ExpectedAnswer, Workload } from './workloads.ts';

const TIMEOUT_MS = 5_000;
const MAX_DATE_ERROR_MS = 5_000;
const ROUNDS = 2;
const TLS_VERSION = 'TLSv1.3';

/** Returns what is wrong with a response, in a few words, or null. */
export function differenceOf(
  response: ResponseHead,
  body: Buffer,
  expected: ExpectedAnswer,
  now: number,
): string | null {
  const { status, head, framing } = response;
  if (status !== 200) return `the status is ${status}`;
  const mediaType = fieldOf(head, 'content-type')?.split(';')[0]?.trim().toLowerCase();
  if (mediaType !== expected.mediaType) return `Content-Type is ${mediaType ?? 'missing'}, not ${expected.mediaType}`;
  const date = fieldOf(head, 'date');
  if (date === null) return 'Date is missing';
  if (!(Math.abs(Date.parse(date) - now) < MAX_DATE_ERROR_MS)) return `Date is wrong: ${date}`;
  for (const name of expected.fields) if (fieldOf(head, name) === null) return `${name} is missing`;
  const isChunked = framing === 'chunked';
  if (expected.isChunked !== null && isChunked !== expected.isChunked)
    return isChunked ? 'the body is chunked' : 'the body is not chunked';
  if (framing === 'close') return 'the body has neither a length nor chunks';
  const contentEncoding = fieldOf(head, 'content-encoding');
  if (contentEncoding !== expected.contentEncoding) return `Content-Encoding is ${contentEncoding ?? 'missing'}`;
  const content = contentEncoding === 'gzip' ? gunzipSync(body) : body;
  if (!content.equals(expected.body)) return `the body differs: ${content.length} bytes, not ${expected.body.length}`;
  const saysClose = fieldOf(head, 'connection')?.toLowerCase() === 'close';
  if (saysClose !== expected.closes) return saysClose ? 'it closes the connection' : 'Connection: close is missing';
  return null;
}

/** Resolves with what is wrong with the server, or with null. */
export function checkWork(port: number, workload: Workload): Promise<string | null> {
  const { request, pipeline, tls, socket: exchange } = workload;
  if (exchange !== null) return checkSocketWork(port, request, exchange);
  const expected = workload.expected as ExpectedAnswer; // only a workload of WebSocket has none
  const rounds = expected.closes ? 1 : ROUNDS;
  const batch = Buffer.concat(Array<Buffer>(pipeline).fill(request));
  return new Promise((resolve) => {
    let responses = 0;
    let body: Buffer[] = [];
    const socket = connectTo(port, tls !== null, (protocol) => {
      if (protocol !== null && protocol !== TLS_VERSION) finish(`it speaks ${protocol}, not ${TLS_VERSION}`);
      else socket.write(batch);
    });
    const finish = (difference: string | null) => {
      socket.destroy();
      resolve(difference);
    };
    const isDone = () => responses === pipeline * rounds;
    const reader = new ResponseReader(
      (response) => {
        const difference = differenceOf(response, Buffer.concat(body), expected, Date.now());
        body = [];
        responses++;
        if (difference !== null) finish(difference);
        else if (isDone() && !expected.closes) finish(null);
        else if (responses % pipeline === 0 && !isDone()) socket.write(batch);
      },
      (bytes) => body.push(Buffer.from(bytes)),
    );
    socket.setTimeout(TIMEOUT_MS, () => finish(isDone() ? 'it does not close the connection' : 'it does not answer'));
    socket.on('data', (bytes) => {
      try {
        reader.push(bytes);
      } catch (error) {
        finish((error as Error).message);
      }
    });
    socket.on('end', () => finish(isDone() && expected.closes ? null : 'it ends the connection'));
    socket.on('error', (error) => finish(error.message));
  });
}

/** `onConnect` gets the version of TLS; null without it. The certificate is not verified: it is our own. */
function connectTo(port: number, isSecure: boolean, onConnect: (protocol: string | null) => void): Socket {
  if (!isSecure) return connect(port, '127.0.0.1', () => onConnect(null));
  const options = { port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] };
  const socket: TLSSocket = connectTls(options, () => onConnect(socket.getProtocol()));
  return socket;
}
