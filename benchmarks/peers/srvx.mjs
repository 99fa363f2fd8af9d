// The site as a Fetch app on srvx, with its FastResponse, or with the Response of the platform (RESPONSE=native).

import { FastResponse, serve } from 'srvx/node';
import { createApp } from './fetch-site.mjs';
import { site } from './node-server.mjs';

const { announce, IDLE_TIMEOUT_MS } = site;

const app = createApp(process.env.RESPONSE === 'native' ? Response : FastResponse);
const node = { keepAliveTimeout: IDLE_TIMEOUT_MS, backlog: 4096 };
const server = serve({ ...app, port: 0, hostname: '127.0.0.1', silent: true, gracefulShutdown: false, node });
await server.ready();
announce(server.node.server.address().port);
