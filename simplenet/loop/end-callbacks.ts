/**
 * EndCallbacks: what `whenClosed` of a stream was given. Hardly any stream has it, so it is not a field of every stream.
 *
 * Next: loop-stream.ts
 */

const callbacks = new WeakMap<object, () => void>();

/** Calls back when the end of the stream is announced, after those that were added before. */
export function addEndCallback(stream: object, callback: () => void): void {
  const earlier = callbacks.get(stream);
  callbacks.set(stream, () => {
    earlier?.();
    callback();
  });
}

export function callEndCallbacks(stream: object): void {
  callbacks.get(stream)?.();
}
