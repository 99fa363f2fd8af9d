/**
 * EventStream: the syntax of text/event-stream (HTML, section 9.2.5), as a server writes it.
 *
 *     encodeEvent({ event: 'price', data: 'one\ntwo', id: '7' })     returns 'event: price\nid: 7\ndata: one\ndata: two\n\n'
 *
 * A line end in a name or an id would begin a field, and two would begin an event, so one that comes from a user could forge events. Such a value throws. Data may
 * have line ends: each line becomes a field of its own. CR, LF and CRLF are all line ends for the client, which gets LF for each.
 *
 * Next: set-cookie.ts
 */

/**
 * One event for `new EventSource()` of a browser.
 *
 * ```ts
 * import { Router, type ServerEvent } from 'simplenet/http';
 *
 * const price: ServerEvent = { event: 'price', data: JSON.stringify({ of: 'tea', is: 3 }), id: '17' };
 * new Router().get('/prices', (_request, response) => {
 *   response.events().send(price);
 * });
 * ```
 */
export interface ServerEvent {
  /** The name that the page listens for; without one it is `message`. */
  readonly event?: string;
  /** Any text. */
  readonly data: string;
  /** What the browser sends as Last-Event-ID when it connects again. The empty string makes it forget the last one. */
  readonly id?: string;
  /** How long the browser waits before it connects again, in milliseconds. */
  readonly retry?: number;
}

const LINE_END = /\r\n|[\r\n]/;

/** A client ignores an id with a NUL. */
const NOT_IN_ID = /[\r\n\0]/;

/** Throws a TypeError or a RangeError for an event that cannot be sent. */
export function encodeEvent({ event, data, id, retry }: ServerEvent): string {
  let text = '';
  if (event !== undefined) text += `event: ${line('event', event, LINE_END)}\n`;
  if (id !== undefined) text += `id: ${line('id', id, NOT_IN_ID)}\n`;
  if (retry !== undefined) text += `retry: ${retryOf(retry)}\n`;
  // Most data is one line, and a search for one character is faster than a split.
  if (!textOf('data', data).includes('\n') && !data.includes('\r')) return `${text}data: ${data}\n\n`;
  for (const each of data.split(LINE_END)) text += `data: ${each}\n`;
  return `${text}\n`;
}

/** A comment, which no page sees. Each line of the text becomes one. */
export function encodeComment(text: string): string {
  return `${textOf('comment', text)
    .split(LINE_END)
    .map((each) => `: ${each}\n`)
    .join('')}\n`;
}

function line(name: string, value: string, forbidden: RegExp): string {
  if (!forbidden.test(textOf(name, value))) return value;
  throw new TypeError(`the ${name} of an event must not have a line end${name === 'id' ? ' or a NUL' : ''}`);
}

function textOf(name: string, value: unknown): string {
  if (typeof value === 'string') return value;
  throw new TypeError(`the ${name} of an event must be a string, not ${value === null ? 'null' : typeof value}`);
}

function retryOf(retry: number): number {
  if (Number.isSafeInteger(retry) && retry >= 0) return retry;
  throw new RangeError(`the retry of an event must be a whole number of milliseconds, not ${String(retry)}`);
}
