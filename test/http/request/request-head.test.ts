/** RequestHead: the rules about Host, target, connection, body and expectation, and with which status each is defended. */

import { type Test, test } from 'tap';
import { HttpError } from '../../../http/http-error.ts';
import { defaultLimits } from '../../../http/limits.ts';
import { type BodyDecoder, ChunkedDecoder, LengthDecoder } from '../../../http/request/body-decoder.ts';
import { CHUNKED, NO_BODY } from '../../../http/request/body-framing.ts';
import { HeadParser } from '../../../http/request/head-parser.ts';
import { HeaderList } from '../../../http/request/header-list.ts';
import { RequestHead } from '../../../http/request/request-head.ts';
import { cpuMsOf } from '../../support/machine-time.ts';
import { invalidRequests, validRequests } from './corpus.ts';

/** Throws HttpError for what is invalid. */
function headOf(text: string, bodyBytes = defaultLimits.bodyBytes): RequestHead {
  const bytes = Buffer.from(text, 'latin1');
  const parser = new HeadParser(defaultLimits);
  const end = parser.parse(bytes, 0, bytes.length);
  if (end <= 0) throw new Error(`the parser said ${end} about ${JSON.stringify(text)}`);
  return new RequestHead(bytes.toString('latin1', 0, end), parser, bodyBytes);
}

function get(fields: string, target = '/', version = '1.1', method = 'GET'): RequestHead {
  return headOf(`${method} ${target} HTTP/${version}\r\n${fields}\r\n`);
}

function refuses(t: Test, status: number, create: () => unknown, message?: string): void {
  t.throws(create, { name: 'HttpError', status, message: /./ }, message ?? String(status));
}

// First in this file, before any valid Host was seen by this process.
test('an empty Host is refused, be it the first that comes or a later one', async (t) => {
  refuses(t, 400, () => get('Host:\r\n'), 'first');
  t.equal(get('Host: a\r\n').authority, 'a');
  refuses(t, 400, () => get('Host:\r\n'), 'later');
});

/** A whole request as a connection reads it: head and body in pieces that move. Canonical text, or the status. */
function read(text: string, ends: readonly number[]): string {
  const all = Buffer.from(text, 'latin1');
  const parser = new HeadParser(defaultLimits);
  let head: RequestHead | null = null;
  let decoder: BodyDecoder | null = null;
  let body = '';
  let from = 0;
  try {
    for (const to of ends) {
      const margin = to % 5;
      const piece = Buffer.alloc(margin + to - from + 4, '\r\n');
      all.copy(piece, margin, from, to);
      let at = margin;
      const end = margin + to - from;
      if (head === null) {
        const used = parser.parse(piece, margin, end);
        if (used === 0) continue; // the head is kept, and comes again with more
        if (used < 0) return String(-used);
        head = new RequestHead(piece.toString('latin1', margin, used), parser, defaultLimits.bodyBytes);
        at = used;
        if (head.framing === CHUNKED) decoder = new ChunkedDecoder(defaultLimits);
        else if (head.framing > 0) decoder = new LengthDecoder(head.framing);
      }
      if (decoder !== null) {
        at = decoder.decode(piece, at, end, (start, stop) => {
          body += piece.toString('latin1', start, stop);
        });
      }
      from += at - margin;
      if (decoder === null || decoder.isDone) {
        const { method, target, minorVersion, framing, path, search, authority } = head;
        const fields = [...new HeaderList(head.text, head.fieldsAt)];
        const trailers = [...(decoder?.trailers ?? [])];
        const hasBody = framing !== NO_BODY;
        return JSON.stringify([
          method,
          target,
          minorVersion,
          fields,
          hasBody ? body : null,
          trailers,
          path,
          search,
          authority,
          from,
        ]);
      }
    }
  } catch (error) {
    if (error instanceof HttpError) return String(error.status);
    throw error;
  }
  return 'incomplete';
}

/** Two cuts that are close meet in one token; two that are not are two single ones, of which all are tried anyway. */
const CLOSE = 12;
/** In splits.long.ts it is 7. */
const STRIDE = Number(process.env.STRIDE ?? 41);

function disagreeing(text: string, expected: string): number[] | undefined {
  for (let i = 0; i < text.length; i++) {
    for (let j = i + 1; j <= text.length; j += j < i + CLOSE ? 1 : STRIDE) {
      if (read(text, [i, j, text.length]) !== expected) return [i, j];
    }
  }
  return undefined;
}

