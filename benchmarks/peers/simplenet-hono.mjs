// The site on Hono, served by simplenet. FastResponse is the counterpart of what Hono's adapter for Node does by default.

import { app } from './hono-site.mjs';
import { serveApp, simplenet } from './simplenet.mjs';

simplenet.useFastResponse();
serveApp(app);
