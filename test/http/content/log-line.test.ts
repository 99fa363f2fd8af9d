/** The line of an answer: its three forms, and that what a client has sent cannot leave its place in it. */

import { test } from 'tap';
import { formats, type LogEntry, type LogFormat, MAX_TEXT_LENGTH } from '../../../http/content/log-line.ts';

const entry: LogEntry = {
  startedAt: Date.UTC(2026, 10, 29, 15, 4, 5, 678),
  client: '192.0.2.1',
  method: 'GET',
  target: '/a',
  httpVersion: '1.1',
  route: '/:name',
  status: 200,
  bytes: 5_124,
  durationMs: 0.4321,
  referrer: 'https://a.example/',
  agent: 'curl/8.5.0',
  id: 'id-7',
  trace: null,
  clientGone: false,
  error: null,
};

const nothing: LogEntry = {
  ...entry,
  ...{ client: null, method: '', target: '', httpVersion: '', route: null, status: 0, bytes: 0 },
  ...{ referrer: null, agent: null, id: null, clientGone: true, error: 'Error: broken' },
};

test('the three formats', async (t) => {
  const common = '192.0.2.1 - - [29/Nov/2026:15:04:05 +0000] "GET /a HTTP/1.1" 200 5124';
  t.equal(formats.common.line(entry), `${common}\n`);
  t.equal(formats.combined.line(entry), `${common} "https://a.example/" "curl/8.5.0"\n`);
  t.equal(
    formats.json.line(entry),
    '{"time":"2026-11-29T15:04:05.678Z","id":"id-7","client":"192.0.2.1","method":"GET","path":"/a","route":"/:name",' +
      '"status":200,"bytes":5124,"ms":0.4,"referrer":"https://a.example/","agent":"curl/8.5.0"}\n',
  );
});

test('an answer of which little is known', async (t) => {
  t.equal(formats.combined.line(nothing), '- - - [29/Nov/2026:15:04:05 +0000] "-" - - "-" "-"\n');
  const wanted = { time: '2026-11-29T15:04:05.678Z', method: '', path: '', route: null, status: 0, bytes: 0, ms: 0.4 };
  t.same(JSON.parse(formats.json.line(nothing)), { ...wanted, clientGone: true, error: 'Error: broken' });
});

test('the time of another second', async (t) => {
  const later = { ...entry, startedAt: Date.UTC(2027, 0, 1) };
  t.match(formats.common.line(later), '[01/Jan/2027:00:00:00 +0000]');
  t.match(formats.common.line(entry), '[29/Nov/2026:15:04:05 +0000]');
});

test('the line that says how many are missing', async (t) => {
  t.equal(formats.common.gap(1), '# 1 line dropped\n');
  t.equal(formats.combined.gap(2), '# 2 lines dropped\n');
  t.same(JSON.parse(formats.json.gap(3)), { dropped: 3 });
});

test('escapes of the first two forms', async (t) => {
  const line = formats.combined.line({ ...entry, agent: 'a"b\\c\r\n\x1b[2J\x7f\x9b\u00e4\u2028' });
  t.match(line, String.raw`"a\"b\\c\x0d\x0a\x1b[2J\x7f\x9b\xe4\xe2\x80\xa8"`);
});

/** Quotes that are not escaped stand around the texts alone. */
function hasItsPlaces(format: LogFormat, line: string, text: string): boolean {
  if (!/^[\x20-\x7e]*\n$/.test(line)) return false;
  if (format !== 'json') return line.replace(/\\./g, '').split('"').length === (format === 'common' ? 3 : 7);
  const { agent, path, error, referrer } = JSON.parse(line);
  return [agent, path, error, referrer].every((each) => each === text);
}

test('no text of a client ends a line, closes its place or leaves printable ASCII', async (t) => {
  const fields = ['client', 'method', 'target', 'httpVersion', 'route', 'referrer', 'agent', 'id', 'error'] as const;
  const torn: string[] = [];
  for (let code = 0; code < 0x10000; code += code < 0x300 ? 1 : 97) {
    const text = `"${String.fromCharCode(code)}" 200 7\n{"a":1}`;
    const evil = { ...entry, ...Object.fromEntries(fields.map((field) => [field, text])) };
    for (const format of Object.keys(formats) as LogFormat[]) {
      const line = formats[format].line(evil);
      if (!hasItsPlaces(format, line, text)) torn.push(line);
    }
  }
  t.same(torn, []);
});

test('a text of MAX_TEXT_LENGTH, and one more', async (t) => {
  const longest = 'x'.repeat(MAX_TEXT_LENGTH);
  t.match(formats.combined.line({ ...entry, agent: longest }), `"${longest}"`);
  t.match(formats.combined.line({ ...entry, agent: `${longest}x` }), `"${longest}..."`);
  for (const field of ['target', 'referrer', 'agent', 'error'] as const) {
    t.match(formats.json.line({ ...entry, [field]: longest }), `${longest}"`);
    t.match(formats.json.line({ ...entry, [field]: `${longest}x` }), `${longest}..."`);
  }
});
