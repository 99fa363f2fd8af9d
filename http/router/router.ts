/**
 * Router: from method and path to the handler, and what to answer when there is none.
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
 * A router makes one Handler, `router.handle`, out of many. A name wins over a param, a param over a wildcard; the order
 * in which routes were registered means nothing. HEAD follows from GET, OPTIONS and 405 from the methods that are there.
 * Another 404 than the bare one is a route: `router.all('/*', ...)`.
 *
 * Middleware is an onion: each is called with the way to the next one, does its work before and after, and may answer
 * itself. It is for everything under its prefix: for routes registered earlier, and for 404 and 405. What it covers is
 * decided by the path and not by the pattern that matched, so that a guard on `/admin` also stands before
 * `/:page/settings`. In the order of registration, the first is the outermost.
 *
 * Mounting copies: the routes of the mounted router become routes of this one, under the prefix, so that a lookup is one
 * walk however deep routers are nested. What is registered later is copied later. The request is not changed: its path
 * stays whole, and the params of the prefix are among its params.
 *
 * It refuses to guess: no slash is added or dropped, no case is folded, no dot segment is resolved, nothing is redirected.
 *
 * Next: ../connection/phase.ts
 */

import type { Handler, HttpRequest, Middleware, ResponseWriter } from '../handler.ts';
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
import { ALL, isNeverRouted, type Layer, type Route, RouteTree } from './route-tree.ts';

type NoParams = Record<never, string>;

/** What a route for all methods is known to answer. */
const METHODS = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT'];

const NO_PARAMS: Readonly<Record<string, string>> = Object.freeze({});

/** A route that was found, for those who look without handling. */
export interface Match {
  readonly pattern: string;
  readonly params: Readonly<Record<string, string>>;
  readonly handler: Handler;
}

/** A Router, as far as the compiler asks: one that needs no more params than the prefix has. */
interface Mountable<Params> {
  readonly handle: Handler<Params>;
}

type Registration =
  | { readonly pattern: RoutePattern; readonly method: string; readonly handler: Handler }
  | { readonly pattern: RoutePattern; readonly middleware: Middleware };

/** `Inherited` are the params of the prefix it will be mounted under. */
export class Router<Inherited = NoParams> {
  readonly #tree = new RouteTree();
  readonly #layers: Layer[] = [];
  readonly #registered: Registration[] = [];
  readonly #mounts: { readonly router: Router; readonly prefix: RoutePattern }[] = [];
  readonly #methods = new Set<string>();

  get<Path extends string>(path: Path, handler: Handler<ParamsOf<Path> & Inherited>): this {
    return this.#route('GET', path, handler);
  }

  post<Path extends string>(path: Path, handler: Handler<ParamsOf<Path> & Inherited>): this {
    return this.#route('POST', path, handler);
  }

  put<Path extends string>(path: Path, handler: Handler<ParamsOf<Path> & Inherited>): this {
    return this.#route('PUT', path, handler);
  }

  patch<Path extends string>(path: Path, handler: Handler<ParamsOf<Path> & Inherited>): this {
    return this.#route('PATCH', path, handler);
  }

  delete<Path extends string>(path: Path, handler: Handler<ParamsOf<Path> & Inherited>): this {
    return this.#route('DELETE', path, handler);
  }

  /** Only for a HEAD that is not its GET without content. */
  head<Path extends string>(path: Path, handler: Handler<ParamsOf<Path> & Inherited>): this {
    return this.#route('HEAD', path, handler);
  }

  /** Only for an OPTIONS that says more than `Allow`. */
  options<Path extends string>(path: Path, handler: Handler<ParamsOf<Path> & Inherited>): this {
    return this.#route('OPTIONS', path, handler);
  }

  /** Every method this path has no other handler for, also unknown ones; never CONNECT and TRACE. */
  all<Path extends string>(path: Path, handler: Handler<ParamsOf<Path> & Inherited>): this {
    return this.#route(ALL, path, handler);
  }

