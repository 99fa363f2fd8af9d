/**
 * https-workers: a program whose worker threads serve HTTPS and are terminated, again and again, while handshakes are under way.
 *
 *     node https-workers.js COUNT
 *
 * An abort of the process is seen by its parent. At the end it prints how many handshakes were complete.
 */

import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { serve } from '../../http/index.ts';
import { certificateFor } from '../support/certificates.ts';

const CLIENTS = 8;
const WORKERS_AT_ONCE = 2;
const LONGEST_LIFE_MS = 40;

if (isMainThread) {
  const count = Number(process.argv[2]);
  const tls = certificateFor('localhost');
  let complete = 0;
  let begun = 0;
  const live = async (): Promise<void> => {
    while (begun < count) {
      const lifeMs = (begun++ * 7) % LONGEST_LIFE_MS;
      const worker = new Worker(new URL(import.meta.url), { workerData: tls });
      const [port] = await once(worker, 'message');
      let isOver = false;
      let handshakeDone = () => {};
      const firstHandshake = new Promise<void>((resolve) => {
        handshakeDone = resolve;
      });
      const open = new Set<TLSSocket>();
      const clients = Array.from({ length: CLIENTS }, async () => {
        while (!isOver) {
          const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
          open.add(socket);
          socket
            .on('error', () => {})
            .on('secureConnect', () => {
              complete++;
              handshakeDone();
              socket.end('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
            });
          socket.resume();
          await once(socket, 'close').catch(() => {});
          open.delete(socket);
        }
      });
      if (lifeMs % 2 === 0) await firstHandshake; // the others end in the middle of it, or before
      await new Promise((resolve) => setTimeout(resolve, lifeMs));
      isOver = true;
      await worker.terminate();
      // A descriptor that was just accepted may have no owner yet (test/attacks/terminate.ts looks at descriptors); this program looks for crashes.
      for (const socket of open) socket.destroy();
      await Promise.all(clients);
    }
  };
  await Promise.all(Array.from({ length: WORKERS_AT_ONCE }, live));
  console.log(complete);
} else {
  const server = serve((_request, response) => response.text('hello'), { tls: workerData });
  parentPort?.postMessage(server.port);
}
