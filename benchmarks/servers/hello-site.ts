/**
 * The site of `npm run bench:workers`: a module, because each worker imports it.
 *
 * Next: workers-server.ts
 */

import { Router } from '../../http/index.ts';
import { HELLO } from '../site.ts';

export const site = new Router().get('/hello', (_request, response) => response.text(HELLO));

// biome-ignore lint/style/noDefaultExport: a worker takes the default export of a module for its site
export default site;
