/** Limits: their defaults, and what may take their place. */

import { test } from 'tap';
import { defaultLimits, defaultTimeouts, limitsFrom, multipartLimitsFrom, timeoutsFrom } from '../../http/limits.ts';

test('nothing given: the defaults, as a copy', async (t) => {
  t.same(limitsFrom(), defaultLimits);
  t.same(timeoutsFrom({}), defaultTimeouts);
  t.not(limitsFrom(), defaultLimits);
});

test('what is given takes its place, and nothing else changes', async (t) => {
  t.same(limitsFrom({ fieldCount: 5 }), { ...defaultLimits, fieldCount: 5 });
  t.same(timeoutsFrom({ idleMs: 0.5, headerMs: 1 }), { ...defaultTimeouts, idleMs: 0.5, headerMs: 1 });
  const given = { bodyBytes: undefined } as unknown as { bodyBytes: number };
  t.equal(limitsFrom(given).bodyBytes, defaultLimits.bodyBytes, 'undefined is not given');
  t.equal(defaultLimits.fieldCount, 100, 'the defaults stay what they are');
});

test('the limits of one multipart body: those of the server, and what is given', async (t) => {
  const server = limitsFrom({ partCount: 7 });
  const { partBytes, partNameBytes, partHeaderBytes } = defaultLimits;
  t.same(multipartLimitsFrom(server, {}), { partCount: 7, partBytes, partNameBytes, partHeaderBytes });
  t.equal(multipartLimitsFrom(server, { partBytes: Number.POSITIVE_INFINITY }).partBytes, Number.POSITIVE_INFINITY);
  t.throws(() => multipartLimitsFrom(server, { partCount: 1.5 }), RangeError);
  const other = { formBytes: 1 } as object;
  t.throws(() => multipartLimitsFrom(server, other), { name: 'RangeError', message: /unknown limit 'formBytes'/ });
});

test('no limit can be switched off by mistake', async (t) => {
  for (const value of [0, -1, Number.NaN, '5', null, true, 5n]) {
    t.throws(() => limitsFrom({ bodyBytes: value as number }), RangeError, String(value));
    t.throws(() => timeoutsFrom({ idleMs: value as number }), RangeError, String(value));
  }
});

test('a limit that does not exist is a typing error that would leave the default in place', async (t) => {
  for (const name of ['bodybytes', 'idleMs', 'toString', 'constructor']) {
    t.throws(() => limitsFrom({ [name]: 5 }), { name: 'RangeError', message: new RegExp(name) }, name);
  }
});

test('the error names what is nearest, or all', async (t) => {
  const wrong = (name: string) => ({ [name]: 5 });
  t.throws(() => limitsFrom(wrong('bodyByte')), new RangeError("unknown limit 'bodyByte': did you mean 'bodyBytes'?"));
  t.throws(() => timeoutsFrom(wrong('idle')), new RangeError("unknown timeout 'idle': did you mean 'idleMs'?"));
  t.throws(() => timeoutsFrom(wrong('zzzzzz')), {
    message: /^unknown timeout 'zzzzzz': use one of handshakeMs, headerMs, /,
  });
});

test('counts are whole numbers: half a field is not a limit', async (t) => {
  t.throws(() => limitsFrom({ fieldCount: 1.5 }), RangeError);
  t.throws(() => limitsFrom({ headBytes: 1.5 }), RangeError);
});

test('every limit is there, and is one', async (t) => {
  for (const [name, value] of [...Object.entries(defaultLimits), ...Object.entries(defaultTimeouts)]) {
    t.ok(value > 0, name);
    t.match(
      name,
      /(Bytes|Count|Fields|Depth|Connection|connections|PerAddress|InFlight|Queued|Turn|Ms|PerSecond)$/,
      'units last',
    );
  }
  t.ok(defaultTimeouts.headerMs <= 10_000, 'the header within 10 s');
  t.equal(defaultTimeouts.idleMs, 75_000, 'longer than the 60 s of most load balancers');
});

test('as many fields as a parser has room for, and one more', async (t) => {
  t.equal(limitsFrom({ fieldCount: 100_000 }).fieldCount, 100_000);
  t.throws(() => limitsFrom({ fieldCount: 100_001 }), new RangeError('fieldCount must be at most 100000, not 100001'));
  t.throws(() => limitsFrom({ fieldCount: Number.POSITIVE_INFINITY }), RangeError, 'each has its offsets in memory');
});
