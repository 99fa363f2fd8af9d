/**
 * PreparedHead: the half of a response that comes before its first byte: status, fields, trailers and the callbacks of middleware.
 *
 * Each value is checked when it is given, so that the error points to the line that gave it. A call that comes too late throws: the client
 * has the head already. FramedResponse is the other half, which sends.
 *
 * Next: framed-response.ts
 */

import { type CookieOptions, setCookie } from '../content/set-cookie.ts';
import { isFieldValue, tokensOf } from '../grammar.ts';
import { isFinalStatus } from '../status.ts';
import {
  appendField,
  checkField,
  entriesOf,
  type FieldLine,
  type FieldValue,
  fieldOf,
  removeField,
  setCookieField,
  setField,
  textsOf,
  withoutContent,
} from './response-fields.ts';
import { type BeforeHead, ResponseHooks, type TransformFactory } from './response-hooks.ts';

const DEFAULT_STATUS = 200;

/** The server writes them, or they have a meaning of their own, so `append` leaves them to `header`. */
const framing = new Set(['connection', 'content-length', 'keep-alive', 'transfer-encoding']);

/** RFC 9110 section 6.5.1: a field that frames or routes a message must come before its body. */
const notTrailers = new Set(['transfer-encoding', 'content-length', 'host', 'trailer', 'connection']);

/** What a handler may prepare before it sends. See ResponseWriter. */
export abstract class PreparedHead {
  declare protected code: number;
  declare protected isStatusChosen: boolean;
  declare protected fields: FieldLine[] | null;
  declare protected hooks: ResponseHooks | null;
  /** The Content-Length that the handler has set, or -1. */
  declare protected declaredLength: number;
  declare protected closes: boolean;
  declare protected begun: boolean;
  declare protected ended: boolean;

  /** The fields are assigned and not defined: in a base class, definitions cost every response 15 ns more. */
  constructor() {
    this.code = DEFAULT_STATUS;
    this.isStatusChosen = false;
    this.fields = null;
    this.hooks = null;
    this.declaredLength = -1;
    this.closes = false;
    this.begun = false;
    this.ended = false;
  }

  /** The head has been written: status and headers cannot change any more. */
  get hasBegun(): boolean {
    return this.begun;
  }

  /** The same as `hasBegun`, by the name that other servers have for it. */
  get headersSent(): boolean {
    return this.begun;
  }

  /** The handler has given all of the response. */
  get hasEnded(): boolean {
    return this.ended;
  }

  /** The connection closes after this response. */
  get isClosing(): boolean {
    return this.closes;
  }

  get statusCode(): number {
    return this.code;
  }

  /** Sets the status, from 200 to 599, and a reason phrase in place of the usual one. Clients ignore the phrase. */
  status(code: number, reason?: string): this {
    this.mustBePreparing('status');
    if (!isFinalStatus(code)) throw new RangeError(`a status must be an integer from 200 to 599, not ${String(code)}`);
    if (reason !== undefined && (typeof reason !== 'string' || !isFieldValue(reason))) {
      throw new TypeError('the reason phrase has a character that a status line must not contain');
    }
    this.code = code;
    this.isStatusChosen = true;
    if (reason !== undefined) this.hooked.reason = reason;
    else if (this.hooks !== null) this.hooks.reason = null;
    return this;
  }

  /**
   * Sets a field, and replaces an earlier one of that name; an array gives one line for each value. Set-Cookie is added instead, because a
   * response may have several.
   */
  header(name: string, value: FieldValue): this {
    this.mustBePreparing('header');
    const texts = typeof value === 'string' ? null : textsOf(name, value);
    const text = texts === null ? (value as string) : texts.join(', ');
    const lower = checkField(name, text);
    if (lower === 'transfer-encoding') throw new Error('Transfer-Encoding is set by the server: use write() to stream');
    if (lower === 'connection' && tokensOf(text).includes('close')) this.closes = true;
    if (lower === 'connection' || lower === 'keep-alive') return this; // the server writes these fields
    if (lower === 'content-length') this.#declareLength(text);
    else if (texts !== null && typeof value === 'object') this.#setLines(name, lower, texts);
    else {
      this.fields ??= [];
      setField(this.fields, lower, `${name}: ${text}\r\n`);
    }
    return this;
  }

  /** Adds a member to a field that is a list, such as Vary or Link. Vary gets no name twice. Set-Cookie gets a line of its own. */
  append(name: string, value: string | number): this {
    this.mustBePreparing('append');
    const text = textsOf(name, value).join(', ');
    const lower = checkField(name, text);
    if (framing.has(lower)) return this.header(name, value);
    this.fields ??= [];
    appendField(this.fields, name, lower, text);
    return this;
  }

  /** Adds a cookie; an earlier one of the same name, domain and path is replaced. The defaults are in CookieOptions. */
  cookie(name: string, value: string, options?: CookieOptions): this {
    this.mustBePreparing('cookie');
    const text = setCookie(name, value, options);
    this.fields ??= [];
    setCookieField(this.fields, text);
    return this;
  }

