/**
 * Workloads: the requests to each server, byte for byte, and the expected responses.
 *
 * A workload is a request, the number of connections, the way in which they send it, and the expected response. The bytes are fixed, so
 * each load generator sends the same, and no request has to be made while a round is timed.
 *
 * Next: servers/simplenet.ts
 */

import { HELLO, LARGE, LIST, PAGE, recordOf, STREAM_CHUNK, STREAM_CHUNKS } from './site.ts';

export interface ExpectedAnswer {
  readonly mediaType: string;
  /** Without its Content-Encoding. */
  readonly body: Buffer;
  /** Null: either is the same work. */
  readonly isChunked: boolean | null;
  readonly contentEncoding: 'gzip' | null;
  /** Names of fields that it must have beside those of every response. */
  readonly fields: readonly string[];
  /** The connection closes after the response. */
  readonly closes: boolean;
}

/** What goes over a WebSocket once it is open. Each frame is a message. */
export interface SocketExchange {
  /** What a client sends. */
  readonly frame: Buffer;
  /** What comes of it. */
  readonly answer: Buffer;
  /** It comes to all connections, and the next one is sent when all have it. Else each connection gets back what it has sent. */
  readonly isToAll: boolean;
}

export type TlsSessions = 'kept' | 'full' | 'resumed';

export interface Workload {
  readonly name: string;
  /** The description in the head of a table. */
  readonly title: string;
  readonly request: Buffer;
  /** What is asked while the server warms up; null: the same. */
  readonly warmUpRequest: Buffer | null;
  /** Null for WebSocket, where the response to the handshake says nothing. */
  readonly expected: ExpectedAnswer | null;
  /** The request is the handshake of WebSocket, and this follows. Null: it is HTTP. */
  readonly socket: SocketExchange | null;
  readonly connections: number;
  /** Requests that a connection sends at once before it waits for their responses. */
  readonly pipeline: number;
  /**
   * What follows a response over TLS. 'kept': the connection stays. 'full': the client ends it, and makes another one by a full handshake. 'resumed': the same,
   * with the ticket that it got. Null: there is no TLS.
   */
  readonly tls: TlsSessions | null;
  /** Requests a second, evenly over all connections, whether the server keeps up or not. Null: as many as the server can take. */
  readonly rate: number | null;
  /** What is compared: CPU time for each request, memory for each idle connection, or the 99th percentile of latency. */
  readonly figure: 'cpu' | 'memory' | 'p99';
  /** The peers that serve it; null: those that do not leave it out. */
  readonly peers: readonly string[] | null;
  /** The peers with which all are compared; null: the usual ones. */
  readonly references: readonly string[] | null;
}

const CONNECTIONS = 64;
const PIPELINE = 16;
const POST_BYTES = 65_536;
const IDLE_CONNECTIONS = 10_000;
/** Well below what the slowest peer can take on one core. */
const PACE = 10_000;
/** Below what each of its peers can take. */
const FILE_PACE = 4_000;
const BROWSER_HEAD_BYTES = 1_024;

function request(line: string, fields: readonly string[] = [], body: Buffer = Buffer.alloc(0)): Buffer {
  const head = [`${line} HTTP/1.1`, 'Host: localhost', ...fields, '', ''].join('\r\n');
  return Buffer.concat([Buffer.from(head), body]);
}

function answer(mediaType: string, body: Buffer | string, differences: Partial<ExpectedAnswer> = {}): ExpectedAnswer {
  return {
    mediaType,
    body: Buffer.from(body),
    isChunked: false,
    closes: false,
    contentEncoding: null,
    fields: [],
    ...differences,
  };
}

