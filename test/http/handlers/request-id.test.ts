/** requestId: where an id comes from, and which ones are not taken. */

import { test } from 'tap';
import { inject, REQUEST_ID, type RequestIdOptions, Router, requestId } from '../../../http/index.ts';

async function ask(options: RequestIdOptions | undefined, given?: string) {
  const site = new Router()
    .use(requestId(options))
    .get('/', ({ state }, response) => response.text(state.require(REQUEST_ID)));
  const name = options?.header ?? 'X-Request-Id';
  const answer = await inject(site, { url: '/', headers: given === undefined ? {} : { [name]: given } });
  return { id: answer.text(), field: answer.headers.get(name), status: answer.status };
}

const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;

test('an id is made, for the handler and for the client', async (t) => {
  const { id, field } = await ask(undefined, 'chosen-by-the-client');
  t.match(id, UUID);
  t.equal(field, id);
  t.not((await ask({})).id, id);
  t.same(await ask({ header: 'X-Trace', generate: () => '7' }), { id: '7', field: '7', status: 200 });
});

test('a trusted id is taken, of 128 characters and not of one more', async (t) => {
  const longest = 'x'.repeat(128);
  for (const good of ['a', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'a+b/c=', 'a:b@c', longest]) {
    t.equal((await ask({ trust: true }, good)).id, good);
  }
  for (const bad of [`${longest}x`, 'a b', 'a"b', '<b>', 'a,b', 'a;b', '$(x)', '%0a', 'ä', '']) {
    t.match((await ask({ trust: true }, bad)).id, UUID, bad);
  }
  t.match((await ask({ trust: true })).id, UUID);
});

test('the program decides whom to trust', async (t) => {
  t.equal((await ask({ trust: ({ remoteAddress }) => remoteAddress === '127.0.0.1' }, 'a')).id, 'a');
  t.match((await ask({ trust: () => false }, 'a')).id, UUID);
  const promise = (async () => false) as unknown as () => boolean;
  t.match((await ask({ trust: promise }, 'a')).id, UUID, 'a promise is not true');
});

test('error answers have the id', async (t) => {
  const answer = await inject(new Router().use(requestId()), '/none');
  t.same([answer.status, UUID.test(answer.headers.get('x-request-id') as string)], [404, true]);
});

test('mistakes throw', async (t) => {
  t.throws(() => requestId({ header: 'a b' }), /not a header name/);
  t.throws(() => requestId({ header: 7 } as object), /not a header name/);
  t.throws(() => requestId({ trusted: true } as object), /did you mean 'trust'/);
  for (const id of ['a\nb', 7]) {
    const site = new Router().use(requestId({ generate: () => id as string }));
    let reported: unknown;
    const onError = (error: unknown) => {
      reported = error;
    };
    t.equal((await inject(site, { url: '/', onError })).status, 500);
    t.match(reported, /is not an id/);
  }
});
