/**
 * Content-Security-Policy: which sources a page may load its parts from (CSP level 3, https://www.w3.org/TR/CSP3/).
 *
 *     securityPolicyFrom({ 'img-src': ["'self'", 'data:'], 'style-src': null })
 *
 * The result is the text before and behind the places where a nonce goes, so that a request joins strings and builds nothing.
 *
 * A source with `;` or `,` would begin another directive or another policy, so it throws. So does a keyword without its quotes, such as `self`: a browser
 * takes it for a host of that name.
 *
 * Next: ../handlers/secure-headers.ts
 */

import { isFieldValue } from '../grammar.ts';

/**
 * By the name of a directive its sources. Null removes a directive that is there by default; an empty list is a directive without a value.
 *
 * ```ts
 * import { type PolicyDirectives, Router, secureHeaders } from 'simplenet/http';
 *
 * const directives: PolicyDirectives = { 'img-src': ["'self'", 'https://images.example'], 'upgrade-insecure-requests': [] };
 * new Router().use(secureHeaders({ contentSecurityPolicy: directives }));
 * ```
 */
export type PolicyDirectives = Readonly<Record<string, readonly string[] | null>>;

const SELF = "'self'";
const NONE = "'none'";

/** A page loads from its own origin, and is shown in frames of its own origin alone. No plugins, no scripts in attributes, no foreign base. */
export const defaultDirectives: PolicyDirectives = {
  'default-src': [SELF],
  'base-uri': [SELF],
  'form-action': [SELF],
  'frame-ancestors': [SELF],
  'img-src': [SELF, 'data:'],
  'object-src': [NONE],
  'script-src': [SELF],
  'script-src-attr': [NONE],
  'style-src': [SELF],
};

/** The directives that get the nonce of a request. */
const WITH_NONCE = ['script-src', 'style-src'];

const NAME = /^[a-z]+(?:-[a-z]+)*$/;
const NEEDS_QUOTES =
  /^(?:none|self|unsafe-inline|unsafe-eval|unsafe-hashes|strict-dynamic|report-sample|wasm-unsafe-eval|nonce-.*|sha(?:256|384|512)-.*)$/;

/** The policy of the default directives and these, in pieces: a nonce goes between each two. */
export function securityPolicyFrom(directives: PolicyDirectives, hasNonce: boolean): readonly string[] {
  const pieces: string[] = [];
  let text = '';
  for (const [name, sources] of Object.entries({ ...defaultDirectives, ...directives })) {
    if (sources === null) continue;
    text += `${text === '' && pieces.length === 0 ? '' : '; '}${directive(name, sources)}`;
    if (!hasNonce || !WITH_NONCE.includes(name)) continue;
    pieces.push(`${text} 'nonce-`);
    text = "'";
  }
  return [...pieces, text];
}

function directive(name: string, sources: readonly string[]): string {
  if (!NAME.test(name)) throw new TypeError(`'${name}' is not a directive of Content-Security-Policy`);
  if (!Array.isArray(sources)) throw new TypeError(`the sources of ${name} must be an array`);
  return [name, ...sources.map((source) => checked(name, source))].join(' ');
}

function checked(name: string, source: unknown): string {
  if (typeof source !== 'string' || source === '' || /[;,\s]/.test(source) || !isFieldValue(source)) {
    throw new TypeError(`${JSON.stringify(source)} cannot be a source of ${name}`);
  }
  if (NEEDS_QUOTES.test(source)) throw new TypeError(`${source} of ${name} needs quotes: "'${source}'"`);
  return source;
}