/** The head that Chrome sends for a call of a web application. A cookie makes it one kilobyte long. */
function browserRequest(): Buffer {
  const fields = [
    'Connection: keep-alive',
    'sec-ch-ua-platform: "Linux"',
    'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
    'Accept: application/json, text/plain, */*',
    'sec-ch-ua: "Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"',
    'sec-ch-ua-mobile: ?0',
    'Sec-Fetch-Site: same-origin',
    'Sec-Fetch-Mode: cors',
    'Sec-Fetch-Dest: empty',
    'Referer: http://localhost/orders/4711',
    'Accept-Encoding: gzip, deflate, br, zstd',
    'Accept-Language: en-GB,en;q=0.9,de-DE;q=0.8,de;q=0.7',
  ];
  const line = 'GET /api/orders/4711/items/42?expand=customer&fields=title,price';
  const cookie = 'Cookie: session=';
  const missing = BROWSER_HEAD_BYTES - request(line, [...fields, cookie]).length;
  return request(line, [...fields, cookie + 'a1b2c3d4e5f6'.repeat(BROWSER_HEAD_BYTES).slice(0, missing)]);
}

const hello = {
  request: request('GET /hello'),
  warmUpRequest: null,
  expected: answer('text/plain', HELLO),
  socket: null,
  connections: CONNECTIONS,
  pipeline: 1,
  tls: null,
  rate: null,
  figure: 'cpu',
  peers: null,
  references: null,
} as const;

const OURS = ['simplenet', 'simplenet-uring'];
/** A client that has nothing yet and asks for the file needs them later. */
const FILE_FIELDS = ['etag', 'last-modified'];

const MESSAGE = Buffer.alloc(64, 'a message of a chat, ');
const MASK = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);
const TEXT_FRAME = 0x81;
const MASKED = 0x80;

function webSocket(path: string, isToAll: boolean) {
  const masked = MESSAGE.map((byte, i) => byte ^ (MASK[i % MASK.length] as number));
  return {
    ...hello,
    request: request(`GET ${path}`, [
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ]),
    expected: null,
    socket: {
      frame: Buffer.concat([Buffer.from([TEXT_FRAME, MASKED | MESSAGE.length]), MASK, masked]),
      answer: Buffer.concat([Buffer.from([TEXT_FRAME, MESSAGE.length]), MESSAGE]),
      isToAll,
    },
    peers: [...OURS, 'ws', 'bun', 'uws', 'c-sockets'],
    references: ['ws', 'bun', 'c-sockets'],
  };
}

const BROADCAST_CONNECTIONS = 1_000;

const https = {
  ...hello,
  tls: 'kept',
  peers: [...OURS, 'node', 'bun', 'nginx'],
  references: ['node', 'bun', 'nginx'],
} as const;

const largeFields = {
  request: request('GET /large'),
  expected: answer('application/octet-stream', LARGE),
  connections: 16,
};

const body = Buffer.alloc(POST_BYTES, 'what was uploaded\n');

const largeFile: Workload = {
  ...hello,
  name: 'file',
  title: 'a file of 1 MB, 16 connections',
  request: request('GET /files/large.bin'),
  warmUpRequest: request('GET /files/middle.bin'), // two seconds of large files are too few for V8 to optimise anything
  expected: answer('application/octet-stream', LARGE, { fields: FILE_FIELDS }),
  connections: 16,
  peers: [...OURS, 'fastify', 'nginx'],
  references: ['fastify', 'nginx'],
};

