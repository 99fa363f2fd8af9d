import { test } from 'tap';
import type { LogFormat } from '../../command/options.ts';
import { boxed, createReporter } from '../../command/reporter.ts';
import type { HttpRequest } from '../../http/index.ts';

const start = {
  what: 'the directory site',
  url: 'http://127.0.0.1:80',
  otherUrls: [],
  networkUrls: ['http://192.0.2.7:80'],
  hint: null,
  certificate: [],
};

/** All that a reporter says of a run without errors. */
function saidBy(format: LogFormat): string {
  let text = '';
  const reporter = createReporter(format, (more) => {
    text += more;
  });
  reporter.portTaken(80, 81);
  reporter.started(start);
  reporter.announced(2_500);
  for (const waitingFor of [0, 1, 2]) reporter.stopping(waitingFor);
  return text;
}

test('for a person: a box and sentences', async (t) => {
  t.equal(
    saidBy('common'),
    `Port 80 is busy, so it is 81.
╭─────────────────────────────────────╮
│ simplenet serves the directory site │
│                                     │
│   Local    http://127.0.0.1:80      │
│   Network  http://192.0.2.7:80      │
│                                     │
│ Ctrl-C stops it.                    │
╰─────────────────────────────────────╯
Stopping in 2.5 s: until then it serves as before. Ctrl-C again ends that wait.
Stopping.
Stopping: waiting for 1 response, 10 s at most. Ctrl-C again stops at once.
Stopping: waiting for 2 responses, 10 s at most. Ctrl-C again stops at once.
`,
  );
});

test('several sockets: all URLs are in the box', async (t) => {
  let text = '';
  createReporter('common', (more) => {
    text += more;
  }).started({ ...start, otherUrls: ['http://[::1]:80', 'unix:/run/site'] });
  t.match(
    text,
    /│ {3}Local {4}http:\/\/127\.0\.0\.1:80 +│\n│ {12}http:\/\/\[::1\]:80 +│\n│ {12}unix:\/run\/site +│\n│ {3}Network /,
  );
});

test('a hint stands in the box', async (t) => {
  let text = '';
  createReporter('common', (more) => {
    text += more;
  }).started({ ...start, hint: 'There is more.' });
  t.match(text, '│ There is more.                      │\n│ Ctrl-C stops it.                    │\n');
});

test('what is particular about a certificate is in the box', async (t) => {
  let text = '';
  const write = (more: string) => {
    text += more;
  };
  createReporter('common', write).started({ ...start, certificate: ['It is for this run alone.'] });
  t.match(text, /│ {3}Network {2}http:\/\/192\.0\.2\.7:80 {6}│\n│ +│\n│ It is for this run alone\. +│\n│ +│\n│ Ctrl-C/);
});

test('for a program: one object a line', async (t) => {
  const lines = saidBy('json').trimEnd().split('\n');
  t.match(
    lines.map((line) => JSON.parse(line)),
    [
      { time: /^\d{4}-.*Z$/, event: 'portTaken', taken: 80, instead: 81 },
      { event: 'started', serves: 'the directory site', url: start.url, networkUrls: start.networkUrls },
      { event: 'announced', noticeMs: 2_500 },
      { event: 'stopping', waitingFor: 0 },
      { event: 'stopping', waitingFor: 1 },
      { event: 'stopping', waitingFor: 2 },
    ],
  );
});

test('none says nothing', async (t) => {
  t.equal(saidBy('none'), '');
});

test('errors are never left out', async (t) => {
  let text = '';
  const write = (more: string) => {
    text += more;
  };
  for (const format of ['common', 'none'] as const) createReporter(format, write).failed('no file a\nb\u001b[1m');
  t.equal(text, 'simplenet: no file a\\nb\\u001b[1m\n'.repeat(2));
  text = '';
  const json = createReporter('json', write);
  json.failed('a\nb');
  json.onError?.(new Error('of a\nhandler'), { method: 'GET', path: '/a' } as HttpRequest, null);
  json.onError?.('of the listener', null, null);
  t.match(
    text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
    [
      { event: 'failed', message: 'a\nb' },
      { event: 'error', method: 'GET', path: '/a', error: /^Error: of a\nhandler\n {4}at / },
      { event: 'error', error: "'of the listener'" },
    ],
  );
});

test('no name breaks the frame: wide characters, marks, control characters', async (t) => {
  // Two columns, and none.
  t.equal(
    boxed(['日本', 'e\u0301', '👍', 'abcd']),
    '╭──────╮\n│ 日本 │\n│ e\u0301    │\n│ 👍   │\n│ abcd │\n╰──────╯\n',
  );
  t.equal(boxed(['a\nb']), '╭──────╮\n│ a\\nb │\n╰──────╯\n');
});
