/**
 * RouteTree: finds the route of a path, in a time that depends on the path and not on the number of routes.
 *
 * With a list of patterns, the last of 10,000 routes would take 9,999 failed comparisons. Here each segment of a pattern is a step
 * down a tree, and the names of a node are a Map, so a look-up takes one step for each segment of the path.
 *
 * At each node a name wins over a param, and a param over a wildcard. If a branch has no route for the method, the look-up goes back and
 * tries the next branch: a POST route for `/users/me` does not hide the GET route for `/users/:id`. A look-up visits each node
 * that fits the path at most once. How many nodes fit depends on the registered routes; a request cannot add any.
 *
 * Two handlers for one method and pattern are refused, and so are two names for the param at one place.
 *
 * Next: limit.ts
 */

import type { ErrorHandler, Handler, Middleware } from '../handler.ts';
import type { RouteLimits } from '../route-limits.ts';
import { decodedName } from './path.ts';
import type { RoutePattern, Segment } from './route-pattern.ts';

/** The handler of one method and pattern, or of all methods without a handler of their own. */
export class Route {
  readonly pattern: RoutePattern;
  readonly handler: Handler;
  /** The limits among its options, or null. */
  readonly ownLimits: RouteLimits | null;
  /** The handler inside its middleware. Only the router sets this and the next field. */
  composed: Handler;
  /** The version of the router when it made `composed`. */
  composedOf = 0;

  constructor(pattern: RoutePattern, handler: Handler, ownLimits: RouteLimits | null) {
    this.pattern = pattern;
    this.handler = handler;
    this.ownLimits = ownLimits;
    this.composed = handler;
  }
}

/** Where the errors of a router are answered. Each router has one, around all of its own middleware, and most leave it empty. */
export interface ErrorSlot {
  onError: ErrorHandler | null;
}

/** A middleware, or the place of a handler of errors, and the prefix of its paths. */
export interface Layer {
  readonly prefix: RoutePattern;
  readonly middleware: Middleware | ErrorSlot;
  /** The index in the order of registration. */
  readonly order: number;
}

/** The method of a route for all methods. No request has it, because a method is never empty. */
export const ALL = '';

/** The routes of one pattern. RFC 9110 calls that a resource, and `Allow` lists its methods. */
export class Resource {
  readonly pattern: RoutePattern;
  readonly #routes = new Map<string, Route>();

  constructor(pattern: RoutePattern) {
    this.pattern = pattern;
  }

  add(method: string, handler: Handler, limits: RouteLimits | null): void {
    if (this.#routes.has(method)) {
      throw new TypeError(
        `'${this.pattern.text}' already has a handler for ${method === ALL ? 'all methods' : method}`,
      );
    }
    this.#routes.set(method, new Route(this.pattern, handler, limits));
  }

  pick(method: string): Route | null {
    const route = this.#routes.get(method);
    if (route !== undefined) return route;
    // RFC 9110 section 9.3.2: HEAD is GET without the content, which the response writer leaves out.
    const substitute = (method === 'HEAD' ? this.#routes.get('GET') : undefined) ?? this.#routes.get(ALL);
    return substitute === undefined || isNeverRouted(method) ? null : substitute;
  }

  methods(): Iterable<string> {
    return this.#routes.keys();
  }
}

/**
 * CONNECT asks for a tunnel. TRACE asks for its own head, with its cookies (cross-site tracing). Neither is a request for a resource, and
 * handlers for all methods are not written for them.
 */
export function isNeverRouted(method: string): boolean {
  return method === 'CONNECT' || method === 'TRACE';
}

interface Node {
  names: Map<string, Node> | null;
  param: Node | null;
  /** The name of the param, and the pattern that gave it. */
  paramName: string;
  paramFrom: string;
  resource: Resource | null;
  /** The wildcard. */
  rest: Resource | null;
  layers: Layer[] | null;
  /** For paths below this node that no route has. */
  notFound: Handler | null;
}

function emptyNode(): Node {
  return {
    names: null,
    param: null,
    paramName: '',
    paramFrom: '',
    resource: null,
    rest: null,
    layers: null,
    notFound: null,
  };
}

export class RouteTree {
  readonly #root = emptyNode();
  /** The patterns without params, by their text. Most requests are for these, and the tree would find them first, too. */
  readonly #resourceOfText = new Map<string, Resource>();
  /** The values of the params of the last `find`, as cut from the decoded path. Values after those of the found route are older. */
  readonly #values: string[] = [];

