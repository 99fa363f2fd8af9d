// The site on Hono, served by its adapter for Node, which replaces the global Response by one that is cheaper to send.

import { createAdaptorServer } from '@hono/node-server';
import { app } from './hono-site.mjs';
import { listen } from './node-server.mjs';

listen(createAdaptorServer({ fetch: app.fetch }));
