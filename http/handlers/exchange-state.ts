/**
 * ExchangeState: which call of a context is allowed when, as the draft says it (section "Exchange states").
 *
 *               sendInformational, an automatic 100 Continue
 *     open ----------------------------------> informational
 *      | |                                        |
 *      | +-----> accept, a Response <-------------+
 *      |                 |
 *    deny                v
 *      |             committed
 *      v
 *    denied                                   aborted: the client has gone, from every state but denied
 *
 * A call that the program could have known to be wrong throws InvalidStateError. After `aborted` calls do nothing, because the client can
 * leave at any moment: a program that asks first would still be too late.
 *
 * Next: protocol-error.ts
 */

export type ExchangeState = 'open' | 'informational' | 'committed' | 'denied' | 'aborted';

export type ExchangeOperation = 'sendInformational' | 'deny' | 'fall through' | 'accept' | 'respond';

const THROWS = 'throws';
const DISCARDED = 'discarded';

type Effect = ExchangeState | typeof THROWS | typeof DISCARDED;

const effects: Readonly<Record<ExchangeOperation, Readonly<Record<ExchangeState, Effect>>>> = {
  sendInformational: {
    open: 'informational',
    informational: 'informational',
    committed: THROWS,
    denied: THROWS,
    aborted: DISCARDED,
  },
  deny: { open: 'denied', informational: THROWS, committed: THROWS, denied: THROWS, aborted: DISCARDED },
  'fall through': { open: 'open', informational: THROWS, committed: THROWS, denied: THROWS, aborted: DISCARDED },
  accept: { open: 'committed', informational: 'committed', committed: THROWS, denied: THROWS, aborted: DISCARDED },
  respond: { open: 'committed', informational: 'committed', committed: THROWS, denied: THROWS, aborted: DISCARDED },
};

/** Returns the state after the operation, and null if it does nothing because the client has gone. Throws if it is not allowed. */
export function step(state: ExchangeState, operation: ExchangeOperation): ExchangeState | null {
  const effect = effects[operation][state];
  if (effect === THROWS) throw invalidState(`cannot ${operation}: the exchange is ${state}`);
  return effect === DISCARDED ? null : effect;
}

/** A response can still be chosen. */
export function isResponseCapable(state: ExchangeState): boolean {
  return state === 'open' || state === 'informational';
}

export function invalidState(message: string): DOMException {
  return new DOMException(message, 'InvalidStateError');
}

export function notSupported(message: string): DOMException {
  return new DOMException(message, 'NotSupportedError');
}
