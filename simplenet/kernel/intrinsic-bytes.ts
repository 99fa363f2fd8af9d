/**
 * The true length, offset and buffer of a view of bytes, read with the engine's own getters.
 *
 * A subclass or an own property may report a length that is too large, and Object.setPrototypeOf makes a DataView or an ArrayBuffer
 * pass as a Uint8Array. A call that trusted such an object would send memory that does not belong to it. These functions throw a
 * TypeError for anything that is not a typed array.
 *
 * `preventTransfer` keeps memory in its thread while the kernel or another stream uses it.
 *
 * Next: last-view.ts
 */

import * as workerThreads from 'node:worker_threads';

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

/** The bytes from `start` to `end` as a plain Uint8Array, so that no method of a subclass is called on them. */
export function plainView(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return new Uint8Array(intrinsicBuffer(bytes), intrinsicByteOffset(bytes) + start, end - start);
}

/** Not in Node 20. */
const { isMarkedAsUntransferable: isUntransferable = () => false } = workerThreads as {
  readonly isMarkedAsUntransferable?: (memory: ArrayBufferLike) => boolean;
};

/**
 * From now on no program can transfer the memory with postMessage. Since Node 22 that of an add-on cannot be transferred anyway, and Node 24 and 26 abort at their end if it
 * was marked once more.
 */
export function preventTransfer(memory: ArrayBufferLike): void {
  if (!isUntransferable(memory)) workerThreads.markAsUntransferable(memory);
}
