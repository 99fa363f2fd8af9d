/**
 * crowd: many clients in a process of their own, which ask at the same moment and read what comes as fast as they can.
 *
 * Its argument is a CrowdPlan. It says `ready` to its parent when all are connected, begins when it is told to, and then says how
 * much has come. A plan without an end goes on until the process is ended.
 */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface CrowdPlan {
  readonly port: number;
  readonly connections: number;
  readonly path: string;
  /** Of each connection, all in one go; 0 for requests without end. */
  readonly requests: number;
  /** After so many bytes a connection has all its answers. */
  readonly answerBytes: number;
}

/** What an endless client writes at a time. */
const BATCH = 500;

const plan = JSON.parse(process.argv[2] ?? '') as CrowdPlan;
const request = `GET ${plan.path} HTTP/1.1\r\nHost: x\r\n\r\n`;
let receivedBytes = 0;

async function open(): Promise<Socket> {
  const socket = connect({ port: plan.port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  return socket;
}

function served(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    const wanted = plan.requests * plan.answerBytes;
    let bytes = 0;
    socket.on('error', reject).on('close', () => reject(new Error(`closed after ${bytes} of ${wanted} bytes`)));
    socket.on('data', (piece) => {
      bytes += piece.length;
      receivedBytes += piece.length;
      if (plan.requests > 0 && bytes >= wanted) resolve();
    });
  });
}

function askWithoutEnd(socket: Socket): void {
  const batch = request.repeat(BATCH);
  const more = () => {
    while (socket.write(batch));
  };
  socket.on('drain', more);
  more();
}

const sockets: Socket[] = [];
while (sockets.length < plan.connections) sockets.push(await open());
process.send?.('ready');
await once(process, 'message');
const all = sockets.map((socket) => served(socket));
for (const socket of sockets) {
  if (plan.requests === 0) askWithoutEnd(socket);
  else socket.write(request.repeat(plan.requests));
}
await Promise.all(all);
process.send?.(receivedBytes);
process.disconnect();
for (const socket of sockets) socket.removeAllListeners('close').destroy();
