/**
 * What a view of bytes really is, by the engine's own getters.
 *
 * A subclass or a property of the object may call itself longer than it is, and Object.setPrototypeOf lets a DataView, an ArrayBuffer
 * or an array of bytes pass for what it is not. Whoever believed that would send memory that is somebody else's. All of these
 * throw a TypeError for what is no typed array.
 *
 * Next: libc-functions.ts
 */

function getterOf<T>(name: string): (this: ArrayBufferView) => T {
  const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as object;
  return Object.getOwnPropertyDescriptor(typedArray, name)?.get as (this: ArrayBufferView) => T;
}

const byteLengthGetter = getterOf<number>('byteLength');
const byteOffsetGetter = getterOf<number>('byteOffset');
const bufferGetter = getterOf<ArrayBuffer>('buffer');

export function intrinsicByteLength(bytes: ArrayBufferView): number {
  return byteLengthGetter.call(bytes);
}

export function intrinsicByteOffset(bytes: ArrayBufferView): number {
  return byteOffsetGetter.call(bytes);
}

export function intrinsicBuffer(bytes: ArrayBufferView): ArrayBuffer {
  return bufferGetter.call(bytes);
}

/** The bytes from `start` to `end`, with nothing about them that a subclass could have changed. */
export function plainView(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return new Uint8Array(intrinsicBuffer(bytes), intrinsicByteOffset(bytes) + start, end - start);
}
