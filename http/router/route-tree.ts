/**
 * RouteTree: which route a path belongs to, in a time that depends on the path and not on the number of routes.
 *
 * A list of patterns is tried one by one: the last of 10,000 routes waits for 9,999 comparisons. Here each segment of a
 * pattern is a step down a tree, and the names of a node are a Map, so a lookup takes one step per segment of the path.
 *
 * At each node a name wins over a param, and a param over a wildcard. A branch that ends without a route for the method
 * is left again, so that `/users/me` with POST alone does not hide `/users/:id` from a GET. Going back costs at most a
 * visit to each node that fits the path: how many there are is decided by those who write routes, not by those who
 * write requests.
 *
 * It refuses two handlers for one method and pattern, and two names for the param at one place.
 *
 * Next: middleware.ts
 */

import type { Handler, Middleware } from '../handler.ts';
import { decodedName } from './path.ts';
import type { RoutePattern, Segment } from './route-pattern.ts';

/** One handler: that of a method, or of all those without one. */
export class Route {
  readonly pattern: RoutePattern;
  readonly handler: Handler;
  /** The handler inside its middleware. This and the next field belong to the router. */
  composed: Handler;
  /** How many layers the router had when it composed. */
  composedOf = 0;

  constructor(pattern: RoutePattern, handler: Handler) {
    this.pattern = pattern;
    this.handler = handler;
    this.composed = handler;
  }
}

/** One middleware and the paths it is for. */
export interface Layer {
  readonly prefix: RoutePattern;
  readonly middleware: Middleware;
  /** The place in the order of registration. */
  readonly order: number;
}

/** The method of a route for all methods: no request has it, because a method is never empty. */
export const ALL = '';

/** What one pattern has: RFC 9110 calls it a resource, and its methods are what `Allow` lists. */
export class Resource {
  readonly pattern: RoutePattern;
  readonly #routes = new Map<string, Route>();

  constructor(pattern: RoutePattern) {
    this.pattern = pattern;
  }

  add(method: string, handler: Handler): void {
    if (this.#routes.has(method)) {
      throw new TypeError(`${method === ALL ? 'all methods' : method} of '${this.pattern.text}' already had a handler`);
    }
    this.#routes.set(method, new Route(this.pattern, handler));
  }

  pick(method: string): Route | null {
    const route = this.#routes.get(method);
    if (route !== undefined) return route;
    // RFC 9110 section 9.3.2: HEAD is GET without the content, and dropping it is the response writer's work.
    const stand = (method === 'HEAD' ? this.#routes.get('GET') : undefined) ?? this.#routes.get(ALL);
    return stand === undefined || isNeverRouted(method) ? null : stand;
  }

  methods(): Iterable<string> {
    return this.#routes.keys();
  }
}

/**
 * CONNECT asks for a tunnel, TRACE for its own head back, cookies included (cross-site tracing). Neither is a request for
 * a resource, and a handler for all methods never thinks of them.
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
}

function emptyNode(): Node {
  return { names: null, param: null, paramName: '', paramFrom: '', resource: null, rest: null, layers: null };
}

export class RouteTree {
  readonly #root = emptyNode();
  /** The patterns of names alone, by their text: most requests are for these, and they come first in the tree too. */
  readonly #whole = new Map<string, Resource>();
  /** The params of the last find, as they stand in the decoded path; only those of the route found are read. */
  readonly #values: string[] = [];

  addRoute(pattern: RoutePattern, method: string, handler: Handler): void {
    const node = this.#nodeOf(pattern);
    const last = pattern.segments.at(-1) as Segment;
    if (last.kind !== 'wildcard') {
      node.resource ??= new Resource(pattern);
      node.resource.add(method, handler);
      if (pattern.names.length === 0) this.#whole.set(pattern.text, node.resource);
      return;
    }
    node.rest ??= new Resource(pattern);
    const first = node.rest.pattern;
    if (first.names.at(-1) !== last.name) throw twoNames(pattern, last.name, first.text, first.names.at(-1) as string);
    node.rest.add(method, handler);
  }

  addLayer(layer: Layer): void {
    const node = this.#nodeOf(layer.prefix);
    node.layers ??= [];
    node.layers.push(layer);
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
          throw twoNames(pattern, segment.name, node.paramFrom, node.paramName);
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

  /** The route for a decoded path. */
  find(method: string, path: string): Route | null {
    const route = this.#whole.get(path)?.pick(method) ?? null;
    if (route !== null) return route;
    return path.startsWith('/') ? this.#descend(this.#root, method, path, 1, 0) : null;
  }

  /** The params of the route that was found last. */
  params(route: Route): Record<string, string> {
    const params: Record<string, string> = {};
    const { names } = route.pattern;
    for (let i = 0; i < names.length; i++) params[names[i] as string] = decodedName(this.#values[i] as string);
    return params;
  }

  /** `at` is where a segment begins: one past the end if none does. */
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

  /** Everything that fits a decoded path, whatever the method: for those who answer when no route does. */
  survey(path: string): { resources: Resource[]; layers: Layer[] } {
    const resources: Resource[] = [];
    const layers: Layer[] = [];
    const visit = (node: Node, at: number): void => {
      if (node.layers !== null) layers.push(...node.layers);
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
    // `OPTIONS *` is about the server: no resource is meant, and only what covers everything covers it.
    if (path.startsWith('/')) visit(this.#root, 1);
    else if (this.#root.layers !== null) layers.push(...this.#root.layers);
    return { resources, layers: layers.sort((a, b) => a.order - b.order) };
  }
}

function twoNames(pattern: RoutePattern, name: string, earlier: string, earlierName: string): TypeError {
  return new TypeError(`'${pattern.text}' names '${name}' what '${earlier}' has already named '${earlierName}'`);
}
