/**
 * Router: finds the handler for a method and a path, and responds if there is none.
 *
 *     const posts = new Router<{ id: string }>();
 *     posts.get('/posts/:post', (request, response) => response.text(`${request.params.id}: ${request.params.post}`));
 *
 *     const router = new Router();
 *     router.use(async (request, response, next) => {
 *       const start = performance.now();
 *       await next();
 *       console.log(request.method, request.path, performance.now() - start);
 *     });
 *     router.use('/users/:id', posts);
 *
 * A router makes one Handler, `router.handle`, of many. A name wins over a param, and a param over a wildcard; the order of registration
 * does not matter. HEAD follows from GET. The registered methods decide the responses to OPTIONS and 405. `notFound` replaces the default
 * 404, and `onError` answers errors.
 *
 * Middleware is an onion (middleware.ts): each calls the next with `next()`, works before and after that call, and may respond itself. It
 * is called for all paths below its prefix: also for routes that were registered earlier, and for 404 and 405. The path decides which
 * middleware is called, not the pattern that matched: a guard on `/admin` is also called for `/:page/settings`.
 *
 * Mounting copies: the routes of the mounted router become routes of this one, below the prefix, so a look-up is one walk for any depth
 * of nesting. Routes that are registered later are copied then. The request does not change: its path stays whole, and its params include
 * those of the prefix.
 *
 * The router does not guess: no slash is added or dropped, no case is folded, no dot segment is resolved, nothing is redirected.
 *
 * Next: with-middleware.ts
 */

import { answerError } from '../error-answer.ts';
import type { ErrorHandler, Handler, HttpRequest, Middleware, ResponseWriter, Returned } from '../handler.ts';
import { fetchFrom } from '../handlers/fetch-from.ts';
import type { HandlerSource } from '../handlers/handler-source.ts';
import { type RouteLimits, routeLimitsFrom } from '../route-limits.ts';
import { reasonOf } from '../status.ts';
import { limitsIn, withLimits } from './limit.ts';
import { wrap } from './middleware.ts';
import { decodePath } from './path.ts';
import {
  coverage,
  joinPatterns,
  type ParamsOf,
  parsePattern,
  parsePrefix,
  type RoutePattern,
} from './route-pattern.ts';
import { ALL, type ErrorSlot, isNeverRouted, type Layer, type Route, RouteTree } from './route-tree.ts';

type NoParams = Record<never, string>;

/** The methods in `Allow` for a route for all methods. */
const METHODS = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT'];

const NO_PARAMS: Readonly<Record<string, string>> = Object.freeze({});

/** The result of `find`. */
export interface Match {
  readonly pattern: string;
  readonly params: Readonly<Record<string, string>>;
  readonly handler: Handler;
}

/** A Router for the compiler: one that needs no other params than the prefix has. */
interface Mountable<Params> {
  readonly handle: Handler<Params>;
}

type Registration =
  | {
      readonly pattern: RoutePattern;
      readonly method: string;
      readonly handler: Handler;
      readonly limits: RouteLimits | null;
    }
  | { readonly pattern: RoutePattern; readonly middleware: Middleware | ErrorSlot }
  | { readonly pattern: RoutePattern; readonly notFound: Handler };

/**
 * What a route may have beside its handler.
 *
 * ```ts
 * import { type RouteOptions, Router } from 'simplenet/http';
 *
 * const patient: RouteOptions = { limits: { answerMs: 600_000 } };
 * new Router().post('/chat', patient, async (request, response) => response.text(await request.text()));
 * ```
 */
export interface RouteOptions {
  /** Replaces limits and timeouts of the server for this route. */
  readonly limits?: RouteLimits;
}

/** What stands behind the path of a route. */
type RouteArguments<Params> = [handler: Handler<Params>] | [options: RouteOptions, handler: Handler<Params>];

