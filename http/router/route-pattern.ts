/**
 * Route patterns: `/users/:id/files/*`, as text, as segments, and as a type. Pure.
 *
 * A segment is a name (`users`), a param (`:id`, which matches one name that is not empty) or, at the end, a wildcard (`*` or `*path`,
 * which matches the rest of the path, also an empty one). A pattern is decoded text: write `/café`, not `/caf%C3%A9`; the router
 * decodes the path of the request. `/a` and `/a/` are two paths, as for every cache, proxy and relative link.
 *
 * Optional parts, regular expressions and two params in one segment are refused: with them it is hard to say which of two routes
 * wins, and a regular expression could take seconds for one request. A wrong pattern throws when it is registered.
 *
 * Next: route-tree.ts
 */

/** `'/users/:id/*'` -> `{ readonly id: string; readonly '*': string }`. If the type is `string` and not a literal, any name is allowed. */
export type ParamsOf<Path extends string> = string extends Path
  ? Readonly<Record<string, string>>
  : { readonly [Name in NamesOf<Path>]: string };

type NamesOf<Path extends string> = Path extends `${infer Segment}/${infer Rest}`
  ? NameOf<Segment> | NamesOf<Rest>
  : NameOf<Path>;

type NameOf<Segment extends string> = Segment extends `:${infer Name}`
  ? Name
  : Segment extends '*'
    ? '*'
    : Segment extends `*${infer Name}`
      ? Name
      : never;

export type Segment =
  | { readonly kind: 'name'; readonly text: string }
  | { readonly kind: 'param'; readonly name: string }
  | { readonly kind: 'wildcard'; readonly name: string };

export interface RoutePattern {
  readonly text: string;
  readonly segments: readonly Segment[];
  /** The params, in order; a wildcard without a name is `*`. */
  readonly names: readonly string[];
}

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** The pattern of a route: `/`, `/users/:id`, `/files/*`. */
export function parsePattern(text: string): RoutePattern {
  const refuse = (reason: string) => new TypeError(`the pattern '${String(text)}' ${reason}`);
  if (typeof text !== 'string' || !text.startsWith('/')) throw refuse("does not start with '/'");
  if (/[?#]/.test(text)) throw refuse("has '?' or '#': a pattern is a path, without a query and without options");
  if (/%[0-9a-f]{2}/i.test(text)) throw refuse('is percent-encoded: write it as decoded text');
  if (text.includes('\0')) throw refuse('contains NUL');
  const parts = text.slice(1).split('/');
  const segments = parts.map((part, i): Segment => {
    if (part.startsWith(':')) return { kind: 'param', name: checkedName(part.slice(1)) };
    if (!part.includes('*')) return { kind: 'name', text: part };
    if (!part.startsWith('*') || i !== parts.length - 1) throw refuse("has a '*' that is not its last segment");
    return { kind: 'wildcard', name: part === '*' ? '*' : checkedName(part.slice(1)) };
  });
  return patternOf(text, segments);

  function checkedName(name: string): string {
    if (name === '') throw refuse("has a ':' without a name");
    // A param with the name __proto__ would be lost: assigning it sets the prototype.
    if (!IDENTIFIER.test(name) || name === '__proto__') {
      throw refuse(`has a param named '${name}': a name is a letter or '_', then letters, digits and '_'`);
    }
    return name;
  }
}

/** The pattern of a prefix: `/api` covers `/api` and `/api/...`, not `/apis`. The prefix `/` covers all paths. */
export function parsePrefix(text: string): RoutePattern {
  const pattern = parsePattern(text);
  if (text === '/') return { text: '', segments: [], names: [] };
  const last = pattern.segments.at(-1) as Segment;
  if (last.kind === 'wildcard' || (last.kind === 'name' && last.text === '')) {
    throw new TypeError(
      `a prefix covers all paths below it, so '${text}' needs no end: write '${text.replace(/\/[^/]*$/, '') || '/'}'`,
    );
  }
  return pattern;
}

/** Joins a pattern to a prefix. `/` below `/api` is `/api` itself, so a router can be mounted at each prefix. */
export function joinPatterns(prefix: RoutePattern, pattern: RoutePattern): RoutePattern {
  if (prefix.segments.length === 0) return pattern;
  if (pattern.text === '/') return prefix;
  return patternOf(prefix.text + pattern.text, [...prefix.segments, ...pattern.segments]);
}

function patternOf(text: string, segments: readonly Segment[]): RoutePattern {
  const names = segments.flatMap((segment) => (segment.kind === 'name' ? [] : [segment.name]));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new TypeError(`the pattern '${text}' has two params named '${twice}'`);
  return { text, segments, names };
}

/** Whether the paths of a route are below a prefix: all of them, none of them, or some of them. */
export function coverage(prefix: RoutePattern, route: RoutePattern): 'all' | 'none' | 'some' {
  let result: 'all' | 'some' = 'all';
  for (const [i, above] of prefix.segments.entries()) {
    const below = route.segments[i];
    if (below === undefined) return 'none';
    if (below.kind === 'wildcard') return 'some';
    if (above.kind === 'name') {
      if (below.kind === 'param') {
        if (above.text === '') return 'none';
        result = 'some';
      } else if (below.text !== above.text) return 'none';
    } else if (below.kind === 'name' && below.text === '') return 'none';
  }
  return result;
}

/** Whether a route has the params of a prefix: the same names for the same segments. */
export function sharesParams(prefix: RoutePattern, route: RoutePattern): boolean {
  return prefix.segments.every((segment, i) => {
    const other = route.segments[i];
    return segment.kind === 'name' || (other?.kind === 'param' && other.name === segment.name);
  });
}