for (const request of validRequests) {
  test(`valid, head and body: ${request.title}`, async (t) => {
    const { text, method, target, minorVersion, fields, body, trailers } = request;
    const whole = read(text, [text.length]);
    const start = JSON.stringify([method, target, minorVersion, fields, body, trailers]).slice(0, -1);
    t.equal(whole.slice(0, start.length), start);
    t.ok(whole.endsWith(`,${text.length}]`), 'all of it is used');
    const everyEnd = Array.from({ length: text.length }, (_, i) => i + 1);
    t.equal(read(text, everyEnd), whole, 'byte by byte');
    t.equal(disagreeing(text, whole), undefined, 'cut at pairs of offsets');
    const behind = `${text}GET /next HTTP/1.1\r\n`;
    t.equal(read(behind, [behind.length]), whole, 'a request behind it is left alone');
  });
}

for (const { title, text, status, layer } of invalidRequests) {
  if (layer === 'syntax') continue; // head-parser.test.ts cuts those
  test(`${status}: ${title}`, async (t) => {
    t.equal(read(text, [text.length]), String(status), 'whole');
    const everyEnd = Array.from({ length: text.length }, (_, i) => i + 1);
    t.equal(read(text, everyEnd), String(status), 'byte by byte');
    t.equal(disagreeing(text, String(status)), undefined, 'cut at pairs of offsets');
  });
}

test('Host: what is one', async (t) => {
  const hosts = [
    'a',
    'example.org',
    'example.org:80',
    'example.org:',
    'A.B-c_d~e',
    '127.0.0.1:8080',
    '[::1]',
    '[::1]:80',
  ];
  hosts.push('[2001:db8::a]', '[::ffff:1.2.3.4]', 'a:0', 'a:65535', 'xn--mnchen-3ya.de', '%C3%BC.de', "!$&'()*+;=");
  for (const host of hosts) t.equal(get(`Host: ${host}\r\n`).authority, host, host);
});

test('Host: HTTP/1.0 may leave it out, and no more than that', async (t) => {
  t.equal(get('', '/', '1.0').authority, '');
  refuses(t, 400, () => get('Host: a b\r\n', '/', '1.0'));
  refuses(t, 400, () => get('Host: a\r\nHost: a\r\n', '/', '1.0'));
  refuses(t, 400, () => get('', '/', '1.2'), 'HTTP/1.2 is HTTP/1.1');
});

test('Host: one that was valid before does not make another valid', async (t) => {
  for (let i = 0; i < 2; i++) {
    t.equal(get('Host: good\r\n').authority, 'good');
    refuses(t, 400, () => get('Host: good bad\r\n'));
    refuses(t, 400, () => get('Host: good\r\nHost: good\r\n'));
  }
});

const targets: [target: string, path: string, search: string, authority: string][] = [
  ['/', '/', '', 'a'],
  ['/x?', '/x', '', 'a'],
  ['/x?y', '/x', 'y', 'a'],
  ['/x?y?z', '/x', 'y?z', 'a'],
  ['/?', '/', '', 'a'],
  ['/%2e%2F?%20', '/%2e%2F', '%20', 'a'],
  ['//b/c', '//b/c', '', 'a'],
  ['/http://b/c', '/http://b/c', '', 'a'],
  ['/@b', '/@b', '', 'a'],
  ['http://b/c?d', '/c', 'd', 'b'],
  ['http://b', '/', '', 'b'],
  ['http://b?x', '/', 'x', 'b'],
  ['http://b:8080/', '/', '', 'b:8080'],
  ['http://b/u@c', '/u@c', '', 'b'],
  ['http://b//c', '//c', '', 'b'],
  ['HtTp://B/', '/', '', 'B'],
  ['https://[::1]:443/x', '/x', '', '[::1]:443'],
];

for (const [target, path, search, authority] of targets) {
  test(`target ${target}`, async (t) => {
    t.match(get('Host: a\r\n', target), { target, path, search, authority });
    t.equal(get('Host: a\r\n', target).isAbsolute, /^http/i.test(target));
  });
}

test('absolute-form: Host must be there and valid, and does not count', async (t) => {
  refuses(t, 400, () => get('', 'http://b/'));
  refuses(t, 400, () => get('Host: b b\r\n', 'http://b/'));
  t.equal(get('', 'http://b/', '1.0').authority, 'b');
});

