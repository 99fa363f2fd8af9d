/** HAProxy and nginx with the files of deploy/ before instances: who the client is, and restarts one after the other under load. */

import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';
import { connect as tlsConnect } from 'node:tls';
import { type Test, test } from 'tap';
import { certificateFor } from '../support/certificates.ts';
import { missing } from '../support/programs.ts';
import { Balancer } from './balancer.ts';

const tls = certificateFor('localhost', '127.0.0.1');

/** Debian has it in a package of its own, libnginx-mod-stream. */
const hasStream = existsSync('/usr/lib/nginx/modules/ngx_stream_module.so');

const balancers = [
  {
    name: 'HAProxy',
    command: 'haproxy',
    args: (path: string) => ['-db', '-f', path],
    file: 'haproxy.cfg',
    skip: missing('haproxy'),
  },
  {
    name: 'nginx',
    command: 'nginx',
    args: (path: string) => ['-c', path, '-g', `daemon off; pid ${path}.pid; error_log stderr;`],
    file: 'nginx.conf',
    skip: missing('nginx') || (hasStream ? false : 'nginx has no module for TCP'),
  },
] as const;

async function balancerWith(t: Test, { command, args, file }: (typeof balancers)[number]): Promise<Balancer> {
  const balancer = new Balancer();
  t.teardown(() => balancer.close());
  await Promise.all([8081, 8082, 8083].map((port) => balancer.instance(port)));
  await balancer.start(command, args, file);
  return balancer;
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

async function ask(url: string, agent: Agent, headers: Record<string, string> = {}): Promise<Answer> {
  const asked = request(url, { agent, headers }).end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  let body = '';
  for await (const piece of response.setEncoding('utf8')) body += piece;
  return { status: response.statusCode as number, body };
}

for (const balancer of balancers) {
  const { name, skip } = balancer;

  test(`${name}: the client is who has connected to it, whatever that one says`, { skip }, async (t) => {
    const front = await balancerWith(t, balancer);
    const agent = new Agent({ localAddress: '127.0.0.99' });
    const lies = {
      'X-Forwarded-For': '6.6.6.6, 10.0.0.1',
      'X-Forwarded-Proto': 'https',
      'X-Forwarded-Host': 'evil.example',
      Forwarded: 'for=6.6.6.6;host=evil.example',
    };
    for (const headers of [{}, lies]) {
      const { status, body } = await ask(front.url, agent, { Host: 'site.example', ...headers });
      t.equal(status, 200);
      // 127.0.0.99 is itself in the trusted range, so this also shows that nothing stands left of it
      t.match(JSON.parse(body), { client: '127.0.0.99', scheme: 'http', url: 'http://site.example/' });
      t.notOk(/6\.6\.6\.6|evil/.test(body), body);
    }
  });

  test(`${name}: TLS passed on, with the client in a PROXY header`, { skip }, async (t) => {
    const front = await balancerWith(t, balancer);
    await front.instance(8084, { tls, proxyProtocol: { from: 'loopback' } });
    const socket = tlsConnect({
      host: front.address,
      port: 8443,
      localAddress: '127.0.0.98',
      ca: tls.cert,
      servername: 'localhost',
    } as object);
    await once(socket, 'secureConnect');
    const { localPort } = socket;
    socket.write('GET / HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n\r\n');
    let text = '';
    for await (const piece of socket.setEncoding('utf8')) text += piece;
    const said = JSON.parse(text.slice(text.indexOf('\r\n\r\n')));
    t.match(said, { client: '127.0.0.98', port: localPort, scheme: 'https', url: 'https://site.example/' });
  });
}

test('HAProxy: instances that restart one after the other lose no request', { skip: missing('haproxy') }, async (t) => {
  const [haproxy] = balancers;
  const front = new Balancer();
  t.teardown(() => front.close());
  const ports = [8081, 8082, 8083];
  const instances = await Promise.all(ports.map((port) => front.instance(port)));
  await front.start(haproxy.command, haproxy.args, haproxy.file);
  const load = new Load(front.url);
  for (const [i, port] of ports.entries()) {
    await load.served(200);
    const before = instances[i];
    before?.kill('SIGTERM');
    t.match(await before?.ends(), { code: 0, stderr: '' });
    await load.served(200);
    await front.instance(port);
  }
  await load.served(200);
  t.same(await load.stop(), []);
  t.equal(load.pids.size, 6, 'each instance, before and after');
});

/** Clients that ask without a pause, each with a connection that it keeps, and each time beside it with a new one. */
class Load {
  readonly pids = new Set<number>();
  #answers = 0;
  #isStopping = false;
  readonly #failures: string[] = [];
  readonly #clients: Promise<void>[];

  constructor(url: string) {
    this.#clients = Array.from({ length: 8 }, () => this.#ask(url));
  }

  /** So many more answers. */
  async served(count: number): Promise<void> {
    const goal = this.#answers + count;
    while (this.#answers < goal) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  /** Returns what went wrong. */
  async stop(): Promise<readonly string[]> {
    this.#isStopping = true;
    await Promise.all(this.#clients);
    return this.#failures;
  }

  async #ask(url: string): Promise<void> {
    const kept = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let i = 0; !this.#isStopping; i++) {
      try {
        const { status, body } = await ask(url, i % 4 === 0 ? new Agent() : kept);
        if (status === 200) this.pids.add((JSON.parse(body) as { pid: number }).pid);
        else this.#failures.push(`${status} ${body}`);
      } catch (error) {
        this.#failures.push(String(error));
      }
      this.#answers++;
    }
    kept.destroy();
  }
}
