/** The table of the draft, section "Exchange states", cell by cell. */

import { test } from 'tap';
import {
  type ExchangeOperation,
  type ExchangeState,
  invalidState,
  isResponseCapable,
  notSupported,
  step,
} from '../../../http/handlers/exchange-state.ts';

const states: readonly ExchangeState[] = ['open', 'informational', 'committed', 'denied', 'aborted'];

/** For each state: the state after it, '-' if the call does nothing, '!' if it throws. */
const table: Readonly<Record<ExchangeOperation, string>> = {
  sendInformational: 'informational informational ! ! -',
  deny: 'denied ! ! ! -',
  'fall through': 'open ! ! ! -',
  accept: 'committed committed ! ! -',
  respond: 'committed committed ! ! -',
};

test('each operation in each state', async (t) => {
  for (const [operation, cells] of Object.entries(table) as [ExchangeOperation, string][]) {
    for (const [i, cell] of cells.split(' ').entries()) {
      const state = states[i] as ExchangeState;
      const what = `${operation} when ${state}`;
      if (cell === '!') t.throws(() => step(state, operation), { name: 'InvalidStateError' }, what);
      else t.equal(step(state, operation), cell === '-' ? null : cell, what);
    }
  }
});

test('when a response can still be chosen', async (t) => {
  t.same(states.filter(isResponseCapable), ['open', 'informational']);
});

test('both errors are DOMExceptions', async (t) => {
  for (const error of [invalidState('x'), notSupported('x')]) t.ok(error instanceof DOMException);
  t.equal(notSupported('x').name, 'NotSupportedError');
});
