/**
 * Where we and llhttp part on purpose: each case once, with the section of the RFC, the reason and an example.
 *
 * A row explains a difference only if what llhttp has read, or what the bytes say, shows that the rule of the row is at stake; so
 * it is a second, independent statement of that rule. It counts in both directions: where we are stricter, nothing that the
 * row speaks of may be accepted. A row whose example is no difference any more, or one of another kind, fails the test: then we,
 * or llhttp, have changed.
 */

import { isIPv6 } from 'node:net';
import type { Aspect, Difference } from './comparison.ts';
import { type Message, valuesOf } from './reading.ts';
import type { TheirMessage } from './theirs.ts';

export interface Row {
  readonly title: string;
  /** Of RFC 9112 unless it says otherwise. */
  readonly section: string;
  readonly reason: string;
  readonly example: string;
  explains(difference: Difference): boolean;
  /** Whether a request that llhttp reads like this must be refused; missing where that cannot be said for certain. */
  forbids?(theirs: TheirMessage, text: string): boolean;
}

type About = Omit<Row, 'explains' | 'forbids'>;

/** We refuse with this status what llhttp reads as this request, and never accept it. */
function weRefuse(status: number, about: About, because: (theirs: TheirMessage, text: string) => boolean): Row {
  return { ...weMayRefuse(status, about, because), forbids: because };
}

/** The same, but the reason is only likely: what looks like it in the bytes may be something else. */
function weMayRefuse(status: number, about: About, because: (theirs: TheirMessage, text: string) => boolean): Row {
  const explains = (difference: Difference) =>
    difference.kind === 'we refuse' &&
    difference.status === String(status) &&
    difference.theirs !== null &&
    because(difference.theirs, difference.text);
  return { ...about, explains };
}

/** llhttp refuses, with these words, what we read as this request. */
function llhttpRefuses(words: RegExp, about: About, because: (ours: Message, text: string) => boolean): Row {
  const explains = (difference: Difference) =>
    difference.kind === 'llhttp refuses' && words.test(difference.why) && because(difference.ours, difference.text);
  return { ...about, explains };
}

/** Both accept it, and read these aspects of it in two ways. */
function bothRead(aspects: readonly Aspect[], about: About, because: (ours: Message, text: string) => boolean): Row {
  const explains = (difference: Difference) =>
    difference.kind === 'differs' && aspects.includes(difference.aspect) && because(difference.ours, difference.text);
  return { ...about, explains };
}

