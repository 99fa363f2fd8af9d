// What the peers on node:http have in common: the site, and the settings that idle clients need.

export const site = await import(process.env.SITE);

const { announce, IDLE_TIMEOUT_MS } = site;

export function listen(server) {
  server.keepAliveTimeout = IDLE_TIMEOUT_MS;
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => announce(server.address().port));
}
