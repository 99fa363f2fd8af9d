/**
 * The demonstration: a small site that shows what the server can do. Run it with `npm start`, then type the curl lines that
 * it prints.
 */

import { createHash } from 'node:crypto';
import { openSync, readFileSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { peers, Router, type ServeOptions, type Server, secureHeaders, serve, Workers } from './http/index.ts';
import {
  type Backend,
  backendAdvice,
  captureFrames,
  createStack,
  developmentCertificate,
  keyLogFile,
  type Link,
  libc,
  openTap,
  type Stack,
  type TlsOptions,
  tapAdvice,
  trace,
  traceFrames,
} from './simplenet/index.ts';

const usage = `Usage: npm start -- [options]
  --host ADDRESS  the address to listen on (HOST, 127.0.0.1); :: takes IPv6 and IPv4
  --port NUMBER   the port, 0 for any that is free (PORT, 8080)
  --backend NAME  the event loop: epoll, io_uring or auto (SIMPLENET_BACKEND, auto)
  --workers N     so many processes serve, auto is one for each core; SIGHUP replaces them
  --tls           HTTPS, with a certificate for development that is made and kept
  --cert FILE     HTTPS, with this certificate (PEM); SIGHUP reads it and its key again
  --key FILE      the key of --cert (PEM)
  --trace         write every system call to standard error
  --help          show this
A network of its own, from Ethernet frames up:
  --tap NAME      a TAP interface, made if it is not there; examples/with-tap.sh makes one without root
  --address A/N   the address of the server there, and the length of its network's prefix: 10.9.0.2/24
  --gateway A     the router to other networks
  --port NUMBER   the port (PORT, 80)
  --pcap FILE     write each frame to a file for tcpdump and Wireshark
  --trace         write each frame, and what is done with the connections above, to standard error`;

const site = new Router();

site.get('/', (_request, response) => {
  response.text('Hello from raw system calls.\n');
});

site.get('/hello/:name', (request, response) => {
  response.text(`Hello, ${request.params.name}!\n`);
});

site.post('/json', async (request, response) => {
  response.json({ received: await request.json() });
});

/** Hashes the body as it arrives, so a large file takes no more memory than a small one. */
site.put('/upload', async (request, response) => {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of request.body) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  response.json({ bytes, sha256: hash.digest('hex') });
});

/** Sends a response in pieces. Each `write` waits until the client has taken what was queued. */
site.get('/slow', async (_request, response) => {
  response.header('Content-Type', 'text/plain; charset=utf-8');
  for (let count = 5; count > 0; count--) {
    await response.write(`${count}...\n`);
    await sleep(500);
  }
  response.end('Done.\n');
});

/** The server writes the error to the log. The client only gets 500. */
site.get('/error', () => {
  throw new Error('this error is deliberate');
});

site.all('/request', (request, response) => {
  const { method, target, path, httpVersion, authority, remoteAddress } = request;
  response.json({
    method,
    target,
    path,
    query: Object.fromEntries(request.query),
    httpVersion,
    authority,
    remoteAddress,
    headers: [...request.headers],
  });
});