  removeHeader(name: string): this {
    this.mustBePreparing('removeHeader');
    const lower = name.toLowerCase();
    if (lower === 'content-length') this.declaredLength = -1;
    if (lower === 'content-type' && this.hooks !== null) this.hooks.impliedType = null;
    if (this.fields !== null) removeField(this.fields, lower);
    return this;
  }

  /** The value that is set, or all values of that name joined by ", "; null without one. The server adds Date and Connection later. */
  getHeader(name: string): string | null {
    const lower = name.toLowerCase();
    if (lower === 'content-length') return this.declaredLength < 0 ? null : String(this.declaredLength);
    const value = this.fields === null ? null : fieldOf(this.fields, lower);
    return value === null && lower === 'content-type' ? (this.hooks?.impliedType ?? null) : value;
  }

  /** The fields that are set, names as they were given. */
  get headers(): Iterable<readonly [name: string, value: string]> {
    const fields = [...entriesOf(this.fields ?? [])];
    for (const name of ['Content-Type', 'Content-Length']) {
      const value = this.getHeader(name);
      const isListed = fields.some(([each]) => each.toLowerCase() === name.toLowerCase());
      if (value !== null && !isListed) fields.push([name, value]);
    }
    return fields;
  }

  /** Adds a field after a chunked body. Browsers ignore such fields, other programs may read them. */
  trailer(name: string, value: string | number): this {
    if (this.ended) this.refuse('trailer');
    const text = textsOf(name, value).join(', ');
    if (notTrailers.has(checkField(name, text))) throw new Error(`${name} cannot be a trailer`);
    this.hooked.trailers += `${name}: ${text}\r\n`;
    return this;
  }

  /**
   * The callback is called before the head is made, also that of an error response: it may still change status and headers, and it gets
   * the body if that is whole. The one that was added last is called first. If it throws, the handler has failed.
   */
  beforeHead(callback: BeforeHead): this {
    this.mustNotHaveBegun('beforeHead');
    this.hooked.addBeforeHead(callback);
    return this;
  }

  /**
   * The factory may return a transform stream, through which the body passes before it is framed, or bytes in place of a whole body. It is called after all `beforeHead`, and
   * may set headers; null declines. A response that passes through a stream has no Content-Length. It is not called if there is no body to send: for 204, 205,
   * 304 and an empty one. For HEAD it is called, so that the head is that of GET, and its transform is dropped.
   */
  transformBody(factory: TransformFactory): this {
    this.mustNotHaveBegun('transformBody');
    this.hooked.addFactory(factory);
    return this;
  }

  /**
   * Prepares an error response in place of the one that was prepared. Fields that middleware has set stay, such as CORS, a request id or
   * a cookie. What described the body goes: Content-*, ETag, Last-Modified, Cache-Control and Expires.
   * @internal
   */
  restart(): void {
    this.clear(DEFAULT_STATUS);
    this.hooks?.restart();
  }

  /**
   * Sets fields whose lines were made and checked before. For http/handlers/: one that sets eight fields on each response would check the same texts each time.
   * @internal
   */
  checkedFields(lines: readonly FieldLine[]): void {
    this.mustBePreparing('header');
    if (this.fields === null) this.fields = [...lines];
    else for (const [name, line] of lines) setField(this.fields, name, line);
  }

  // For the other half.

  /** Keeps what middleware has set, and no more. */
  protected clear(status: number): void {
    this.code = status;
    this.isStatusChosen = false;
    this.fields = withoutContent(this.fields);
    this.declaredLength = -1;
  }

  protected get hooked(): ResponseHooks {
    this.hooks ??= new ResponseHooks();
    return this.hooks;
  }

  /** Status and fields may change: before the head, and while the callbacks of middleware run. */
  protected mustBePreparing(caller: string): void {
    if (this.ended || this.begun) this.refuse(caller);
    if (this.hooks?.hasSource && !this.hooks.isCalling) this.refuse(caller);
  }

  /** A whole response may be sent. */
  protected mustNotHaveBegun(caller: string): void {
    if (this.ended || this.begun || this.hooks?.isBusy) this.refuse(caller);
  }

  /** A piece may be sent. */
  protected mustBeOpen(caller: string): void {
    if (this.ended || this.hooks?.isBusy) this.refuse(caller);
  }

  protected refuse(caller: string): never {
    let when = 'while body() sends a stream';
    if (this.hooks?.isCalling === true) when = 'in a callback of beforeHead() or transformBody()';
    else if (this.ended) when = 'after the response had ended';
    else if (this.begun) when = 'after the response had begun';
    throw new Error(`${caller}() was called ${when}`);
  }

  #declareLength(text: string): void {
    if (!/^\d{1,15}$/.test(text)) throw new RangeError(`Content-Length must be a number of bytes, not '${text}'`);
    this.declaredLength = Number(text);
  }

  #setLines(name: string, lower: string, values: readonly string[]): void {
    this.fields ??= [];
    if (lower !== 'set-cookie') removeField(this.fields, lower);
    for (const value of values) this.fields.push([lower, `${name}: ${value}\r\n`]);
  }
}
