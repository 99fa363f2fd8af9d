/** Status codes. */

import { STATUS_CODES } from 'node:http';
import { test } from 'tap';
import { hasNoBody, isFinalStatus, reasonOf } from '../../http/status.ts';

/** node:http still has the names of older RFCs for some. */
const RENAMED: Readonly<Record<number, string>> = {
  413: 'Content Too Large',
  418: "I'm a Teapot",
  422: 'Unprocessable Content',
  509: '',
};

test('reasons are those that node:http knows, but for what RFC 9110 renamed', async (t) => {
  for (let status = 100; status < 600; status++) {
    t.equal(reasonOf(status), RENAMED[status] ?? STATUS_CODES[status] ?? '', String(status));
  }
  t.equal(reasonOf(299), '', 'none for a code that has none');
});

test('final statuses go from 200 to 599', async (t) => {
  for (const status of [200, 204, 304, 404, 599]) t.ok(isFinalStatus(status), String(status));
  for (const status of [0, 100, 101, 199, 600, 200.5, -200, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.notOk(isFinalStatus(status), String(status));
  }
});

test('1xx, 204 and 304 have no body', async (t) => {
  for (let status = 100; status < 600; status++) {
    t.equal(hasNoBody(status), status < 200 || status === 204 || status === 304, String(status));
  }
});
