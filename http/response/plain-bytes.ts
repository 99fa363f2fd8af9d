/**
 * Plain bytes: what a handler may give as bytes, and how many it really is.
 *
 * TypeScript takes a DataView, an ArrayBuffer or a Float64Array for a Uint8Array, and JavaScript takes anything. Each of them has a
 * `byteLength`, which the head of the answer would promise, and something else in its elements: the client would get memory that is
 * somebody else's. A subclass or a property of the object may lie about the length. So the engine itself is asked, by getters that
 * nobody can override: they also know the arrays of another realm, which `instanceof` does not.
 *
 * Next: response-writer.ts
 */

const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as object;

function getterOf<T>(name: string | symbol): (this: unknown) => T {
  return Object.getOwnPropertyDescriptor(typedArray, name)?.get as (this: unknown) => T;
}

const kindGetter = getterOf<string | undefined>(Symbol.toStringTag);
const bufferGetter = getterOf<ArrayBuffer>('buffer');
const byteOffsetGetter = getterOf<number>('byteOffset');
const byteLengthGetter = getterOf<number>('byteLength');

/** A view of the same bytes, with nothing about it that a subclass could have changed. Throws a TypeError for what is no Uint8Array. */
export function plainBytes(value: unknown, caller: string): Uint8Array {
  if (kindGetter.call(value) !== 'Uint8Array') {
    throw new TypeError(`${caller} takes bytes as a Buffer or another Uint8Array`);
  }
  return new Uint8Array(bufferGetter.call(value), byteOffsetGetter.call(value), byteLengthGetter.call(value));
}
