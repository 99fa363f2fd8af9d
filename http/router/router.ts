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
 * does not matter. HEAD follows from GET. The registered methods decide the responses to OPTIONS and 405. To replace the default
 * 404, add a route: `router.all('/*', ...)`.
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
 * Next: ../handlers/fetch-url.ts
 */

import type { Handler, HttpRequest, Middleware, ResponseWriter, Returned } from '../handler.ts';
import { fetchFrom } from '../handlers/fetch-from.ts';
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
  | { readonly pattern: RoutePattern; readonly method: string; readonly handler: Handler }
  | { readonly pattern: RoutePattern; readonly middleware: Middleware };

/** `Inherited` are the params of the prefix that the router will be mounted at. */
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

  /** Only needed if HEAD must differ from GET: a GET route also handles HEAD. */
  head<Path extends string>(path: Path, handler: Handler<ParamsOf<Path> & Inherited>): this {
    return this.#route('HEAD', path, handler);
  }

  /** Only needed if OPTIONS must send more than `Allow`, which the router sends by itself. */
  options<Path extends string>(path: Path, handler: Handler<ParamsOf<Path> & Inherited>): this {
    return this.#route('OPTIONS', path, handler);
  }

  /** For each method without a handler of its own, also for unknown methods; never for CONNECT and TRACE. */
  all<Path extends string>(path: Path, handler: Handler<ParamsOf<Path> & Inherited>): this {
    return this.#route(ALL, path, handler);
  }

  #route(method: string, path: string, handler: Handler<never>): this {
    const pattern = parsePattern(path);
    if (typeof handler !== 'function') {
      throw new TypeError(`the handler of '${path}' must be a function, not ${String(handler)}`);
    }
    // The pattern makes sure that the params exist. The compiler cannot check that through the tree.
    this.#add({ pattern, method, handler: handler as Handler });
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
      return this.#handleWithoutRoute(request, path, response);
    }
    request.params = this.#paramsOf(route);
    if (route.composedOf !== this.#layers.length) this.#compose(route);
    return route.composed(request, response);
  };

  /**
   * Answers a `Request` of Fetch, without a socket: in a test, or in another runtime. Its body and that of the `Response` are streams.
   *
   *     const answer = await router.fetch(new Request('http://localhost/users/7'));
   */
  readonly fetch = (request: Request): Promise<Response> => fetchFrom(this.handle as Handler, request);

  #compose(route: Route): void {
    const covers = this.#layers.map((layer) => coverage(layer.prefix, route.pattern));
    if (covers.includes('some')) {
      // The path decides which middleware is called. That is rare: a guard on a name where the route has a param.
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

  #handleWithoutRoute(request: HttpRequest, path: string, response: ResponseWriter): Returned {
    const { resources, layers } = this.#tree.survey(path);
    const { method } = request;
    let handler: Handler = handleNotFound;
    if (isNeverRouted(method)) handler = handleNotImplemented;
    else if (path === '*' && method === 'OPTIONS') handler = optionsHandler(this.#methods);
    else if (resources.length > 0) {
      const methods = resources.flatMap((resource) => [...resource.methods()]);
      handler = method === 'OPTIONS' ? optionsHandler(methods) : methodNotAllowedHandler(methods);
    }
    return wrap(layers, handler, null)(request, response);
  }
}

function below(prefix: RoutePattern, registration: Registration): Registration {
  return { ...registration, pattern: joinPatterns(prefix, registration.pattern) };
}

function handleNotFound(_request: HttpRequest, response: ResponseWriter): void {
  response.status(404).text('Not Found\n');
}

/** RFC 9110 section 15.6.2: for a method that no resource of this server supports. */
function handleNotImplemented(_request: HttpRequest, response: ResponseWriter): void {
  response.status(501).text('Not Implemented\n');
}

/** RFC 9110 section 15.5.6: the response lists the supported methods. */
function methodNotAllowedHandler(methods: Iterable<string>): Handler {
  return (_request, response) => response.status(405).header('Allow', allow(methods)).text('Method Not Allowed\n');
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