test('asterisk-form is for OPTIONS', async (t) => {
  t.match(get('Host: a\r\n', '*', '1.1', 'OPTIONS'), { path: '*', search: '' });
  t.match(get('Host: a\r\n', 'http://b', '1.1', 'OPTIONS'), { path: '*', authority: 'b' }, 'RFC 9112 section 3.2.4');
  t.match(get('Host: a\r\n', 'http://b/', '1.1', 'OPTIONS'), { path: '/', authority: 'b' });
  t.match(get('Host: a\r\n', 'http://b?x', '1.1', 'OPTIONS'), { path: '/', search: 'x' });
  for (const method of ['GET', 'POST', 'options', 'HEAD'])
    refuses(t, 400, () => get('Host: a\r\n', '*', '1.1', method));
  refuses(t, 400, () => get('Host: a\r\n', '**', '1.1', 'OPTIONS'));
  refuses(t, 400, () => get('Host: a\r\n', '*?x', '1.1', 'OPTIONS'));
});

test('CONNECT, where the program opens tunnels: a host and a port, which replace Host', async (t) => {
  const tunnelTo = (target: string) => {
    const bytes = Buffer.from(`CONNECT ${target} HTTP/1.1\r\nHost: other\r\n\r\n`, 'latin1');
    const parser = new HeadParser(defaultLimits);
    const end = parser.parse(bytes, 0, bytes.length);
    return new RequestHead(bytes.toString('latin1', 0, end), parser, defaultLimits.bodyBytes, true);
  };
  for (const target of ['a.example:443', '192.0.2.1:1', '[2001:db8::1]:80']) {
    const head = tunnelTo(target);
    t.same([head.method, head.authority, head.path, head.isAbsolute], ['CONNECT', target, target, true]);
  }
  for (const target of ['a.example', '/', '*', 'http://a:1/', 'u@a:1', ':1', 'a:', '[::1]'])
    refuses(t, 400, () => tunnelTo(target));
});

test('CONNECT is refused, whatever its target', async (t) => {
  for (const target of ['b:80', '/', '*', 'http://b/']) {
    refuses(t, 501, () => get('Host: a\r\n', target, '1.1', 'CONNECT'));
  }
  t.equal(get('Host: a\r\n', '/', '1.1', 'connect').method, 'connect', 'methods are case-sensitive');
});

test('Connection: a list of tokens, in any case and in any number of fields', async (t) => {
  const keepAlive = (version: string, ...values: string[]) =>
    get(`Host: a\r\n${values.map((value) => `Connection: ${value}\r\n`).join('')}`, '/', version).keepAlive;
  t.equal(keepAlive('1.1'), true);
  for (const value of ['', 'keep-alive', 'x', 'closed', 'not-close', 'clo se', '"close"', 'close;', '\xa0close']) {
    t.equal(keepAlive('1.1', value), true, JSON.stringify(value));
  }
  for (const value of ['close', 'CLOSE', 'x, Close', 'close,x', ',close,', 'x\t,\tclose\t, y', 'keep-alive, close']) {
    t.equal(keepAlive('1.1', value), false, JSON.stringify(value));
  }
  t.equal(keepAlive('1.1', 'x', 'close'), false, 'in the second field');
  t.equal(keepAlive('1.1', 'close', 'keep-alive'), false, 'in the first field');
  t.equal(keepAlive('1.0'), false);
  t.equal(keepAlive('1.0', 'x'), false);
  t.equal(keepAlive('1.0', 'Keep-Alive'), true);
  t.equal(keepAlive('1.0', 'x', 'y, keep-alive'), true);
  t.equal(keepAlive('1.0', 'keep-alive', 'close'), false, 'close wins');
});

test('asks for keep-alive: only if Connection names it', async (t) => {
  const asks = (fields: string, version = '1.1') => get(`Host: a\r\n${fields}`, '/', version).asksKeepAlive;
  for (const version of ['1.0', '1.1']) {
    for (const value of ['keep-alive', 'Keep-Alive', 'x,keep-alive', 'keep-alive, close']) {
      t.equal(asks(`Connection: ${value}\r\n`, version), true, value);
    }
    t.equal(asks('Connection: x\r\nConnection: keep-alive\r\n', version), true);
    for (const fields of ['', 'Connection: x\r\n', 'Connection: keep-alived\r\n', 'Keep-Alive: timeout=5\r\n']) {
      t.equal(asks(fields, version), false, fields);
    }
  }
});

