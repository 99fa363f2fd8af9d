/** DateField: IMF-fixdate, made once a second. */

import { test } from 'tap';
import { DateField } from '../../../http/response/date-field.ts';

const AT = Date.UTC(1994, 10, 6, 8, 49, 37);

/** The loop's clock counts from somewhere else than the wall clock, and no second begins on it with a second. */
const LOOP_AHEAD_MS = 123.5;

function clocks(wallMs: number) {
  const clock = { wallMs, asked: 0 };
  const date = new DateField(() => {
    clock.asked++;
    return clock.wallMs;
  });
  /** The line when that time has passed on both clocks. */
  const after = (ms: number) => {
    clock.wallMs = wallMs + ms;
    return date.line(LOOP_AHEAD_MS + ms);
  };
  return { clock, date, after };
}

test('the date of RFC 9110 section 5.6.7', async (t) => {
  t.equal(clocks(AT).after(0), 'Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n');
  t.equal(clocks(AT + 999).after(0), 'Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n', 'up to the end of its second');
  t.match(new DateField(Date.now).line(0), /^Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r\n$/);
});

test('it changes with the second of the wall clock, not before and not later', async (t) => {
  const { after } = clocks(AT + 400);
  t.match(after(0), '08:49:37');
  t.match(after(599), '08:49:37');
  t.match(after(600), '08:49:38');
  t.match(after(1_599), '08:49:38');
  t.match(after(60_600), '08:50:38', 'after a long silence');
});

test('a clock that was set back or forth is believed with the next second', async (t) => {
  const { clock, date } = clocks(AT);
  t.match(date.line(0), '08:49:37');
  clock.wallMs = AT - 3_600_000;
  t.match(date.line(1_000), '07:49:37');
  clock.wallMs = AT + 3_600_000;
  t.match(date.line(2_000), '09:49:37');
});

test('the wall clock is asked once a second', async (t) => {
  const { clock, after } = clocks(AT);
  for (let ms = 0; ms < 3_000; ms++) after(ms);
  t.equal(clock.asked, 3);
});
