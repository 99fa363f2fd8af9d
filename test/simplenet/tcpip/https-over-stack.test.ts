/** HTTPS on our own TCP/IP: the server and its client of TLS on two stacks, over a wire that loses frames. Nothing of it touches a socket of the kernel. */

import { test } from 'tap';
import { serve } from '../../../http/index.ts';
import { connectTls } from '../../../simplenet/layers/accept-tls.ts';
import { openssl } from '../../../simplenet/layers/openssl.ts';
import { openHandles } from '../../../simplenet/layers/openssl-handles.ts';
import { createClientContext } from '../../../simplenet/layers/tls-context.ts';
import { LossyStackWorld, StackWorld } from '../../contracts/stack-world.ts';
import { certificateFor } from '../../support/certificates.ts';

const LARGE_BYTES = 200_000;

const worlds = { 'a perfect wire': new StackWorld(1), 'a wire that loses 5 %': new LossyStackWorld(2) };

for (const [name, world] of Object.entries(worlds)) {
  test(`HTTPS over ${name}`, async (t) => {
    const before = openHandles().SSL;
    const server = serve(
      (request, response) => response.text(`${request.url} ${request.tls?.version} ${'x'.repeat(LARGE_BYTES)}`),
      { loop: world.left, host: '10.9.0.1', port: 443, tls: certificateFor('site.example') },
    );
    const context = createClientContext();
    const parts: Buffer[] = [];
    const ends: unknown[] = [];
    const client = connectTls(
      context,
      {
        onData: (_stream, bytes) => void parts.push(Buffer.from(bytes)),
        onClose: (_stream, error) => void ends.push(error),
      },
      (below) => world.right.connect({ address: '10.9.0.1', port: 443 }, below),
      { serverName: 'site.example' },
    );
    client.write(Buffer.from('GET /a HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n\r\n'));
    await world.until(() => ends.length > 0, 'the response');
    t.same(ends, [null], 'the server has ended it with close_notify');
    const text = Buffer.concat(parts).toString();
    t.match(text.slice(0, 15), 'HTTP/1.1 200 OK');
    t.ok(text.endsWith(`https://site.example/a TLSv1.3 ${'x'.repeat(LARGE_BYTES)}`));
    let isClosed = false;
    void server.close({ graceMs: 0 }).then(() => {
      isClosed = true;
    });
    while (!isClosed) {
      await world.quiet(); // time passes on the wire
      await new Promise((resolve) => setImmediate(resolve));
    }
    openssl.SSL_CTX_free(context);
    await world.close();
    t.equal(openHandles().SSL, before);
  });
}
