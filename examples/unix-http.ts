/**
 * HTTP over a Unix socket: a path instead of a port, file permissions instead of a firewall, and the kernel says who asks.
 *
 * A path must be looked after as no port must: who may open it, what was left there, and who removes it. See support/private-path.ts.
 */

import { unlinkSync } from 'node:fs';
import { serve } from '../http/index.ts';
import { withPrivatePath } from './support/private-path.ts';

const path = process.argv[2];
if (path === undefined) throw new Error('Usage: npm run example -- unix-http PATH');
const server = withPrivatePath(path, () =>
  serve((request, response) => response.json({ path: request.path, you: request.peerCredentials }), { path }),
);
const stop = () => {
  unlinkSync(path); // while we still listen: nobody can have put another one in its place
  void server.close();
};
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, stop);
console.log(`try: curl --unix-socket ${path} http://localhost/hello`);
