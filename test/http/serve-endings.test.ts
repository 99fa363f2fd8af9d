/**
 * How a server begins and ends that the kernel refuses something: `serve({ path })` again and again, and a listener that is lost.
 * On both loops.
 *
 * Next: clients.test.ts
 */

import { once } from 'node:events';
import { existsSync, lstatSync, mkdtempSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { type Handler, serve } from '../../http/index.ts';
import { EINVAL } from '../../simplenet/kernel/abi.ts';
import { libc } from '../../simplenet/kernel/libc.ts';
import { portOf } from '../../simplenet/kernel/socket-address.ts';
import { backends, missingBackend } from '../support/backends.ts';
import { Program } from '../support/programs.ts';
import { RawClient } from '../support/raw-client.ts';
import { quiet, until } from '../support/waiting.ts';

const hello: Handler = (_request, response) => response.text('hello');

function pathFor(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return join(folder, 'sock');
}

/** What a server on that path answers. */
async function ask(socketPath: string): Promise<string> {
  const [response] = await once(get({ socketPath, agent: false }), 'response');
  let text = '';
  for await (const piece of response) text += piece;
  return text;
}

for (const backend of backends) {
  const skip = missingBackend[backend];

  test(`a server on a path can be started again after a clean close (${backend})`, { skip }, async (t) => {
    const path = pathFor(t);
    for (let times = 0; times < 3; times++) {
      const server = serve(hello, { path, backend });
      t.throws(() => serve(hello, { path, backend }), { code: 'EADDRINUSE', path });
      t.equal(await ask(path), 'hello');
      await server.close();
      t.notOk(existsSync(path));
    }
  });

  test(`a server on a path takes over from one that was killed, or that left by process.exit (${backend})`, {
    skip,
  }, async (t) => {
    const path = pathFor(t);
    const script = `
      const { serve } = await import(build + '/http/index.js');
      const server = serve((_, response) => response.text('hello'), ${JSON.stringify({ path, backend })});
      process.once('SIGTERM', () => void server.close());
      process.once('SIGINT', () => process.exit());
      console.log('listening');`;
    for (const [signal, isLeft] of [
      ['SIGKILL', true],
      ['SIGINT', true],
      ['SIGTERM', false],
    ] as const) {
      const server = Program.script(script);
      t.teardown(() => server.kill());
      await server.prints(/listening/);
      const { ino } = lstatSync(path);
      t.equal(await ask(path), 'hello');
      server.kill(signal);
      await server.ends();
      t.equal(lstatSync(path, { throwIfNoEntry: false })?.ino, isLeft ? ino : undefined, signal);
    }
  });

  test(`a server whose listener is lost tells onError, completes what is under way, and closes (${backend})`, {
    skip,
  }, async (t) => {
    const errors: unknown[][] = [];
    let answer: (() => void) | null = null;
    const handler: Handler = async (_request, response) => {
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
      response.text('at last');
    };
    const server = serve(handler, { backend, onError: (...told) => void errors.push(told) });
    const { accept4 } = libc;
    const first = new RawClient(portOf(server.address)).write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    t.teardown(() => {
      libc.accept4 = accept4;
      first.destroy();
      return server.close({ graceMs: 0 });
    });
    await until(() => answer !== null);
    libc.accept4 = () => -EINVAL;
    const late = new RawClient(portOf(server.address));
    await until(() => server.isStopping);
    late.destroy();
    t.match(errors, [[{ syscall: 'accept4', code: 'EINVAL' }, null]]);
    (answer as unknown as () => void)();
    await first.until(() => first.text.endsWith('at last'), 'the answer');
    first.destroy();
    await server.close();
    t.equal(server.connectionCount, 0);
    t.equal(errors.length, 1);
  });

  test(`a handler that reads a body gets all of it, although its client has reset the connection (${backend})`, {
    skip,
  }, async (t) => {
    let goOn = () => {};
    const gate = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const seen = { bytes: 0, isWhole: false };
    const handler: Handler = async (request) => {
      for await (const chunk of request.body) {
        seen.bytes += chunk.length;
        await gate;
      }
      seen.isWhole = true;
    };
    const server = serve(handler, { backend, limits: { bodyBufferBytes: 8_192 }, onError: () => {} });
    t.teardown(() => server.close({ graceMs: 0 }));
    const PART_BYTES = 20_000;
    const client = new RawClient(portOf(server.address));
    client.write(`PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: ${3 * PART_BYTES}\r\n\r\n`);
    client.write(Buffer.alloc(PART_BYTES));
    await until(() => seen.bytes > 0);
    for (let part = 1; part < 3; part++) {
      client.write(Buffer.alloc(PART_BYTES));
      await quiet();
    }
    client.reset();
    await quiet();
    goOn();
    await until(() => seen.isWhole || server.connectionCount === 0);
    t.same(seen, { bytes: 3 * PART_BYTES, isWhole: true });
    await until(() => server.connectionCount === 0);
  });
}

test('a mistake in the options of close throws before anything stops', async (t) => {
  const server = serve((_request, response) => response.text('hello'));
  t.teardown(() => server.close({ graceMs: 0 }));
  t.throws(() => server.close({ graceMs: Number.NaN }), RangeError);
  t.notOk(server.isStopping);
});
