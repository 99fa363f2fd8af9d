/** DateField: IMF-fixdate, made once a second. */

import { test } from 'tap';
import { DateField } from '../../http/date-field.ts';

const AT = Date.UTC(1994, 10, 6, 8, 49, 37);

test('the date of RFC 9110 section 5.6.7', async (t) => {
  t.equal(new DateField().line(AT), 'Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n');
  t.equal(new DateField().line(AT + 999), 'Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n', 'up to the end of its second');
  t.match(new DateField().line(Date.now()), /^Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r\n$/);
});

test('it changes with the second, not before and not later', async (t) => {
  const date = new DateField();
  t.match(date.line(AT), '08:49:37');
  t.match(date.line(AT + 999), '08:49:37');
  t.match(date.line(AT + 1_000), '08:49:38');
  t.match(date.line(AT), '08:49:37', 'a clock that was set back is believed');
});

test('it is made once a second', async (t) => {
  const { toUTCString } = Date.prototype;
  let made = 0;
  Date.prototype.toUTCString = function (this: Date) {
    made++;
    return toUTCString.call(this);
  };
  t.teardown(() => {
    Date.prototype.toUTCString = toUTCString;
  });
  const date = new DateField();
  for (let ms = 0; ms < 3_000; ms++) date.line(AT + ms);
  t.equal(made, 3);
});
