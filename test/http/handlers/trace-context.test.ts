/** traceContext: which traces go on, by the examples of the W3C standard and by everything that is wrong with a field. */

import { test } from 'tap';
import { formatTraceParent, parseTraceParent } from '../../../http/content/trace-parent.ts';
import { inject, Router, TRACE, type Trace, type TraceContextOptions, traceContext } from '../../../http/index.ts';

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT_ID = '00f067aa0ba902b7';
const field = `00-${TRACE_ID}-${PARENT_ID}-01`;

async function ask(headers: Record<string, string> = {}, options?: TraceContextOptions): Promise<Trace> {
  const site = new Router()
    .use(traceContext(options))
    .get('/', ({ state }, response) => response.json(state.require(TRACE)));
  return (await inject(site, { url: '/', headers })).json() as Promise<Trace>;
}

test('a trace goes on: the same trace, a step of its own, and the word of its beginner', async (t) => {
  const trace = await ask({ traceparent: field, tracestate: 'congo=t61rcWkgMzE' });
  t.match(trace, { traceId: TRACE_ID, parentId: PARENT_ID, isSampled: true });
  t.match(trace.spanId, /^[\da-f]{16}$/);
  t.not(trace.spanId, PARENT_ID);
  t.same(trace.fields, { traceparent: `00-${TRACE_ID}-${trace.spanId}-01`, tracestate: 'congo=t61rcWkgMzE' });
});

test('without one, or from someone who is not trusted, a trace begins', async (t) => {
  for (const trace of [
    await ask(),
    await ask({ tracestate: 'congo=1' }),
    await ask({ traceparent: field, tracestate: 'congo=1' }, { trust: false }),
    await ask({ traceparent: field }, { trust: ({ remoteAddress }) => remoteAddress === '192.0.2.1' }),
  ]) {
    t.match(trace, { traceId: /^[\da-f]{32}$/, parentId: null, isSampled: false });
    t.not(trace.traceId, TRACE_ID);
    t.same(trace.fields, { traceparent: `00-${trace.traceId}-${trace.spanId}-00` });
  }
  t.match(await ask({}, { isSampled: ({ path }) => path === '/' }), { isSampled: true });
});

test('a tracestate of 512 characters goes on, one more does not', async (t) => {
  const state = `a=${'x'.repeat(510)}`;
  t.equal((await ask({ traceparent: field, tracestate: state })).fields.tracestate, state);
  t.equal((await ask({ traceparent: field, tracestate: `${state}x` })).fields.tracestate, undefined);
});

test('what counts as a traceparent', async (t) => {
  t.same(parseTraceParent(field), { traceId: TRACE_ID, parentId: PARENT_ID, isSampled: true });
  t.equal(parseTraceParent(field.replace(/01$/, 'fe'))?.isSampled, false, 'other flags say nothing');
  t.equal(parseTraceParent(`cc${field.slice(2)}-what-the-future-will-be-like`)?.traceId, TRACE_ID, 'a later version');
  for (const wrong of [
    null,
    '',
    `${field}-`,
    `${field}x`,
    `cc${field.slice(2)}.what`,
    `ff${field.slice(2)}`,
    field.toUpperCase(),
    field.replace(TRACE_ID, '0'.repeat(32)),
    field.replace(PARENT_ID, '0'.repeat(16)),
    field.slice(1),
    ` ${field}`,
    `${field}, ${field}`,
  ]) {
    t.equal(parseTraceParent(wrong), null, String(wrong));
  }
  t.equal(formatTraceParent({ traceId: TRACE_ID, parentId: PARENT_ID, isSampled: true }), field);
});

test('mistakes in the options', async (t) => {
  t.throws(() => traceContext({ trusted: true } as TraceContextOptions), RangeError);
  t.throws(() => traceContext({ isSampled: true } as unknown as TraceContextOptions), TypeError);
});
