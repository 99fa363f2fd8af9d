/**
 * Tests without a port: `inject` asks a router, a handler or a Fetch app, and needs no socket.
 *
 * The request passes through the parser and the answer through the response writer, so a test sees what a client would see. Run it with
 * `node --test`. In vitest, only the imports differ.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HttpError, inject, Router } from '../../http/index.ts';

/** In your project it stands in a file of its own, which does not call `serve`. */
const router = new Router();
router.post('/greetings', async (request, response) => {
  const { name } = (await request.json()) as { name?: unknown };
  if (typeof name !== 'string') throw new HttpError(422, 'name must be a text');
  response.status(201).json({ greeting: `Hello, ${name}!` });
});

test('a greeting', async () => {
  const answer = await inject(router, { method: 'POST', url: '/greetings', body: { name: 'Ada' } });
  assert.equal(answer.status, 201);
  assert.deepEqual(answer.json(), { greeting: 'Hello, Ada!' });
});

test('a name that is none', async () => {
  const answer = await inject(router, { url: '/greetings', body: { name: 7 } });
  assert.equal(answer.status, 422);
  assert.equal(answer.text(), 'name must be a text\n');
});

test('a body that is no JSON', async () => {
  const answer = await inject(router, { url: '/greetings', body: '{"name":' });
  assert.equal(answer.status, 400);
});

test('a method that this path does not have', async () => {
  const answer = await inject(router, '/greetings');
  assert.equal(answer.status, 405);
  assert.equal(answer.headers.get('allow'), 'OPTIONS, POST');
});
