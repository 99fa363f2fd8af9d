/**
 * Handle: a pointer of OpenSSL with one owner. Outside of this room nobody sees the address in it.
 *
 * C crashes, or worse does not crash, on a pointer that was freed or that points to something else. So a function of openssl.ts takes
 * handles: the kind of each is checked, and a freed one throws an Error. Whoever got a handle frees it, once; freeing it again throws as well.
 * Where OpenSSL counts references (an SSL holds its SSL_CTX), freeing a handle gives up ours.
 *
 * What was created and what was freed is counted by kind, so a test can compare the two.
 *
 * A worker thread can end without running any more JavaScript. Its handles are then freed by the function that frees their kind, which Node's
 * own C code calls (this-thread.ts).
 *
 * Next: openssl-errors.ts
 */

import { callWithThreadEnd, forgetThreadEnd, prepareThreadEnd } from '../kernel/this-thread.ts';

/** The types of OpenSSL that have an owner here, and the C function that frees each. */
const FREED_BY = {
  SSL_CTX: 'SSL_CTX_free',
  SSL: 'SSL_free',
  BIO: 'BIO_free',
  PAIRED_BIO: 'BIO_free',
  X509: 'X509_free',
  EVP_PKEY: 'EVP_PKEY_free',
} as const;

export type HandleKind = keyof typeof FREED_BY;

interface Count {
  created: number;
  freed: number;
}

const counts = new Map<HandleKind, Count>();

export class Handle<Kind extends HandleKind> {
  readonly #kind: Kind;
  readonly #address: number;
  #isFreed = false;

  private constructor(kind: Kind, address: number) {
    this.#kind = kind;
    this.#address = address;
  }

  /** Takes ownership of what a C function has returned. */
  static own<Kind extends HandleKind>(kind: Kind, address: number): Handle<Kind> {
    countOf(kind).created++;
    callWithThreadEnd(FREED_BY[kind], address);
    return new Handle(kind, address);
  }

  /** The address, for a call. Throws TypeError for another kind or another object, and Error for a freed handle. */
  static addressOf(handle: Handle<HandleKind>, kind: HandleKind): number {
    if (typeof handle !== 'object' || handle === null || !(#address in handle) || handle.#kind !== kind) {
      throw new TypeError(`this function of OpenSSL takes a handle of ${kind}`);
    }
    if (handle.#isFreed) throw new Error(`this handle of ${kind} has been freed`);
    return handle.#address;
  }

  /** The address, for the function that frees it. From now on the handle is freed. */
  static giveUp(handle: Handle<HandleKind>, kind: HandleKind): number {
    const address = Handle.addressOf(handle, kind);
    handle.#isFreed = true;
    countOf(kind).freed++;
    forgetThreadEnd(FREED_BY[kind], address);
    return address;
  }

  /** What a trace prints. A freed handle shows the address that it had. */
  static label(handle: Handle<HandleKind>): string {
    return `0x${handle.#address.toString(16)}`;
  }
}

/** Two BIOs, and the memory between them. No function frees them before the thread ends, because JavaScript sees that memory. */
export interface BioPair {
  readonly near: Handle<'PAIRED_BIO'>;
  readonly far: Handle<'PAIRED_BIO'>;
  readonly memory: Uint8Array;
}

/** Call it before the first handle is made. */
export function prepareHandles(): void {
  prepareThreadEnd(Object.values(FREED_BY));
}

function countOf(kind: HandleKind): Count {
  let count = counts.get(kind);
  if (count === undefined) {
    count = { created: 0, freed: 0 };
    counts.set(kind, count);
  }
  return count;
}

/** How many handles of each kind this thread has created and not freed. */
export function openHandles(): Readonly<Record<HandleKind, number>> {
  const open = (kind: HandleKind) => countOf(kind).created - countOf(kind).freed;
  return {
    SSL_CTX: open('SSL_CTX'),
    SSL: open('SSL'),
    BIO: open('BIO'),
    PAIRED_BIO: open('PAIRED_BIO'),
    X509: open('X509'),
    EVP_PKEY: open('EVP_PKEY'),
  };
}

/** How many handles of a kind this thread has ever created. */
export function createdHandles(kind: HandleKind): number {
  return countOf(kind).created;
}
