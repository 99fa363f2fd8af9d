// What the Fetch apps on simplenet have in common. The compiled server lies beside the compiled site.

import { site } from './node-server.mjs';

export const simplenet = await import(new URL('../http/index.js', process.env.SITE).href);

const { announce, IDLE_TIMEOUT_MS } = site;

export function serveApp(app) {
  announce(simplenet.serve(app, { timeouts: { idleMs: IDLE_TIMEOUT_MS } }).address.port);
}
