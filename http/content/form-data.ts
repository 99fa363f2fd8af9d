/**
 * FormData of a multipart body that has arrived whole.
 *
 * A part with a file name becomes a File, every other part a string, as in the browser that has sent it. FormData is a list, so a field
 * named `__proto__` is a field like any other.
 *
 * Next: cookies.ts
 */

import type { MultipartLimits } from '../limits.ts';
import { MultipartParser, type PartHead } from './multipart.ts';
import { decodeUtf8 } from './utf8.ts';

/** RFC 7578 section 4.4. */
const DEFAULT_TYPE = 'text/plain';

/** Throws HttpError for a body that is malformed or exceeds a limit. */
export function formDataOf(body: Buffer, boundary: string, limits: MultipartLimits): FormData {
  const form = new FormData();
  const parser = new MultipartParser(boundary, limits);
  parser.feed(body);
  let head: PartHead | null = null;
  let content: Buffer = Buffer.alloc(0);
  let offset = 0;
  for (let event = parser.next(); event !== null; event = parser.next()) {
    if (event.kind === 'part') {
      head = event.head;
      content = Buffer.alloc(0);
    } else if (event.kind === 'data') {
      content = event.bytes; // the whole content: nothing is fed later
      offset = event.offset;
    } else {
      appendPart(form, head as PartHead, content, offset);
    }
  }
  parser.finish();
  return form;
}

function appendPart(form: FormData, head: PartHead, content: Buffer, offset: number): void {
  if (head.filename === null) form.append(head.name, decodeUtf8(content, 'a field of the form', offset));
  else form.append(head.name, new File([content], head.filename, { type: head.contentType ?? DEFAULT_TYPE }));
}
