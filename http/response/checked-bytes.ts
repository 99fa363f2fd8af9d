/**
 * Checked bytes: a value that a handler gives as bytes really is a Uint8Array, and its length is the real one.
 *
 * TypeScript accepts a DataView, an ArrayBuffer or a Float64Array where a Uint8Array is expected, and JavaScript accepts any value. Each
 * of these has a `byteLength`, which would become the Content-Length, but other elements, so the response could contain memory of
 * other requests. A subclass or a property can also return a wrong length. So the getters of the engine are called here: no object can
 * override them. They also work for arrays of another realm, for which `instanceof` is false.
 *
 * Next: response-fields.ts
 */

const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as object;

function getterOf<T>(name: string | symbol): (this: unknown) => T {
  return Object.getOwnPropertyDescriptor(typedArray, name)?.get as (this: unknown) => T;
}

const kindGetter = getterOf<string | undefined>(Symbol.toStringTag);
const bufferGetter = getterOf<ArrayBuffer>('buffer');
const byteOffsetGetter = getterOf<number>('byteOffset');
const byteLengthGetter = getterOf<number>('byteLength');

/** Returns a new view of the same bytes, without the changes of any subclass. Throws a TypeError for any other value. */
export function checkedBytes(value: unknown, caller: string): Uint8Array {
  const kind = kindGetter.call(value);
  if (kind !== 'Uint8Array') {
    throw new TypeError(`${caller} takes bytes as a Buffer or another Uint8Array, not as ${kind ?? typeof value}`);
  }
  return new Uint8Array(bufferGetter.call(value), byteOffsetGetter.call(value), byteLengthGetter.call(value));
}
