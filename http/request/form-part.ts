/**
 * FormPart: one part of a multipart body, for the handler. It is read while it arrives: in pieces, or whole.
 *
 * A part can be read once, and before the next part is asked for. Bytes that are not read are skipped then.
 *
 * Next: multipart-reader.ts
 */

import type { PartHead } from '../content/multipart.ts';
import { decodeUtf8 } from '../content/utf8.ts';
import { markHandled, markNextHandled } from '../promises.ts';
import { HeaderList } from './header-list.ts';

/** The content of a part, and where it begins in the body. */
export interface PartContent {
  readonly bytes: Buffer;
  readonly offset: number;
}

/** What a part asks of the reader of its body. */
export interface PartSource {
  /** Returns the next piece of that part, or null at its end. */
  readPiece(part: FormPart): Promise<Buffer | null>;
  readWhole(part: FormPart): Promise<PartContent>;
}

/**
 * One part of a multipart body.
 *
 * ```ts
 * import { type FormPart, Router } from 'simplenet/http';
 *
 * async function sizeOf(part: FormPart): Promise<number> {
 *   let size = 0;
 *   for await (const piece of part) size += piece.length;
 *   return size;
 * }
 * new Router().post('/photos', async (request, response) => {
 *   for await (const part of request.multipart()) console.log(part.name, part.filename, await sizeOf(part));
 *   response.empty();
 * });
 * ```
 */
export class FormPart implements AsyncIterable<Buffer> {
  /** The name of the field. Several parts may have the same one. */
  readonly name: string;
  /** The name that the client gives the file, without folders: '' if the user chose none. Undefined for a field that is not a file. */
  readonly filename: string | undefined;
  /** Content-Type of the part, as the client sent it. */
  readonly contentType: string | undefined;
  readonly #fields: string;
  readonly #source: PartSource;
  #headers: HeaderList | null = null;
  #isTaken = false;

  /** `request.multipart()` makes one for each part. */
  constructor(head: PartHead, source: PartSource) {
    this.name = head.name;
    this.filename = head.filename ?? undefined;
    this.contentType = head.contentType ?? undefined;
    this.#fields = head.fields;
    this.#source = source;
  }

  /** All fields of the part. */
  get headers(): HeaderList {
    this.#headers ??= new HeaderList(this.#fields, 0);
    return this.#headers;
  }

  /** Reads the part whole. It counts in `bodyMemoryBytes` until the response is complete. */
  bytes(): Promise<Buffer> {
    return markHandled(this.#whole().then(({ bytes }) => bytes));
  }

  /** Reads the part whole, as UTF-8; 400 if it is not. */
  text(): Promise<string> {
    return markHandled(this.#whole().then(({ bytes, offset }) => decodeUtf8(bytes, 'a field of the form', offset)));
  }

  /** The pieces of the part, as they arrive. */
  [Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    return markNextHandled(this.#pieces());
  }

  async #whole(): Promise<PartContent> {
    this.#takeOnce();
    return this.#source.readWhole(this);
  }

  async *#pieces(): AsyncGenerator<Buffer, void, undefined> {
    this.#takeOnce();
    for (let piece = await this.#source.readPiece(this); piece !== null; piece = await this.#source.readPiece(this)) {
      yield piece;
    }
  }

  #takeOnce(): void {
    if (this.#isTaken) throw new Error('the part has been read already; it can be read once');
    this.#isTaken = true;
  }
}