/**
 * A handler made of many. The pattern of a route gives the type of `request.params`. `Inherited` are the params of the prefix that the router
 * will be mounted at.
 *
 * ```ts
 * import { Router, serve } from 'simplenet/http';
 *
 * const posts = new Router<{ user: string }>();
 * posts.get('/posts/:post', ({ params }, response) => response.json([params.user, params.post]));
 * const router = new Router();
 * router.use('/users/:user', posts);
 * serve(router, { port: 8080 });
 * ```
 */
export class Router<Inherited = NoParams> {
  readonly #tree = new RouteTree();
  readonly #layers: Layer[] = [];
  readonly #registered: Registration[] = [];
  readonly #mounts: { readonly router: Router; readonly prefix: RoutePattern }[] = [];
  readonly #methods = new Set<string>();
  readonly #errors: ErrorSlot = { onError: null };
  /** Changes with each registration, also in a mounted router. Then routes are composed again. */
  #version = 0;

  /** A router without routes. */
  constructor() {
    this.#add({ pattern: parsePrefix('/'), middleware: this.#errors }); // around all middleware that follows
  }

  /** Adds a handler for GET, and for HEAD unless there is one. */
  get<Path extends string>(path: Path, ...given: RouteArguments<ParamsOf<Path> & Inherited>): this {
    return this.#route('GET', path, given);
  }

  /** Adds a handler for POST. */
  post<Path extends string>(path: Path, ...given: RouteArguments<ParamsOf<Path> & Inherited>): this {
    return this.#route('POST', path, given);
  }

  /** Adds a handler for PUT. */
  put<Path extends string>(path: Path, ...given: RouteArguments<ParamsOf<Path> & Inherited>): this {
    return this.#route('PUT', path, given);
  }

  /** Adds a handler for PATCH. */
  patch<Path extends string>(path: Path, ...given: RouteArguments<ParamsOf<Path> & Inherited>): this {
    return this.#route('PATCH', path, given);
  }

  /** Adds a handler for DELETE. */
  delete<Path extends string>(path: Path, ...given: RouteArguments<ParamsOf<Path> & Inherited>): this {
    return this.#route('DELETE', path, given);
  }

  /** Only needed if HEAD must differ from GET: a GET route also handles HEAD. */
  head<Path extends string>(path: Path, ...given: RouteArguments<ParamsOf<Path> & Inherited>): this {
    return this.#route('HEAD', path, given);
  }

  /** Only needed if OPTIONS must send more than `Allow`, which the router sends by itself. */
  options<Path extends string>(path: Path, ...given: RouteArguments<ParamsOf<Path> & Inherited>): this {
    return this.#route('OPTIONS', path, given);
  }

  /** For each method without a handler of its own, also for unknown methods; never for CONNECT and TRACE. */
  all<Path extends string>(path: Path, ...given: RouteArguments<ParamsOf<Path> & Inherited>): this {
    return this.#route(ALL, path, given);
  }