  #route(method: string, path: string, handler: Handler<never>): this {
    const pattern = parsePattern(path);
    if (typeof handler !== 'function') {
      throw new TypeError(`the handler of '${path}' is a function, not ${String(handler)}`);
    }
    // The pattern is the proof that the params are there; the compiler cannot follow it through the tree.
    this.#add({ pattern, method, handler: handler as Handler });
    return this;
  }

  /** Adds a middleware for everything, or mounts a router at `/`: then its middleware is for everything too. */
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
      throw new TypeError(`what is used at '${path}' is a function or a Router, not ${String(what)}`);
    }
    return this;
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
    } else {
      this.#tree.addRoute(pattern, registration.method, registration.handler);
      this.#methods.add(registration.method);
    }
    this.#registered.push(registration);
    for (const { router, prefix } of this.#mounts) router.#add(below(prefix, registration));
  }

  /** The route for a path as it was received. Throws an HttpError if the path is no path. */
  find(method: string, path: string): Match | null {
    const route = this.#tree.find(method, decodePath(path));
    if (route === null) return null;
    return { pattern: route.pattern.text, params: this.#paramsOf(route), handler: route.handler };
  }

  #paramsOf(route: Route): Readonly<Record<string, string>> {
    return route.pattern.names.length === 0 ? NO_PARAMS : this.#tree.params(route);
  }

  /** The Handler that all of this makes; it needs no `this`. No promise is made for those who return none. */
  readonly handle: Handler<Inherited> = (given, response) => {
    const request = given as HttpRequest<unknown> as HttpRequest;
    const path = decodePath(request.path);
    const route = this.#tree.find(request.method, path);
    if (route === null) {
      request.params = NO_PARAMS;
      return this.#answerWithoutRoute(request, path, response);
    }
    request.params = this.#paramsOf(route);
    if (route.composedOf !== this.#layers.length) this.#compose(route);
    return route.composed(request, response);
  };

  #compose(route: Route): void {
    const covers = this.#layers.map((layer) => coverage(layer.prefix, route.pattern));
    if (covers.includes('some')) {
      // Which middleware is meant depends on the path. That is rare: a guard on a name, a route with a param there.
      route.composed = (request, response) => {
        const { layers } = this.#tree.survey(decodePath(request.path));
        return wrap(layers, route.handler, route.pattern)(request, response);
      };
    } else {
      const layers = this.#layers.filter((_, i) => covers[i] === 'all');
      route.composed = wrap(layers, route.handler, route.pattern);
    }
    route.composedOf = this.#layers.length;
  }

  #answerWithoutRoute(request: HttpRequest, path: string, response: ResponseWriter): void | Promise<void> {
    const { resources, layers } = this.#tree.survey(path);
    const { method } = request;
    let answer: Handler = answerNotFound;
    if (isNeverRouted(method)) answer = answerNotImplemented;
    else if (path === '*' && method === 'OPTIONS') answer = answerOptions(this.#methods);
    else if (resources.length > 0) {
      const methods = resources.flatMap((resource) => [...resource.methods()]);
      answer = method === 'OPTIONS' ? answerOptions(methods) : answerMethodNotAllowed(methods);
    }
    return wrap(layers, answer, null)(request, response);
  }
}

function below(prefix: RoutePattern, registration: Registration): Registration {
  return { ...registration, pattern: joinPatterns(prefix, registration.pattern) };
}

function answerNotFound(_request: HttpRequest, response: ResponseWriter): void {
  response.status(404).text('Not Found\n');
}

/** RFC 9110 section 15.6.2: for a method that no resource here supports. */
function answerNotImplemented(_request: HttpRequest, response: ResponseWriter): void {
  response.status(501).text('Not Implemented\n');
}

/** RFC 9110 section 15.5.6: the answer names what would have worked. */
function answerMethodNotAllowed(methods: Iterable<string>): Handler {
  return (_request, response) => response.status(405).header('Allow', allow(methods)).text('Method Not Allowed\n');
}

/** RFC 9110 section 9.3.7. */
function answerOptions(methods: Iterable<string>): Handler {
  return (_request, response) => response.status(204).header('Allow', allow(methods)).empty();
}

function allow(methods: Iterable<string>): string {
  const allowed = new Set(methods);
  if (allowed.delete(ALL)) for (const method of METHODS) allowed.add(method);
  if (allowed.has('GET')) allowed.add('HEAD');
  return [...allowed.add('OPTIONS')].sort().join(', ');
}
