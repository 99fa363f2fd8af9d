/**
 * One request of HTTP, from the handler down to the frames: `serve` on a stack of our own.
 *
 * The client writes what curl would. The response leaves in one segment with the acknowledgment of the request.
 */

import { Router, serve } from '../../http/index.ts';
import { createExperiment, SERVER, say } from '../support/experiment.ts';

const { host, client, server } = await createExperiment({ isFresh: true });

const router = new Router();
router.get('/hello/:name', (request, response) => {
  say(`the handler runs for '${request.params.name}'`);
  response.text(`Hello, ${request.params.name}!\n`);
});
serve(router, { loop: server, host: SERVER, port: 80 });

const stream = client.connect(
  { address: SERVER, port: 80 },
  {
    onData(_stream, bytes) {
      say(`the client reads ${bytes.length} bytes, and has enough`);
      stream.end();
    },
  },
);
stream.write(Buffer.from('GET /hello/you HTTP/1.1\r\nHost: 10.9.0.2\r\n\r\n'));
await host.run(host.now() + 1_000);
