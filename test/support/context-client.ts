/**
 * What the tests of the Fetch Server API share: a marked object on a server, and requests to it as text.
 */

import type { Test } from 'tap';
import { type Server as FetchServer, type ServerOptions, serve as serveFetch } from '../../fetch/index.ts';
import { type ContextApp, type ServeOptions, serve } from '../../http/index.ts';
import { portOf } from '../../simplenet/kernel/socket-address.ts';
import { RawClient } from './raw-client.ts';

export const MARK = { [Symbol.for('wintertc.server.protocol')]: 1 };

/** `fetch` answers with `ok`, unless the test has one of its own. */
export function marked(app: Partial<ContextApp> & Record<string, unknown>): ContextApp {
  return { ...MARK, fetch: () => new Response('ok'), ...app };
}

export interface Site {
  readonly port: number;
  readonly reported: unknown[];
  client(): RawClient;
  /** Sends the request and returns all that comes until the connection ends. */
  ask(text: string): Promise<string>;
}

/** On the `serve` of simplenet/http. */
export function site(t: Test, app: ContextApp, options: ServeOptions = {}): Site {
  const reported: unknown[] = [];
  const server = serve(app, { onError: (error) => void reported.push(error), ...options });
  t.teardown(() => server.close({ graceMs: 0, idleGraceMs: 1 }));
  return { reported, ...clientsOf(t, portOf(server.address)) };
}

/** On the `serve` of simplenet/fetch. */
export function fetchSite(
  t: Test,
  app: ContextApp,
  options: ServerOptions = {},
): Site & { readonly server: FetchServer } {
  const server = serveFetch(app, { port: 0, hostname: '127.0.0.1', ...options } as ServerOptions);
  t.teardown(() => server.destroy());
  const [listener] = server;
  return { server, reported: [], ...clientsOf(t, listener?.address.port ?? 0) };
}

export function clientsOf(t: Test, port: number): Pick<Site, 'port' | 'client' | 'ask'> {
  const client = () => {
    const made = new RawClient(port);
    t.teardown(() => made.destroy());
    return made;
  };
  const ask = async (text: string) => {
    const asking = client().write(text);
    await asking.ended();
    asking.destroy();
    return asking.text;
  };
  return { port, client, ask };
}

/** A request that asks for the end of the connection. */
export function get(path = '/', ...fields: string[]): string {
  return request('GET', path, ['Connection: close', ...fields]);
}

export function request(method: string, target: string, fields: readonly string[], body = ''): string {
  return `${[`${method} ${target} HTTP/1.1`, 'Host: example.org', ...fields].join('\r\n')}\r\n\r\n${body}`;
}

/** A promise, and what settles it. */
export function deferred<T = void>(): {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
} {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