  addRoute(pattern: RoutePattern, method: string, handler: Handler, limits: RouteLimits | null): void {
    const node = this.#nodeOf(pattern);
    const last = pattern.segments.at(-1) as Segment;
    if (last.kind !== 'wildcard') {
      node.resource ??= new Resource(pattern);
      node.resource.add(method, handler, limits);
      if (pattern.names.length === 0) this.#resourceOfText.set(pattern.text, node.resource);
      return;
    }
    node.rest ??= new Resource(pattern);
    const first = node.rest.pattern;
    if (first.names.at(-1) !== last.name)
      throw conflictingNames(pattern, last.name, first.text, first.names.at(-1) as string);
    node.rest.add(method, handler, limits);
  }

  addLayer(layer: Layer): void {
    const node = this.#nodeOf(layer.prefix);
    node.layers ??= [];
    node.layers.push(layer);
  }

  addNotFound(prefix: RoutePattern, handler: Handler): void {
    const node = this.#nodeOf(prefix);
    if (node.notFound !== null) throw new TypeError(`'${prefix.text || '/'}' already has a handler for unknown paths`);
    node.notFound = handler;
  }

  /** The node of a pattern, without its wildcard. */
  #nodeOf(pattern: RoutePattern): Node {
    let node = this.#root;
    for (const segment of pattern.segments) {
      if (segment.kind === 'wildcard') break;
      if (segment.kind === 'param') {
        if (node.param === null) {
          node.param = emptyNode();
          node.paramName = segment.name;
          node.paramFrom = pattern.text;
        } else if (node.paramName !== segment.name) {
          throw conflictingNames(pattern, segment.name, node.paramFrom, node.paramName);
        }
        node = node.param;
        continue;
      }
      node.names ??= new Map();
      let child = node.names.get(segment.text);
      if (child === undefined) {
        child = emptyNode();
        node.names.set(segment.text, child);
      }
      node = child;
    }
    return node;
  }

  /** Returns the route for a decoded path, or null. */
  find(method: string, path: string): Route | null {
    const route = this.#resourceOfText.get(path)?.pick(method) ?? null;
    if (route !== null) return route;
    return path.startsWith('/') ? this.#descend(this.#root, method, path, 1, 0) : null;
  }

  /** Returns the params of the route that was found last. */
  params(route: Route): Record<string, string> {
    const params: Record<string, string> = {};
    const { names } = route.pattern;
    for (let i = 0; i < names.length; i++) params[names[i] as string] = decodedName(this.#values[i] as string);
    return params;
  }

  /** `at` is the beginning of a segment, or one past the end of the path after the last segment. */
  #descend(node: Node, method: string, path: string, at: number, captured: number): Route | null {
    if (at > path.length) return node.resource === null ? null : node.resource.pick(method);
    const { names, param, rest } = node;
    if (names !== null || param !== null) {
      const slash = path.indexOf('/', at);
      const end = slash === -1 ? path.length : slash;
      const segment = path.slice(at, end);
      const child = names?.get(segment);
      if (child !== undefined) {
        const route = this.#descend(child, method, path, end + 1, captured);
        if (route !== null) return route;
      }
      if (param !== null && segment !== '') {
        const route = this.#descend(param, method, path, end + 1, captured + 1);
        if (route !== null) {
          this.#values[captured] = segment;
          return route;
        }
      }
    }
    if (rest === null) return null;
    const route = rest.pick(method);
    if (route !== null) this.#values[captured] = path.slice(at);
    return route;
  }

  /**
   * Returns all resources and layers that fit a decoded path, for any method. For 404, 405 and OPTIONS. `notFound` is that of the longest
   * prefix, and of two with the same length that with the name.
   */
  survey(path: string): { resources: Resource[]; layers: Layer[]; notFound: Handler | null } {
    const resources: Resource[] = [];
    const layers: Layer[] = [];
    let { notFound } = this.#root;
    let notFoundAt = 1;
    const visit = (node: Node, at: number): void => {
      if (node.layers !== null) layers.push(...node.layers);
      if (node.notFound !== null && at > notFoundAt) {
        notFound = node.notFound;
        notFoundAt = at;
      }
      if (at > path.length) {
        if (node.resource !== null) resources.push(node.resource);
        return;
      }
      const slash = path.indexOf('/', at);
      const end = slash === -1 ? path.length : slash;
      const child = node.names?.get(path.slice(at, end));
      if (child !== undefined) visit(child, end + 1);
      if (node.param !== null && end > at) visit(node.param, end + 1);
      if (node.rest !== null) resources.push(node.rest);
    };
    // `OPTIONS *` is about the server and not about a resource, so it has only the layers for all paths.
    if (path.startsWith('/')) visit(this.#root, 1);
    else if (this.#root.layers !== null) layers.push(...this.#root.layers);
    return { resources, layers: layers.sort((a, b) => a.order - b.order), notFound };
  }
}

function conflictingNames(pattern: RoutePattern, name: string, earlier: string, earlierName: string): TypeError {
  return new TypeError(
    `'${pattern.text}' has the name '${name}' where '${earlier}' has '${earlierName}': use one name`,
  );
}