export const workloads: readonly Workload[] = [
  { ...hello, name: 'hello', title: 'GET, 14 bytes, 64 connections' },
  { ...hello, name: 'hello-1', title: 'GET, 14 bytes, 1 connection', connections: 1 },
  { ...hello, name: 'hello-512', title: 'GET, 14 bytes, 512 connections', connections: 512 },
  { ...hello, name: 'pipelined', title: 'GET, 14 bytes, pipelined by 16', pipeline: PIPELINE },
  {
    ...hello,
    name: 'browser',
    title: '1 KB of browser headers, 100 routes, JSON',
    request: browserRequest(),
    expected: answer('application/json', JSON.stringify(recordOf('orders', { id: '4711', item: '42' }))),
  },
  { ...hello, name: 'fetch-hello', title: 'GET, 14 bytes: what a Fetch app costs beside a Handler' },
  {
    ...hello,
    name: 'fetch-json',
    title: 'GET, 100 routes, JSON: what a Fetch app costs beside a Handler',
    request: request('GET /api/orders/4711', ['Accept: application/json']),
    expected: answer('application/json', JSON.stringify(recordOf('orders', { id: '4711' }))),
  },
  {
    ...hello,
    name: 'connection',
    title: 'a new connection for each GET',
    request: request('GET /hello', ['Connection: close']),
    expected: answer('text/plain', HELLO, { closes: true }),
  },
  {
    ...hello,
    name: 'post',
    title: 'POST of 64 KB, read and echoed',
    request: request('POST /echo', ['Content-Type: application/octet-stream', `Content-Length: ${POST_BYTES}`], body),
    expected: answer('application/octet-stream', body),
  },
  {
    ...hello,
    name: 'large',
    ...largeFields,
    title: 'an answer of 1 MB, 16 connections',
  },
  {
    ...hello,
    name: 'stream',
    title: 'an answer of 16 chunks of 1 KB',
    request: request('GET /stream'),
    expected: answer('text/plain', Buffer.concat(Array(STREAM_CHUNKS).fill(STREAM_CHUNK)), { isChunked: true }),
  },
  {
    ...hello,
    name: 'static',
    title: 'a file of 1 KB, beside a text',
    request: request('GET /files/page.txt'),
    expected: answer('text/plain', PAGE, { fields: FILE_FIELDS }),
    peers: [...OURS, 'simplenet-hello', 'simplenet-uring-hello', 'fastify', 'nginx'],
    references: ['simplenet-hello', 'simplenet-uring-hello', 'fastify'],
  },
  largeFile,
  {
    ...largeFile,
    name: 'file-paced',
    title: 'a file of 1 MB, 4,000 times a second, 16 connections',
    rate: FILE_PACE,
    peers: [...OURS, 'nginx'],
    references: ['nginx'],
  },
  {
    ...hello,
    name: 'gzip',
    title: 'JSON of 10 KB, compressed by gzip',
    request: request('GET /list', ['Accept-Encoding: gzip']),
    expected: answer('application/json', JSON.stringify(LIST), { isChunked: null, contentEncoding: 'gzip' }),
    peers: [...OURS, 'hono'],
    references: ['hono'],
  },
  {
    ...hello,
    name: 'idle',
    title: 'memory of each of 10,000 idle connections',
    connections: IDLE_CONNECTIONS,
    figure: 'memory',
  },
  {
    ...hello,
    name: 'paced-64',
    title: 'latency of a GET at 10,000 requests a second, 64 connections',
    rate: PACE,
    figure: 'p99',
  },
  {
    ...hello,
    name: 'paced-512',
    title: 'latency of a GET at 10,000 requests a second, 512 connections',
    connections: 512,
    rate: PACE,
    figure: 'p99',
  },
  { ...webSocket('/ws/echo', false), name: 'ws-echo', title: 'WebSocket: 64 bytes echoed, 64 connections' },
  {
    ...webSocket('/ws/all', true),
    name: 'ws-broadcast',
    title: 'WebSocket: 64 bytes to 1,000 connections, for each that gets them',
    connections: BROADCAST_CONNECTIONS,
  },
  {
    ...webSocket('/ws/echo', false),
    name: 'ws-idle',
    title: 'WebSocket: memory of each of 10,000 idle connections',
    peers: [...OURS, 'ws', 'bun', 'uws'], // a connection of the C server is a number
    references: ['ws', 'bun'],
    connections: IDLE_CONNECTIONS,
    figure: 'memory',
  },
  { ...https, name: 'https-hello', title: 'HTTPS: GET, 14 bytes, 64 connections' },
  { ...https, name: 'https-handshake', title: 'HTTPS: a full handshake for each GET', tls: 'full' },
  { ...https, name: 'https-resumed', title: 'HTTPS: a handshake with a ticket for each GET', tls: 'resumed' },
  { ...https, ...largeFields, name: 'https-large', title: 'HTTPS: an answer of 1 MB, 16 connections' },
  {
    ...https,
    name: 'https-idle',
    title: 'HTTPS: memory of each of 10,000 idle connections',
    connections: IDLE_CONNECTIONS,
    figure: 'memory',
  },
];

export const defaultWorkloads = ['hello', 'pipelined', 'browser', 'connection'];