/** In brackets an address, without the zone that isIPv6 would allow behind it: RFC 3986 knows none. */
const HOST = /^(?:\[([^\]%]*)\]|(?:[\w.~!$&'()*+,;=-]|%[0-9a-f]{2})+)(?::(\d*))?$/i;

function isHost(text: string): boolean {
  const match = HOST.exec(text);
  if (match === null || (match[1] !== undefined && !isIPv6(match[1])) || Number(match[2] ?? 0) >= 65_536) return false;
  return URL.canParse(`http://${text}`); // `A%20b` is a host for RFC 3986, and for no URL of WHATWG
}

/** The host that a target in absolute form names; null in any other form. */
function hostIn(target: string): string | null {
  return /^https?:\/\/([^/?#]*)/i.exec(target)?.[1] ?? null;
}

function hasForm(target: string, method: string): boolean {
  return target.startsWith('/') || hostIn(target) !== null || (target === '*' && method === 'OPTIONS');
}

/** The request line, without the empty lines before it and whatever ends it. */
function lineOf(text: string): string {
  return /[^\r\n]+/.exec(text)?.[0] ?? '';
}

/** The members of all fields of that name. */
function membersOf(message: Message, name: string): string[] {
  return valuesOf(message.fields, name)
    .flatMap((value) => value.toLowerCase().split(','))
    .map((member) => member.replace(/^[ \t]+|[ \t]+$/g, ''));
}

const isNumber = (text: string) => /^\d+$/.test(text);

/** Section 9.3, and that we apply it so: no row may excuse another answer. */
function persistsRightly(ours: Message): boolean {
  const options = membersOf(ours, 'connection');
  const should = !options.includes('close') && (ours.minorVersion > 0 || options.includes('keep-alive'));
  return ours.keepAlive === should;
}

const A_FEW_EMPTY_LINES = /^(?:\r\n){0,4}[^\r\n]/;

const OTHER_PROTOCOL = / (?:ICE|RTSP)\/\d\.\d$/;

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const QUOTED = '"(?:[\\t !#-\\[\\]-~\\x80-\\xff]|\\\\[\\t -~\\x80-\\xff])*"';
const BLANKS = '[ \\t]*';
const isToken = (text: string) => new RegExp(`^${TOKEN}$`).test(text);
const EXTENSION = `${BLANKS};${BLANKS}${TOKEN}(?:${BLANKS}=${BLANKS}(?:${TOKEN}|${QUOTED}))?`;

/** A line that begins as the size of a chunk with extensions, and does not end as one. */
const BAD_EXTENSION = new RegExp(`\\r\\n[0-9a-f]+(?=[ \\t]*;)(?!(?:${EXTENSION})*\\r\\n)`, 'i');

const BLANK_BEHIND_CHUNKED = /transfer-encoding:[ \t]*chunked[ \t]/i;

const chunked = (body: string) => `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${body}`;
const get = (fields: string) => `GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;

/** What we refuse, and llhttp does not. */
const stricter: readonly Row[] = [
  {
    title: 'more before the request line than four times CRLF',
    section: '2.2',
    reason: 'an endless row of them would be input without a request, and a bare CR or LF ends no line',
    example: '\nGET / HTTP/1.1\r\nHost: a\r\n\r\n',
    explains: (difference) => difference.kind === 'we refuse' && !A_FEW_EMPTY_LINES.test(difference.text),
    forbids: (_, text) => !A_FEW_EMPTY_LINES.test(text),
  },
  weRefuse(
    400,
    {
      title: 'more than one space in the request line',
      section: '3',
      reason: 'two programs may disagree on where the target begins or ends',
      example: 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n',
    },
    (_, text) => lineOf(text).includes('  '),
  ),
  weRefuse(
    400,
    {
      title: 'the simple request of HTTP/0.9',
      section: '3',
      reason: 'its answer would have no head; llhttp even reads the fields behind it',
      example: 'GET /\r\nHost: a\r\n\r\n',
    },
    (_, text) => !lineOf(text).includes(' HTTP/') && !OTHER_PROTOCOL.test(lineOf(text)),
  ),
  weRefuse(
    400,
    {
      title: 'another protocol of the same shape',
      section: '2.3',
      reason: 'a line of ICE or RTSP is none of HTTP',
      example: 'SOURCE / ICE/1.0\r\nHost: a\r\n\r\n',
    },
    (_, text) => OTHER_PROTOCOL.test(lineOf(text)),
  ),
  weRefuse(
    505,
    {
      title: 'another major version',
      section: '2.3',
      reason: 'HTTP/0.9 and HTTP/2 are other protocols, and no line of theirs says so',
      example: 'GET / HTTP/2.0\r\nHost: a\r\n\r\n',
    },
    ({ majorVersion }) => majorVersion !== 1,
  ),
  weRefuse(
    400,
    {
      title: 'a fragment in the target',
      section: '3.2',
      reason: 'no form of a target has one, and programs disagree on whether it is part of the path',
      example: 'GET /#a HTTP/1.1\r\nHost: a\r\n\r\n',
    },
    ({ target }) => target.includes('#'),
  ),
  weRefuse(
    400,
    {
      title: 'a target in none of the four forms',
      section: '3.2',
      reason: 'a word, an asterisk without OPTIONS or another scheme names no resource of ours',
      example: 'GET * HTTP/1.1\r\nHost: a\r\n\r\n',
    },
    ({ target, method }) => !hasForm(target, method),
  ),
  weRefuse(
    400,
    {
      title: 'an absolute target without a valid host, or with user information',
      section: '3.2.2, and RFC 9110 4.2.4',
      reason: 'its host replaces Host, so it must be one; and a name with @ makes one host look like another',
      example: 'GET http://a@b/ HTTP/1.1\r\nHost: a\r\n\r\n',
    },
    ({ target }) => hostIn(target) !== null && !isHost(hostIn(target) ?? ''),
  ),
  weRefuse(
    501,
    {
      title: 'CONNECT',
      section: 'RFC 9110 9.3.6',
      reason: 'we open no tunnels, and what follows it is no request',
      example: 'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n',
    },
    ({ method }) => method === 'CONNECT',
  ),
  weRefuse(
    400,
    {
      title: 'no Host in HTTP/1.1',
      section: '3.2',
      reason: 'a server MUST answer 400; llhttp leaves it to its caller',
      example: 'GET / HTTP/1.1\r\n\r\n',
    },
    ({ fields, minorVersion }) => minorVersion > 0 && valuesOf(fields, 'host').length === 0,
  ),
  weRefuse(
    400,
    {
      title: 'more than one Host',
      section: '3.2',
      reason: 'a server MUST answer 400: two programs would choose different ones',
      example: get('Host: a\r\n'),
    },
    ({ fields }) => valuesOf(fields, 'host').length > 1,
  ),
  weRefuse(
    400,
    {
      title: 'a Host that is no uri-host [":" port], or that no URL can have',
      section: '3.2',
      reason: 'a server MUST answer 400; llhttp leaves it to its caller',
      example: 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n',
    },
    ({ fields }) => valuesOf(fields, 'host').some((host) => !isHost(host)),
  ),
  weRefuse(
    417,
    {
      title: 'an expectation that is not 100-continue',
      section: 'RFC 9110 10.1.1',
      reason: 'we cannot meet it, and must not do as if we could',
      example: get('Expect: tea\r\n'),
    },
    ({ fields, minorVersion }) =>
      minorVersion > 0 && valuesOf(fields, 'expect').some((value) => value.toLowerCase() !== '100-continue'),
  ),
  weRefuse(
    400,
    {
      title: 'Transfer-Encoding in HTTP/1.0',
      section: '6.1',
      reason: 'some program on the way did not understand it: the framing is faulty',
      example: 'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    },
    (theirs) => theirs.minorVersion === 0 && membersOf(theirs, 'transfer-encoding').length > 0,
  ),
  weRefuse(
    501,
    {
      title: 'another coding below chunked',
      section: '6.1',
      reason: 'a server SHOULD answer 501 to a coding that it does not understand',
      example: 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    },
    (theirs) => membersOf(theirs, 'transfer-encoding').some((coding) => coding !== 'chunked'),
  ),
  weRefuse(
    400,
    {
      title: 'codings of which one is empty or no token, or with chunked twice',
      section: '6.1',
      reason: 'no sender may do so, and some readers give up at that place; llhttp looks at the last word',
      example: 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n',
    },
    (theirs) => {
      const codings = membersOf(theirs, 'transfer-encoding');
      return !codings.every(isToken) || codings.indexOf('chunked') !== codings.lastIndexOf('chunked');
    },
  ),
  weMayRefuse(
    400,
    {
      title: 'a chunk extension against its grammar',
      section: '7.1.1',
      reason: 'llhttp takes an empty name or value for one; what nobody sends, nobody needs',
      example: chunked('1;=b\r\na\r\n0\r\n\r\n'),
    },
    (_, text) => BAD_EXTENSION.test(text),
  ),
  weMayRefuse(
    400,
    {
      title: 'a chunk size of more than sixteen digits',
      section: '7.1',
      reason: 'it must not overflow, and an endless row of zeros is no number',
      example: chunked('00000000000000001\r\na\r\n0\r\n\r\n'),
    },
    (_, text) => /\r\n[0-9a-f]{17}/i.test(text),
  ),
  weMayRefuse(
    431,
    {
      title: 'more fields than the limit',
      section: 'RFC 6585 5',
      reason: 'llhttp has no limits and leaves them to its caller; ours are tested one by one elsewhere',
      example: get('A: 1\r\n'.repeat(100)),
    },
    ({ fields, trailers }) => fields.length > 100 || JSON.stringify(trailers).length > 8_000,
  ),
];

/** What we accept, and llhttp does not. */
const wider: readonly Row[] = [
  llhttpRefuses(
    /^HPE_INVALID_METHOD|Invalid method for HTTP/,
    {
      title: 'a method that llhttp does not know',
      section: 'RFC 9110 9.1',
      reason: "methods are an open set; whether one is served is the router's business",
      example: 'BREW / HTTP/1.1\r\nHost: a\r\n\r\n',
    },
    ({ method }) => /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}$/.test(method),
  ),
  llhttpRefuses(
    /Expected HTTP\/2 Connection Preface/,
    {
      title: 'PRI without the rest of the preface of HTTP/2',
      section: 'RFC 9113 3.4',
      reason: 'it is only a word, and HTTP/2.0 behind it is refused',
      example: 'PRI /a HTTP/1.1\r\nHost: a\r\n\r\n',
    },
    ({ method }) => method === 'PRI',
  ),
  llhttpRefuses(
    /Invalid HTTP version/,
    {
      title: 'a later minor version',
      section: 'RFC 9110 2.5',
      reason: 'whoever sends 1.2 promises to be understood as 1.1',
      example: 'GET / HTTP/1.2\r\nHost: a\r\n\r\n',
    },
    (_, text) => / HTTP\/1\.[2-9]$/.test(lineOf(text)),
  ),
  llhttpRefuses(
    /Invalid character in Content-Length|Duplicate Content-Length/,
    {
      title: 'equal Content-Lengths, in a list or in fields of their own',
      section: '6.3',
      reason: 'a proxy that merged two may have made them, and they cannot be misunderstood',
      example: get('Content-Length: 1, 1\r\n').concat('a'),
    },
    (ours) => {
      const lengths = membersOf(ours, 'content-length');
      return lengths.length > 1 && lengths.every((length) => isNumber(length) && length === lengths[0]);
    },
  ),
  llhttpRefuses(
    /Invalid character in Content-Length/,
    {
      title: 'a tab behind a Content-Length',
      section: '5.1',
      reason: 'blanks around a value are no part of it; llhttp knows only the space there',
      example: get('Content-Length: 1\t\r\n').concat('a'),
    },
    (ours, text) => membersOf(ours, 'content-length').every(isNumber) && /content-length:[ \t]*\d+ *\t/i.test(text),
  ),
  llhttpRefuses(
    /Request has invalid `Transfer-Encoding`/,
    {
      title: 'a blank behind chunked',
      section: '5.1',
      reason: 'blanks around a value are no part of it; llhttp then takes the coding for another',
      example: 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n',
    },
    (ours, text) => membersOf(ours, 'transfer-encoding').join() === 'chunked' && BLANK_BEHIND_CHUNKED.test(text),
  ),
  llhttpRefuses(
    /Content-Length can't be present with Transfer-Encoding|Invalid `Transfer-Encoding` header value/,
    {
      title: 'a framing field among the trailers',
      section: '7.1.2',
      reason: 'it frames nothing and becomes no header; a trailer that nobody asked for is ignored',
      example: chunked('0\r\nContent-Length: 1\r\n\r\n'),
    },
    ({ trailers }) => valuesOf(trailers, 'content-length').concat(valuesOf(trailers, 'transfer-encoding')).length > 0,
  ),
  llhttpRefuses(
    /Invalid character in chunk (?:size|extensions)/,
    {
      title: 'blanks around the parts of a chunk extension',
      section: '7.1.1',
      reason: 'a recipient MUST parse such bad white space and drop it',
      example: chunked('1 ; b = c\r\na\r\n0\r\n\r\n'),
    },
    (_, text) => /\n[0-9a-f]+(?:[ \t]*;[^\r\n]*)?[ \t][^\r\n]*\r\n/i.test(text),
  ),
];

/** What we both accept, and take for two different things. */
const otherwise: readonly Row[] = [
  bothRead(
    ['keepAlive'],
    {
      title: 'a tab behind an option of Connection',
      section: '5.1',
      reason: 'blanks around a value are no part of it; llhttp knows only the space there',
      example: get('Connection: close\t\r\n'),
    },
    (ours, text) => persistsRightly(ours) && /connection:[^\r\n]*\t/i.test(text),
  ),
  bothRead(
    ['keepAlive'],
    {
      title: 'Proxy-Connection',
      section: 'C.2.2',
      reason: 'it was never meant for servers; llhttp takes it for Connection',
      example: get('Proxy-Connection: close\r\n'),
    },
    (ours) => persistsRightly(ours) && valuesOf(ours.fields, 'proxy-connection').length > 0,
  ),
  bothRead(
    ['keepAlive'],
    {
      title: 'close and keep-alive in HTTP/1.0',
      section: '9.3',
      reason: 'close wins; llhttp only looks for keep-alive',
      example: 'GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n',
    },
    (ours) => persistsRightly(ours) && ours.minorVersion === 0 && membersOf(ours, 'connection').includes('close'),
  ),
  {
    title: 'a blank behind chunked, where another protocol is asked for',
    section: '5.1',
    reason: 'the body is chunked all the same; llhttp then sees none, and leaves its bytes to the other protocol',
    example:
      'POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked \t\r\n\r\n' +
      '1\r\na\r\n0\r\n\r\n',
    explains: (difference) => {
      const isOfBody = difference.kind === 'differs' ? ['body', 'trailers', 'end'].includes(difference.aspect) : true;
      return isOfBody && /\r\nupgrade:/i.test(difference.text) && BLANK_BEHIND_CHUNKED.test(difference.text);
    },
  },
];

export const rows: readonly Row[] = [...stricter, ...wider, ...otherwise];

export function rowFor(difference: Difference): Row | undefined {
  return rows.find((row) => row.explains(difference));
}
