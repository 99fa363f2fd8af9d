// The site on nginx, as far as nginx can serve it without a program behind it: a fixed text and a file. Arguments: a folder for its files.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const { announce, HELLO, IDLE_TIMEOUT_MS, LARGE, TLS_FILE } = await import(process.env.SITE);

const folder = process.argv[2];
const filesFolder = process.env.FILES ?? folder;

// nginx cannot choose a free port by itself.
const finder = createServer().listen(0, '127.0.0.1');
await once(finder, 'listening');
const { port } = finder.address();
finder.close();
await once(finder, 'close');

const tls =
  TLS_FILE === null
    ? { listen: '', settings: '' }
    : {
        listen: 'ssl',
        settings: `ssl_certificate ${TLS_FILE}; ssl_certificate_key ${TLS_FILE}; ssl_protocols TLSv1.2 TLSv1.3;`,
      };

writeFileSync(join(folder, 'large'), LARGE);
writeFileSync(
  join(folder, 'nginx.conf'),
  `daemon off;
master_process off; # one process: it is the worker
worker_rlimit_nofile 65536;
pid ${join(folder, 'nginx.pid')};
error_log stderr crit;
events { worker_connections 16384; }
http {
  access_log off;
  sendfile on;
  keepalive_requests 1000000000;
  keepalive_timeout ${IDLE_TIMEOUT_MS / 1000}s;
  open_file_cache max=10;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${join(folder, name)};`).join(' ')}
  server {
    listen 127.0.0.1:${port} backlog=4096 ${tls.listen};
    ${tls.settings}
    root ${folder};
    location = /hello { default_type 'text/plain; charset=utf-8'; return 200 ${JSON.stringify(HELLO)}; }
    location /files/ { alias ${filesFolder}/; types { text/plain txt; application/octet-stream bin; } }
    location = /large { default_type application/octet-stream; }
  }
}
`,
);

// nginx knows nothing of the benchmark: the kernel ends it together with this process.
const nginx = spawn('setpriv', ['--pdeathsig', 'KILL', 'nginx', '-e', 'stderr', '-c', join(folder, 'nginx.conf')], {
  stdio: ['ignore', 'inherit', 'inherit'],
});
nginx.on('exit', (code) => process.exit(code ?? 1));

async function isReady() {
  const socket = connect(port, '127.0.0.1');
  return new Promise((resolve) => {
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
  }).finally(() => socket.destroy());
}

while (!(await isReady())) await sleep(10);
announce(port);
