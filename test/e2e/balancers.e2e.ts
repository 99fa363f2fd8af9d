/** HAProxy and nginx with the files of deploy/ before instances: who the client is, and restarts one after the other under load. */

import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { connect as tlsConnect } from 'node:tls';
import { type Test, test } from 'tap';
import { certificateFor } from '../support/certificates.ts';
import { missing, type Program } from '../support/programs.ts';
import { until } from '../support/waiting.ts';
import { Balancer, balancers, haproxy } from './balancer.ts';
import { ask, Load } from './load.ts';

const tls = certificateFor('localhost', '127.0.0.1');

const PORTS = [8081, 8082, 8083];

async function balancerWith(t: Test, kind: (typeof balancers)[number]): Promise<Balancer> {
  const balancer = new Balancer(kind);
  t.teardown(() => balancer.close());
  await Promise.all(PORTS.map((port) => balancer.instance(port)));
  await balancer.start();
  return balancer;
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
      const { status, body } = await ask(front.url, { agent, headers: { Host: 'site.example', ...headers } });
      t.equal(status, 200);
      // 127.0.0.99 is itself in the trusted range, so this also shows that nothing stands left of it
      t.match(JSON.parse(body), { client: '127.0.0.99', scheme: 'http', url: 'http://site.example/' });
      t.notOk(/6\.6\.6\.6|evil/.test(body), body);
    }
  });

  test(`${name}: a host in the target replaces Host, and a client of HTTP/1.0 need not name one`, {
    skip,
  }, async (t) => {
    const front = await balancerWith(t, balancer);
    /** The URL that the site has seen, or the status of an error. */
    const seenFor = async (head: string) => {
      const socket = connect(8080, front.address);
      socket.write(`${head}\r\nConnection: close\r\n\r\n`);
      let text = '';
      for await (const piece of socket.setEncoding('utf8')) text += piece;
      const [, status] = /^HTTP\/1\.[01] (\d+) /.exec(text) ?? [];
      return status === '200' ? JSON.parse(text.slice(text.indexOf('\r\n\r\n'))).url : status;
    };
    for (const [target, host, url] of [
      ['/', 'site.example', 'http://site.example/'],
      ['/', 'site.example:8443', 'http://site.example:8443/'],
      ['/', '[::1]:8443', 'http://[::1]:8443/'],
      ['http://abs.example:82/', 'abs.example:82', 'http://abs.example:82/'],
      // HAProxy refuses what names two hosts.
      ['http://abs.example/', 'other.example:81', name === 'HAProxy' ? '400' : 'http://abs.example/'],
      ['http://abs.example:82/', 'other.example', name === 'HAProxy' ? '400' : 'http://abs.example:82/'],
    ] as const) {
      t.equal(await seenFor(`GET ${target} HTTP/1.1\r\nHost: ${host}`), url, `${target} ${host}`);
    }
    t.match(await seenFor('GET / HTTP/1.0'), /^http:/);
  });

  test(`${name}: TLS passed on, with the client in a PROXY header`, { skip }, async (t) => {
    const front = await balancerWith(t, balancer);
    writeFileSync(join(front.folder, 'cert.pem'), tls.cert);
    writeFileSync(join(front.folder, 'key.pem'), tls.key);
    await front.instance(8084);
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

test('HAProxy: instances that restart one after the other refuse no request', {
  skip: missing('haproxy'),
}, async (t) => {
  const front = new Balancer();
  t.teardown(() => front.close());
  const instances = await Promise.all(PORTS.map((port) => front.instance(port)));
  // What depended on another try would fail.
  await front.start((text) => text.replace(/^ +retries 3$/m, 'retries 0'));
  t.match(readFileSync(join(front.folder, haproxy.file), 'utf8'), /^retries 0$/m);
  const load = new Load(front.url);
  for (const [i, port] of PORTS.entries()) {
    await load.served(200);
    const before = instances[i] as Program;
    before.kill('SIGTERM');
    const { code, stderr } = await before.ends();
    t.equal(code, 0, stderr);
    await load.served(200);
    // The balancer sends it requests after its next look at it. No count of requests waits for that.
    const { pid } = (await front.instance(port)).child;
    await load.answeredBy((answering) => answering === pid);
  }
  await load.served(200);
  t.same(await load.stop(), []);
  t.equal(load.pids.size, 6, 'each instance, before and after');
});

test('HAProxy: sees that an instance stops, at its /readyz', { skip: missing('haproxy') }, async (t) => {
  const front = new Balancer();
  t.teardown(() => front.close());
  const [stopped, other] = (await Promise.all([front.instance(8081), front.instance(8082)])) as [Program, Program];
  const balancer = await front.start();
  const says = (what: RegExp) => until(() => what.test(balancer.stderr));
  await says(/Server instances\/c is DOWN/); // which was not started
  // It serves as long as it has requests under way.
  const agent = new Agent({ keepAlive: true });
  const held = ask(`http://${front.address}:8081/held`, { agent, headers: { 'X-Id': 'held' } });
  await until(() => stopped.stdout.includes('+held\n'));
  stopped.kill('SIGTERM');
  await says(/Server instances\/a is DOWN, reason: Layer7 wrong status, code: 503/);
  const { status, body } = await ask(front.url, { agent });
  t.equal(status, 200);
  t.match(JSON.parse(body), { pid: other.child.pid });
  stopped.child.stdin?.write('go\n');
  t.match(await held, { status: 200 });
  t.match(await stopped.ends(), { code: 0 });
  agent.destroy();
});