const options = {
  host: { type: 'string' },
  port: { type: 'string' },
  backend: { type: 'string' },
  workers: { type: 'string' },
  tls: { type: 'boolean', default: false },
  cert: { type: 'string' },
  key: { type: 'string' },
  tap: { type: 'string' },
  address: { type: 'string' },
  gateway: { type: 'string' },
  pcap: { type: 'string' },
  trace: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

type Settings = ReturnType<typeof settings>;

function settings() {
  const { values } = parseArgs({ options });
  if (values.port === '') throw new RangeError('--port is empty'); // `serve` would choose any free port
  const { tap, address, host, backend } = values;
  if ((values.cert === undefined) !== (values.key === undefined))
    throw new RangeError('--cert and --key belong together');
  if (tap === undefined) {
    for (const name of ['address', 'gateway', 'pcap'] as const) {
      if (values[name] !== undefined) throw new RangeError(`--${name} is for a network of its own, so it needs --tap`);
    }
  } else {
    if (address === undefined) throw new RangeError('--tap needs --address, such as 10.9.0.2/24');
    if (host !== undefined) throw new RangeError('--host is an address of the kernel: with --tap it is --address');
    if (values.workers !== undefined)
      throw new RangeError('--workers share a socket of the kernel: with --tap there is none');
    if (backend !== undefined)
      throw new RangeError('--backend is a loop of the kernel: with --tap there is none to choose');
  }
  return values;
}

/**
 * SIGINT and SIGTERM stop the server when the responses under way are complete. A second SIGINT does not wait for them. A second SIGTERM
 * changes nothing: npm and supervisors send it twice, to the process and to its group, and no request may be lost by that.
 */
function stopOnSignals(stop: () => void): void {
  process.on('SIGTERM', stop);
  process.once('SIGINT', () => {
    stop();
    process.once('SIGINT', () => process.exit(130));
  });
}

const limits = { bodyBytes: 16 * 1024 ** 3 };

/** What `tls` of `serve` gets, and what a person must know to use it with curl. */
interface Security {
  readonly tls: TlsOptions | undefined;
  readonly curl: string;
  readonly note: string | null;
}

/** With SSLKEYLOGFILE, as curl has it, the secrets of all connections go to that file, for Wireshark. */
function securityOf(chosen: Settings): Security {
  const { tls, curl, note } = certificateOf(chosen);
  const { SSLKEYLOGFILE: keyLog = '' } = process.env;
  if (tls === undefined || keyLog === '') return { tls, curl, note };
  const warning = `The secrets of all connections go to ${keyLog} (SSLKEYLOGFILE).`;
  const notes = note === null ? warning : `${note}\n${warning}`;
  return { tls: { ...tls, onKeyLog: keyLogFile(keyLog) }, curl, note: notes };
}

function certificateOf({ tls, cert, key }: Settings): Security {
  if (cert !== undefined && key !== undefined) {
    return { tls: { cert: readFileSync(cert), key: readFileSync(key) }, curl: 'curl', note: null };
  }
  if (!tls) return { tls: undefined, curl: 'curl', note: null };
  const { tls: made, fingerprint, path, whyNotKept } = developmentCertificate();
  const note = `The certificate is for development. Its SHA-256: ${fingerprint}`;
  if (path === null) return { tls: made, curl: 'curl -k', note: `${note}\nIt is for this run alone: ${whyNotKept}` };
  return { tls: made, curl: `curl --cacert ${path}`, note };
}

/**
 * SIGHUP reads the files again, for connections that come from now on, and replaces the workers. A terminal that closes sends it, too, and then nothing keeps the server
 * running that it would have ended.
 */
function reloadOnHangUp(server: Server | Workers, { cert, key }: Settings, { tls }: Security): void {
  const hasFiles = cert !== undefined && key !== undefined;
  const replace = server instanceof Workers ? () => server.restart() : null;
  if (replace === null && (!hasFiles || process.stdin.isTTY)) return;
  process.on('SIGHUP', async () => {
    try {
      if (hasFiles) server.setTls({ ...tls, cert: readFileSync(cert), key: readFileSync(key) });
    } catch (error) {
      console.error(`The certificate in use stays: ${(error as Error).message}`);
    }
    await replace?.().catch((error: Error) => console.error(error.message));
  });
}

function printLines(server: Server | Workers, advice: string | null, { curl, note }: Security): void {
  console.log(`Listening on ${server.url}. In another terminal, type:

  ${curl} ${server.url}/hello/world
  ${curl} -T package.json ${server.url}/upload
  ${curl} -N ${server.url}/slow`);
  if (note !== null) console.log(`\n${note}`);
  if (advice !== null) console.log(`\n${advice}`);
}

/** Over TLS a browser also gets the fields that protect its user. It ignores Strict-Transport-Security of an address, and of a certificate that it does not trust (RFC 6797 section 8.1). */
function siteFor({ tls }: Security): Router {
  return tls === undefined ? site : new Router().use(secureHeaders()).use(site);
}

function serveOnKernel(chosen: Settings): void {
  const host = chosen.host ?? (process.env.HOST || '127.0.0.1');
  const port = chosen.port ?? (process.env.PORT || '8080');
  const backend = (chosen.backend ?? (process.env.SIMPLENET_BACKEND || 'auto')) as Backend;
  if (chosen.trace) trace();
  const security = securityOf(chosen);
  const shared = { host, port, backend, limits, tls: security.tls };
  const server =
    chosen.workers === undefined ? serve(siteFor(security), shared) : serveByWorkers(chosen.workers, shared);
  stopOnSignals(() => void server.close());
  reloadOnHangUp(server, chosen, security);
  printLines(server, backendAdvice(backend), security);
}

/** Each worker loads this file, takes its default export, and leaves out `main`. */
function serveByWorkers(workers: string, shared: ServeOptions): Workers {
  const count = /^\d+$/.test(workers) ? Number(workers) : (workers as 'auto');
  return serve(new URL(import.meta.url), { ...shared, workers: count });
}

function openLink(name: string): Link {
  try {
    return openTap(name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
    throw new Error(
      `--tap ${name} takes root or CAP_NET_ADMIN: examples/with-tap.sh gives a command both, and a network of its own`,
    );
  }
}

/** What is written at once is in the file also if the process ends by a signal. */
function capture(link: Link, file: string): Link {
  const descriptor = openSync(file, 'w');
  return captureFrames(link, (bytes) => writeSync(descriptor, bytes), Date.now);
}

const printLine = (line: string): void => void process.stderr.write(`${line}\n`);

function serveOnTap(chosen: Settings, name: string, address: string): void {
  const { gateway, pcap, trace: isTraced } = chosen;
  const wasThere = libc.if_nametoindex(name) > 0;
  let link = openLink(name);
  if (pcap !== undefined) link = capture(link, pcap);
  if (isTraced) link = traceFrames(link, printLine);
  const stack = createStack({
    link,
    address,
    ...(gateway === undefined ? {} : { gateway }),
    ...(isTraced ? { trace: printLine } : {}),
  });
  const port = chosen.port ?? (process.env.PORT || '80');
  const [host = ''] = address.split('/');
  const security = securityOf(chosen);
  const server = serve(siteFor(security), { loop: stack, host, port, limits, tls: security.tls });
  stopOnSignals(() => void stopStack(server, stack));
  reloadOnHangUp(server, chosen, security);
  printLines(server, tapAdvice(name, address, { wasThere, ...(gateway === undefined ? {} : { gateway }) }), security);
}

/** The stack is here, so it must stay until the clients have the last bytes. A kernel would see to that by itself. */
async function stopStack(server: Server, stack: Stack): Promise<void> {
  await server.close();
  stack.close();
}

function main(): void {
  const chosen = settings();
  const { tap, address } = chosen;
  if (chosen.help) console.log(usage);
  else if (tap !== undefined && address !== undefined) serveOnTap(chosen, tap, address);
  else serveOnKernel(chosen);
}

// biome-ignore lint/style/noDefaultExport: workers serve the default export of a module.
export default site;

try {
  if (peers.index === null) main();
} catch (error) {
  // Only the first sentence: parseArgs adds advice about positional arguments, and this program has none.
  console.error((error as Error).message.split('. ')[0]);
  if ((error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS')) console.error(`\n${usage}`);
  process.exitCode = 1;
}
