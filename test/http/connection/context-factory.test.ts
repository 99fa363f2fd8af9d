/** Async contexts: what each handler begins with, and what reaches nobody else. */

import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type Test, test } from 'tap';
import { createContextFactory, isDerivable } from '../../../http/connection/context-factory.ts';
import { type Handler, type ServeOptions, type Server, serve } from '../../../http/index.ts';
import { portOf } from '../../../simplenet/index.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { until } from '../../support/waiting.ts';

const storage = new AsyncLocalStorage<string>();
const stored = () => storage.getStore() ?? 'nothing';

const hasFrames = !process.execArgv.includes('--no-async-context-frame');

test('a context can be derived on every Node without --no-async-context-frame', async (t) => {
  t.equal(isDerivable(), hasFrames || Number.parseInt(process.versions.node, 10) < 24);
});

for (const derives of isDerivable() ? [true, false] : [false]) {
  const kind = derives ? 'derived' : 'made';

  test(`${kind} contexts keep what is stored in them to themselves`, async (t) => {
    const create = createContextFactory(derives);
    const inside = (action: () => void) => create().runInAsyncScope(action);
    const later: Promise<void>[] = [];
    inside(() => {
      storage.enterWith('first');
      inside(() => {
        t.equal(stored(), 'nothing', 'a handler that is called by another');
        storage.enterWith('inner');
      });
      t.equal(stored(), 'first');
      const isKept = async () => {
        await null;
        t.equal(stored(), 'first');
        inside(() => t.equal(stored(), 'nothing', 'called from a continuation of another'));
        t.equal(stored(), 'first');
      };
      later.push(isKept());
    });
    t.throws(() =>
      inside(() => {
        storage.enterWith('thrown');
        throw new Error('boom');
      }),
    );
    inside(() => {
      storage.run('run', () => t.equal(stored(), 'run'));
      t.equal(stored(), 'nothing');
    });
    t.equal(stored(), 'nothing', 'around them');
    await Promise.all(later);
  });

  test(`${kind} contexts begin with the stores of the moment in which their factory was made`, async (t) => {
    const create = storage.run('at the start', () => createContextFactory(derives));
    storage.run('around the call', () => {
      const before = create().runInAsyncScope(() => {
        const begun = stored();
        storage.enterWith('mine');
        return begun;
      });
      t.equal(before, 'at the start');
      t.equal(create().runInAsyncScope(stored), 'at the start');
      t.equal(stored(), 'around the call');
    });
  });

  test(`what a ${kind} context binds stays bound`, async (t) => {
    const create = createContextFactory(derives);
    const bound = create().runInAsyncScope(() => {
      storage.enterWith('bound');
      return AsyncLocalStorage.bind(stored);
    });
    t.equal(create().runInAsyncScope(bound), 'bound');
  });
}

for (const backend of backends) {
  const skip = missingBackend[backend];

  const serving = (t: Test, handler: Handler, options: ServeOptions = {}): Server => {
    const server = serve(handler, { onError: () => {}, ...options, backend });
    t.teardown(() => server.close({ graceMs: 1 }));
    return server;
  };

  const dial = (t: Test, server: Server, paths: readonly string[], fields = ''): Socket => {
    const socket = connect(portOf(server.address), '127.0.0.1');
    t.teardown(() => socket.destroy());
    socket.on('error', () => {}).resume();
    socket.write(paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n${fields}\r\n`).join(''));
    return socket;
  };

  test(`handlers begin with the stores of serve(), and with no other (${backend})`, { skip }, async (t) => {
    const begun: string[] = [];
    const handler: Handler = (request, response) => {
      begun.push(stored());
      storage.enterWith(request.path);
      if (request.path !== '/later') return response.text('now');
      // The answer comes in the context of this request, and lets the next handler begin from within it.
      setTimeout(() => {
        begun.push(stored());
        response.text('later');
        begun.push(stored());
      }, 1);
    };
    const server = storage.run('of the program', () => serving(t, handler));
    dial(t, server, ['/1', '/later', '/2', '/3']);
    await until(() => begun.length === 6);
    const own = 'of the program';
    // On a busy machine the turn may be over by then: the next handlers begin in the next one, behind the second '/later'.
    t.same(
      begun.sort(),
      ['/later', '/later', own, own, own, own],
      'also where one response lets the next handler begin',
    );
  });

  test(`onError begins with the stores of the request that went wrong, or none (${backend})`, { skip }, async (t) => {
    const reported: string[] = [];
    const onError = () => {
      reported.push(stored());
      storage.enterWith('of the log');
    };
    const handler: Handler = (request, response) => {
      if (request.path === '/fine') {
        // The deadline of the silent one is set again from here.
        storage.enterWith('fine');
        response.text('fine');
        return;
      }
      storage.enterWith(request.path);
      if (request.path === '/sync') throw new Error('boom');
      if (request.path === '/async') return Promise.reject(new Error('boom'));
      return; // never
    };
    const server = serving(t, handler, { onError, timeouts: { answerMs: 50 } });
    dial(t, server, ['/sync', '/fine', '/async', '/fine', '/silent']);
    await until(() => reported.length === 3);
    t.same(reported, ['/sync', '/async', 'nothing']);
  });

  test(`the signal of a request is aborted in the context in which it was asked for (${backend})`, {
    skip,
  }, async (t) => {
    const heard: string[] = [];
    let asked = 0;
    const handler: Handler = async (request, response) => {
      storage.enterWith(request.path);
      request.signal.addEventListener('abort', () => {
        heard.push(`${request.path} ${stored()}`);
        storage.enterWith('of a listener');
      });
      asked++;
      await once(request.signal, 'abort');
      heard.push(`${request.path} ${stored()}`);
      response.text('nobody hears it');
    };
    const server = serving(t, handler);
    const sockets = ['/a', '/b'].map((path) => dial(t, server, [path]));
    await until(() => asked === 2);
    for (const socket of sockets) socket.resetAndDestroy();
    await until(() => heard.length === 4);
    t.same(heard.sort(), ['/a /a', '/a /a', '/b /b', '/b /b']);
  });
}
