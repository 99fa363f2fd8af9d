/** The three forms of a date, the century of two digits, and what is not a date. */

import { test } from 'tap';
import { formatHttpDate, parseHttpDate } from '../../../http/content/http-date.ts';
import { Random } from '../../simulation/random.ts';

const NOW = Date.UTC(2026, 10, 29, 12);
const EXAMPLE = Date.UTC(1994, 10, 6, 8, 49, 37);

const dates: readonly (readonly [text: string, ms: number | null])[] = [
  ['Sun, 06 Nov 1994 08:49:37 GMT', EXAMPLE],
  ['Sunday, 06-Nov-94 08:49:37 GMT', EXAMPLE],
  ['Sun Nov  6 08:49:37 1994', EXAMPLE],
  ['Wed Nov 16 08:49:37 1994', Date.UTC(1994, 10, 16, 8, 49, 37)],
  // 50 years ahead is in the future; a second later is in the past.
  ['Sunday, 29-Nov-76 12:00:00 GMT', Date.UTC(2076, 10, 29, 12)],
  ['Sunday, 29-Nov-76 12:00:01 GMT', Date.UTC(1976, 10, 29, 12, 0, 1)],
  ['Monday, 01-Jan-77 00:00:00 GMT', Date.UTC(1977, 0, 1)],
  ['Monday, 01-Jan-00 00:00:00 GMT', Date.UTC(2000, 0, 1)],
  ['Tuesday, 29-Feb-00 00:00:00 GMT', Date.UTC(2000, 1, 29)],
  ['Tuesday, 29-Feb-01 00:00:00 GMT', null],
  ['Sat, 31 Dec 2016 23:59:60 GMT', Date.UTC(2017, 0, 1)],
  ['Thu, 01 Jan 0050 00:00:00 GMT', new Date(0).setUTCFullYear(50, 0, 1)],
  ['Sun, 06 Nov 1994 08:49:61 GMT', null],
  ['Sun, 06 Nov 1994 08:60:37 GMT', null],
  ['Sun, 06 Nov 1994 24:00:00 GMT', null],
  ['Thu, 30 Feb 2023 00:00:00 GMT', null],
  ['Thu, 00 Mar 2023 00:00:00 GMT', null],
  ['Sun, 6 Nov 1994 08:49:37 GMT', null],
  ['Sun, 06 nov 1994 08:49:37 GMT', null],
  ['Sun, 06 Nov 1994 08:49:37 +0000', null],
  ['Sun, 06 Nov 1994 08:49:37 GMT ', null],
  ['Sun Nov 6 08:49:37 1994', null],
  ['Sunday, 06-Nov-1994 08:49:37 GMT', null],
  ['1994-11-06T08:49:37Z', null],
  ['0', null],
  ['', null],
];

for (const [text, ms] of dates) {
  test(`'${text}'`, async (t) => t.equal(parseHttpDate(text, NOW), ms));
}

test('the last year before a new century counts two digits in both directions', async (t) => {
  const now = Date.UTC(2099, 6, 1);
  t.equal(parseHttpDate('Friday, 01-Jan-49 00:00:00 GMT', now), Date.UTC(2149, 0, 1));
  t.equal(parseHttpDate('Friday, 01-Jan-50 00:00:00 GMT', now), Date.UTC(2050, 0, 1));
});

test('what is written is read again, in each form; Date.parse agrees', async (t) => {
  const random = new Random(17);
  const wrong: string[] = [];
  const longDay = new Intl.DateTimeFormat('en', { weekday: 'long', timeZone: 'UTC' });
  for (let i = 0; i < 10_000; i++) {
    const ms = (random.below(2 ** 31) - 2 ** 29) * 1_000;
    const date = new Date(ms);
    const text = formatHttpDate(ms);
    const [day, dayOfMonth = '', month, year = '', time] = text.replace(',', '').split(' ');
    const asctime = `${day} ${month} ${String(date.getUTCDate()).padStart(2)} ${time} ${year}`;
    if (parseHttpDate(text, NOW) !== ms || Date.parse(text) !== ms) wrong.push(text);
    if (parseHttpDate(asctime, NOW) !== ms || Date.parse(`${asctime} GMT`) !== ms) wrong.push(asctime);
    if (date.getUTCFullYear() < 1977 || date.getUTCFullYear() > 2075) continue;
    const rfc850 = `${longDay.format(date)}, ${dayOfMonth}-${month}-${year.slice(2)} ${time} GMT`;
    if (parseHttpDate(rfc850, NOW) !== ms) wrong.push(rfc850);
  }
  t.same(wrong, []);
});
