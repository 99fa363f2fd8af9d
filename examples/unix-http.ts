/**
 * HTTP over a Unix socket: a path instead of a port, file permissions instead of a firewall, and the kernel says who asks.
 *
 * The server removes the file of its socket when it stops, and at its start the file of a killed server. support/private-path.ts lets
 * only the owner connect.
 */

import { serve } from '../http/index.ts';
import { withPrivatePath } from './support/private-path.ts';

const path = process.argv[2];
if (path === undefined) throw new Error('Usage: npm run example -- unix-http PATH');
const server = withPrivatePath(() =>
  serve((request, response) => response.json({ path: request.path, you: request.peerCredentials }), { path }),
);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void server.close());
console.log(`try: curl --unix-socket ${path} http://localhost/hello`);
