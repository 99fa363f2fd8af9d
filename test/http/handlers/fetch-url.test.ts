/** The URL of a Fetch request is what `new URL` makes of it. */

import { test } from 'tap';
import type { HttpRequest } from '../../../http/handler.ts';
import { fetchUrlOf } from '../../../http/handlers/fetch-url.ts';

const urlOf = (authority: string, target: string, scheme = 'http', url = `${scheme}://${authority}${target}`) =>
  fetchUrlOf({ authority, target, scheme, url } as HttpRequest);

test('a target that is in its final form already, and one that is not, give what new URL gives', async (t) => {
  const targets = [
    '/',
    '/a/b?c=d&e=%20',
    '//x',
    '/a//b',
    '/.well-known/x',
    '/a/../b',
    '/a/%2e%2E/b',
    '/./',
    '/a.b/c..d',
  ];
  targets.push("/it's?it's", '/a"b', '/{x}', '/a|b', '/a^b', '/a\\b', '/?a=/../b', '/%', '/a?b?c', '/[x]', '/`', '/<>');
  for (const target of targets) {
    t.equal(urlOf('example.org:8080', target), new URL(`http://example.org:8080${target}`).href, target);
  }
});

test('the host is written as a URL has it', async (t) => {
  t.equal(urlOf('EXAMPLE.org:80', '/x'), 'http://example.org/x');
  t.equal(urlOf('[::1]:8080', '/x'), 'http://[::1]:8080/x');
  t.equal(urlOf('example.org', '/x'), 'http://example.org/x');
  t.equal(urlOf('', '/x', 'http', 'http://192.0.2.1:80/x'), 'http://192.0.2.1/x', 'HTTP/1.0 without Host');
  t.equal(urlOf('example.org:443', '/x', 'https'), 'https://example.org/x', 'another scheme of the same host');
  t.equal(urlOf('example.org:443', '/x'), 'http://example.org:443/x');
});

test('an absolute target, and the asterisk of OPTIONS', async (t) => {
  t.equal(urlOf('a.example', 'http://a.example/x?y', 'http', 'http://a.example/x?y'), 'http://a.example/x?y');
  t.equal(urlOf('a.example', '*', 'http', 'http://a.example'), 'http://a.example/');
});