  #route(method: string, path: string, given: RouteArguments<never>): this {
    const pattern = parsePattern(path);
    const [options, handler] = given.length === 2 ? given : [{}, given[0]];
    if (typeof handler !== 'function') {
      throw new TypeError(`the handler of '${path}' must be a function, not ${String(handler)}`);
    }
    // The pattern makes sure that the params exist. The compiler cannot check that through the tree.
    this.#add({ pattern, method, handler: handler as Handler, limits: limitsAmong(options, path) });
    return this;
  }

  /** Adds a middleware for all paths, or mounts a router at `/`: then its middleware is for all paths too. */
  use(what: Middleware<Inherited> | Mountable<Inherited>): this;
  /** Adds a middleware for the prefix and everything below it, or mounts a router there. */
  use<Prefix extends string>(
    prefix: Prefix,
    what: Middleware<ParamsOf<Prefix> & Inherited> | Mountable<ParamsOf<Prefix> & Inherited>,
  ): this;
  use(...given: [what: unknown] | [prefix: string, what: unknown]): this {
    const [path, what] = given.length === 1 ? ['/', given[0]] : given;
    const prefix = parsePrefix(path);
    if (what instanceof Router) {
      this.#mount(prefix, what);
    } else if (typeof what === 'function') {
      this.#add({ pattern: prefix, middleware: what as Middleware });
    } else {
      throw new TypeError(`use('${path}') takes a function or a Router, not ${String(what)}`);
    }
    return this;
  }

  /**
   * Answers paths that no route has, below the prefix at which the router is mounted; the longest prefix wins. The status is 404 already. It runs inside
   * the middleware for the path. Without it the client gets a line of text, or JSON if it prefers that.
   *
   *     router.notFound((request, response) => response.html(`<h1>${escaped(request.path)} is not here</h1>`));
   */
  notFound(handler: Handler<Inherited>): this {
    if (typeof handler !== 'function') throw new TypeError(`notFound() takes a function, not ${String(handler)}`);
    this.#add({ pattern: parsePrefix('/'), notFound: handler as Handler<never> as Handler });
    return this;
  }

  /**
   * Answers errors that the handlers and the middleware of this router throw, and those of the routers mounted in it. An error that it
   * answers is not reported to `onError` of the server. If it begins no response, or throws, the error goes on: to the router in which this one is
   * mounted, and then to the server.
   *
   *     router.onError((error, request, response) => {
   *       if (error instanceof ValidationError) response.status(422).json({ problems: error.problems });
   *     });
   */
  onError(handler: ErrorHandler<Inherited>): this {
    if (typeof handler !== 'function') throw new TypeError(`onError() takes a function, not ${String(handler)}`);
    if (this.#errors.onError !== null) throw new TypeError('this router already has a handler of errors');
    this.#errors.onError = handler as ErrorHandler<never> as ErrorHandler;
    this.#changed();
    return this;
  }

  #changed(): void {
    this.#version++;
    for (const { router } of this.#mounts) router.#changed();
  }

  #mount(prefix: RoutePattern, router: Router): void {
    if (this.#isWithin(router)) throw new TypeError(`a router cannot be mounted in itself, at '${prefix.text || '/'}'`);
    for (const registration of router.#registered) this.#add(below(prefix, registration));
    router.#mounts.push({ router: this as unknown as Router, prefix });
  }

  #isWithin(router: Router): boolean {
    return router === (this as unknown) || this.#mounts.some((mount) => mount.router.#isWithin(router));
  }

  #add(registration: Registration): void {
    const { pattern } = registration;
    if ('middleware' in registration) {
      const layer = { prefix: pattern, middleware: registration.middleware, order: this.#layers.length };
      this.#tree.addLayer(layer);
      this.#layers.push(layer);
    } else if ('notFound' in registration) {
      this.#tree.addNotFound(pattern, registration.notFound);
    } else {
      this.#tree.addRoute(pattern, registration.method, registration.handler, registration.limits);
      this.#methods.add(registration.method);
    }
    this.#registered.push(registration);
    this.#version++;
    for (const { router, prefix } of this.#mounts) router.#add(below(prefix, registration));
  }

  /** Returns the route for a path as received, or null. Throws HttpError if the path is not valid percent-encoded UTF-8. */
  find(method: string, path: string): Match | null {
    const route = this.#tree.find(method, decodePath(path));
    if (route === null) return null;
    return { pattern: route.pattern.text, params: this.#paramsOf(route), handler: route.handler };
  }

  #paramsOf(route: Route): Readonly<Record<string, string>> {
    return route.pattern.names.length === 0 ? NO_PARAMS : this.#tree.params(route);
  }

  /** The Handler of this router. It works without `this`. It creates no promise for a handler that returns none. */
  readonly handle: Handler<Inherited> = (given, response) => {
    const request = given as HttpRequest<unknown> as HttpRequest;
    const path = decodePath(request.path);
    const route = this.#tree.find(request.method, path);
    if (route === null) {
      request.params = NO_PARAMS;
      request.route = null;
      return this.#handleWithoutRoute(request, path, response);
    }
    request.params = this.#paramsOf(route);
    request.route = route.pattern.text;
    if (route.composedOf !== this.#version) this.#compose(route);
    return route.composed(request, response);
  };

  /**
   * Answers a `Request` of Fetch, without a socket: in a test, or in another runtime. Its body and that of the `Response` are streams.
   *
   *     const answer = await router.fetch(new Request('http://localhost/users/7'));
   */
  readonly fetch = (request: Request): Promise<Response> => fetchFrom(this as unknown as HandlerSource, request);

  /** Returns the limits for a method and a path as received: those of its route, and of each `limit` that covers it. */
  limitsFor(method: string, path: string): RouteLimits | null {
    const decoded = decodePath(path);
    const route = this.#tree.find(method, decoded);
    return route === null ? null : limitsIn(this.#tree.survey(decoded).layers, route.ownLimits);
  }

  #compose(route: Route): void {
    const layers = this.#layers.filter(
      ({ middleware }) => typeof middleware === 'function' || middleware.onError !== null,
    );
    const covers = layers.map((layer) => coverage(layer.prefix, route.pattern));
    if (covers.includes('some')) {
      // The path decides which middleware is called. That is rare: a guard on a name where the route has a param.
      route.composed = (request, response) => {
        const { layers } = this.#tree.survey(decodePath(request.path));
        return wrapRoute(layers, route)(request, response);
      };
    } else {
      const outer = layers.filter((_, i) => covers[i] === 'all');
      route.composed = wrapRoute(outer, route);
    }
    route.composedOf = this.#version;
  }

  #handleWithoutRoute(request: HttpRequest, path: string, response: ResponseWriter): Returned {
    const { resources, layers, notFound } = this.#tree.survey(path);
    const { method } = request;
    let handler: Handler = handleNotFound;
    if (notFound !== null) {
      handler = (given, writer) => notFound(given, writer.status(404));
    }
    if (isNeverRouted(method)) handler = handleNotImplemented;
    else if (path === '*' && method === 'OPTIONS') handler = optionsHandler(this.#methods);
    else if (resources.length > 0) {
      const methods = resources.flatMap((resource) => [...resource.methods()]);
      handler = method === 'OPTIONS' ? optionsHandler(methods) : methodNotAllowedHandler(methods);
    }
    return wrap(layers, handler, null)(request, response);
  }
}

function wrapRoute(layers: readonly Layer[], route: Route): Handler {
  const limits = limitsIn(layers, route.ownLimits);
  return wrap(limits === null ? layers : withLimits(layers, limits), route.handler, route.pattern);
}

function limitsAmong(options: RouteOptions, path: string): RouteLimits | null {
  for (const name of Object.keys(options)) {
    if (name !== 'limits')
      throw new TypeError(`the route '${path}' has the unknown option '${name}'; limits is the only one`);
  }
  return options.limits === undefined ? null : routeLimitsFrom(options.limits);
}

function below(prefix: RoutePattern, registration: Registration): Registration {
  return { ...registration, pattern: joinPatterns(prefix, registration.pattern) };
}

function handleNotFound(request: HttpRequest, response: ResponseWriter): void {
  answerError(request, response, 404, reasonOf(404));
}

/** RFC 9110 section 15.6.2: for a method that no resource of this server supports. */
function handleNotImplemented(request: HttpRequest, response: ResponseWriter): void {
  answerError(request, response, 501, reasonOf(501));
}

/** RFC 9110 section 15.5.6: the response lists the supported methods. */
function methodNotAllowedHandler(methods: Iterable<string>): Handler {
  return (request, response) => answerError(request, response.header('Allow', allow(methods)), 405, reasonOf(405));
}

/** RFC 9110 section 9.3.7. */
function optionsHandler(methods: Iterable<string>): Handler {
  return (_request, response) => response.status(204).header('Allow', allow(methods)).empty();
}

function allow(methods: Iterable<string>): string {
  const allowed = new Set(methods);
  if (allowed.delete(ALL)) for (const method of METHODS) allowed.add(method);
  if (allowed.has('GET')) allowed.add('HEAD');
  return [...allowed.add('OPTIONS')].sort().join(', ');
}
