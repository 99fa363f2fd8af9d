/**
 * RequestState: values under typed keys. Each line marked as an error must be one.
 */

import { test } from 'tap';
import { RequestState, StateKey } from '../../../http/request/request-state.ts';

const NAME = new StateKey<string>('name');
const COUNT = new StateKey<number>('count');

test('values and their keys', async (t) => {
  const state = new RequestState();
  const none: string | undefined = state.get(NAME);
  t.equal(none, undefined);
  t.equal(state.set(NAME, 'Ada').set(COUNT, 0), state);
  const name: string = state.require(NAME);
  t.equal(name, 'Ada');
  t.equal(state.get(COUNT), 0);
  t.ok(state.has(COUNT));
  t.ok(state.delete(COUNT));
  t.notOk(state.has(COUNT));
  t.notOk(state.delete(COUNT));
});

test('two keys of one name are two keys', async (t) => {
  const state = new RequestState().set(NAME, 'Ada');
  t.equal(state.get(new StateKey<string>('name')), undefined);
});

test('a value that must be there, and is not', async (t) => {
  const state = new RequestState();
  t.throws(() => state.require(NAME), { message: "no 'name' in request.state: does its middleware cover this route?" });
  const nothing = new StateKey<undefined>('nothing');
  state.set(nothing, undefined);
  t.equal(state.require(nothing), undefined, 'undefined is a value');
});

test('the compiler knows the types', async (t) => {
  const state = new RequestState();
  // @ts-expect-error: the value is a string.
  state.set(NAME, 1);
  // @ts-expect-error: it may be missing.
  const name: string = state.get(NAME);
  // @ts-expect-error: keys of different types are different.
  const key: StateKey<string | number> = NAME;
  t.equal(key, NAME as unknown);
  t.equal(name, 1 as unknown);
});