test('Upgrade: wanted where Connection names it, and not by HTTP/1.0', async (t) => {
  t.equal(get('Host: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: x\r\n').hasConnectionUpgrade, true);
  t.equal(get('Host: a\r\nUpgrade: x\r\n').hasConnectionUpgrade, false);
  t.equal(get('Host: a\r\nConnection: x\r\nUpgrade: x\r\n').hasConnectionUpgrade, false);
  t.equal(get('Connection: upgrade\r\nUpgrade: x\r\n', '/', '1.0').hasConnectionUpgrade, false);
});

test('Expect', async (t) => {
  const expects = (value: string, version = '1.1') =>
    get(`Host: a\r\nContent-Length: 1\r\nExpect: ${value}\r\n`, '/', version).expectsContinue;
  t.equal(get('Host: a\r\nContent-Length: 1\r\n').expectsContinue, false);
  t.equal(expects('100-continue'), true);
  t.equal(expects('100-Continue'), true);
  for (const value of ['', '100', '100-continued', 'x', '100-continue; q=1']) refuses(t, 417, () => expects(value));
  for (const value of ['100-continue', 'x']) t.equal(expects(value, '1.0'), false, 'HTTP/1.0 knows none');
});

test('framing', async (t) => {
  t.equal(get('Host: a\r\n').framing, NO_BODY);
  t.equal(get('Host: a\r\nContent-Length: 0\r\n').framing, 0);
  t.equal(get('Host: a\r\nCONTENT-LENGTH: 12\r\n').framing, 12, 'GET, too');
  t.equal(get('Host: a\r\ntransfer-encoding: chunked\r\n').framing, CHUNKED);
  t.equal(get('Host: a\r\nContent_Length: 5\r\nContent-Lengthy: 5\r\nTransfer_Encoding: chunked\r\n').framing, NO_BODY);
  t.equal(headOf('GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n', 7).framing, 7, 'the limit');
  refuses(t, 413, () => headOf('GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n', 7), 'and one more');
});

test('names of the same length as those that matter do not matter', async (t) => {
  const fields = 'Hoss: x\r\nExpecf: x\r\nConnectiom: close\r\nContent-Lengti: x\r\nTransfer-Encodinh: x\r\n';
  t.match(get(`Host: a\r\n${fields}`), { keepAlive: true, framing: NO_BODY, expectsContinue: false });
});

test('the text of the head keeps its fields, for those who ask', async (t) => {
  const head = headOf('\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\nX:  1 \r\n\r\nbody');
  t.same(
    [...new HeaderList(head.text, head.fieldsAt)],
    [
      ['Host', 'a'],
      ['X', '1'],
    ],
  );
  t.equal(head.method, 'GET');
  t.notOk(head.text.includes('body'));
});

test('a hostile head of 32 KB costs no more than a few milliseconds', async (t) => {
  const blanks = ' '.repeat(30_000);
  const hostile = {
    'blanks in Connection': `Host: a\r\nConnection: a${blanks}b\r\n`,
    'tabs in Connection': `Host: a\r\nConnection: a${'\t'.repeat(30_000)}b\r\n`,
    'commas in Connection': `Host: a\r\nConnection: ${','.repeat(30_000)}\r\n`,
    'blanks in Content-Length': `Host: a\r\nContent-Length: 5${blanks}6\r\n`,
    'blanks in Transfer-Encoding': `Host: a\r\nTransfer-Encoding: a${blanks}b\r\n`,
    'a long Host': `Host: ${'a'.repeat(30_000)} \r\n`,
    'a long Host of escapes': `Host: ${'%41'.repeat(10_000)}%\r\n`,
    'a long Host of colons': `Host: [${':'.repeat(30_000)}]\r\n`,
    'a long port': `Host: a:${'1'.repeat(30_000)}\r\n`,
    'a long Expect': `Host: a\r\nExpect: ${'1'.repeat(30_000)}\r\n`,
  };
  for (const [title, fields] of Object.entries(hostile)) {
    const tookMs = await cpuMsOf(() => {
      try {
        get(fields);
      } catch (error) {
        if (!(error instanceof HttpError)) throw error;
      }
    });
    t.ok(tookMs < 100, `${title}: ${Math.round(tookMs)} ms`);
  }
});
