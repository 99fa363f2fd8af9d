/**
 * SimulatedSite: the handlers of the simulated server. Each does what the exchange of its request says, and checks that the
 * request is the one that was sent: nothing added, lost, doubled, in another order or on another connection.
 *
 * Next: client.ts
 */

import assert from 'node:assert/strict';
import { HttpError, type HttpRequest, type ResponseWriter, Router } from '../../http/index.ts';
import type { Stream } from '../../simplenet/loop/event-loop.ts';
import type { Exchange } from './exchange.ts';
import { contentOfStream, hasTrailers, promisesLength, refusalOf, textOf } from './exchange-maker.ts';

/** What the site needs of its world. */
export interface SiteWorld {
  readonly isStopping: boolean;
  now(): number;
  after(ms: number, callback: () => void): void;
  /** The request that has that id on the connection with that peer. Throws where it is not its turn. */
  begin(id: number, request: HttpRequest): Exchange;
  /** The handler of that request is done with it. */
  settled(exchange: Exchange): void;
  /** Something that must never happen has happened. */
  fail(error: unknown): void;
}

export class SimulatedSite {
  readonly router = new Router();
  readonly #world: SiteWorld;
  /** Pieces of other answers that wait for a handler to write them. */
  readonly #elsewhere: (() => void)[] = [];

  constructor(world: SiteWorld) {
    this.#world = world;
    const { router } = this;
    router.use('/onion', async (_request, _response, next) => {
      await next();
    });
    router.all('/plain/:id', (request, response) => this.#handle(request, response, request.params.id));
    router.all('/onion/:id', (request, response) => this.#handle(request, response, request.params.id));
    router.put('/only/:id', () => world.fail(new Error('a handler for another method was called')));
  }

  #handle(request: HttpRequest, response: ResponseWriter, id: string): void | Promise<void> {
    const world = this.#world;
    let exchange: Exchange;
    try {
      exchange = world.begin(Number(id), request);
      checkHead(exchange, request);
    } catch (error) {
      world.fail(error);
      throw error;
    }
    if (exchange.id % 7 === 0) exchange.signal = request.signal;
    let result: void | Promise<void>;
    try {
      result = this.#do(exchange, request, response);
    } catch (error) {
      world.settled(exchange);
      throw error;
    }
    if (!(result instanceof Promise)) {
      if (exchange.deed !== 'callback') world.settled(exchange);
      return;
    }
    return result.finally(() => world.settled(exchange));
  }

  #do(exchange: Exchange, request: HttpRequest, response: ResponseWriter): void | Promise<void> {
    switch (exchange.deed) {
      case 'whole':
      case 'ignore':
        return this.#answerWhole(exchange, response);
      case 'callback':
        this.#world.after(exchange.sleepMs, () => {
          this.#answerWhole(exchange, response);
          this.#world.settled(exchange);
        });
        return;
      case 'throw':
        this.#speaks(exchange);
        throw new Error(`planned ${exchange.id}`);
      case 'flood':
        return this.#flood(exchange, response);
      default:
        return this.#doLater(exchange, request, response);
    }
  }

  async #doLater(exchange: Exchange, request: HttpRequest, response: ResponseWriter): Promise<void> {
    switch (exchange.deed) {
      case 'later':
        await this.#sleep(exchange.sleepMs);
        return this.#answerWhole(exchange, response);
      case 'stream':
        return this.#stream(exchange, response);
      case 'echo':
        return this.#echo(exchange, request, response);
      case 'sip':
        return this.#sip(exchange, request, response);
      case 'relay':
        return this.#relay(exchange, request, response);
      case 'taste':
        await request.body.read();
        return this.#answerWhole(exchange, response);
      case 'never':
        return this.#wait(request);
      case 'reject':
      case 'refuse':
        if (exchange.id % 2 === 0) await this.#sleep(exchange.sleepMs);
        this.#speaks(exchange);
        if (exchange.deed === 'refuse') throw new HttpError(refusalOf(exchange.id), `planned ${exchange.id}`);
        throw new Error(`planned ${exchange.id}`);
      case 'break':
        this.#speaks(exchange);
        await response.write(`some of ${exchange.id}`);
        await this.#sleep(exchange.sleepMs);
        throw new Error(`planned ${exchange.id}`);
      case 'forget':
        await this.#sleep(exchange.sleepMs);
        this.#speaks(exchange);
        return;
      case 'upgrade':
      case 'hang up':
        if (exchange.sleepMs > 0) await this.#sleep(exchange.sleepMs);
        return this.#upgrade(exchange, response);
      default:
        throw new Error(`no handler does '${exchange.deed}'`);
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.#world.after(ms, resolve));
  }

  /** From here on it decides what the client will receive. */
  #speaks(exchange: Exchange): void {
    exchange.wasStopping = this.#world.isStopping;
    exchange.answeredAt = this.#world.now();
  }

  #answerWhole(exchange: Exchange, response: ResponseWriter): void {
    const { content, form } = exchange;
    this.#elsewhere.shift()?.();
    this.#speaks(exchange);
    response.header('X-Exchange', exchange.id);
    if (exchange.handlerCloses) response.header('Connection', 'close');
    if (form === 'html') response.html(textOf(form, content));
    else if (form === 'json') response.json({ text: textOf(form, content) });
    else if (form === 'bytes') response.bytes(content);
    else if (form === 'end') response.end(content);
    else if (form === 'empty') response.empty();
    else if (form === 'redirect') response.redirect(`/plain/${content.length}`);
    else response.text(textOf(form, content));
  }

  async #stream(exchange: Exchange, response: ResponseWriter): Promise<void> {
    const { pieces, id, sleepMs } = exchange;
    const total = pieces.reduce((sum, piece) => sum + piece, 0);
    const content = contentOfStream(exchange, total);
    response.header('X-Exchange', id);
    if (promisesLength(exchange)) response.header('Content-Length', total);
    this.#speaks(exchange);
    let at = 0;
    for (const [i, piece] of pieces.entries()) {
      const bytes = content.subarray(at, at + piece);
      at += piece;
      const isEnd = i === pieces.length - 1 && id % 3 === 0 && i > 0;
      if (hasTrailers(exchange) && i === 0) response.trailer('X-Trailer', id);
      if (isEnd) {
        response.end(bytes);
        exchange.answeredAt = this.#world.now();
        return;
      }
      if (i > 0 && id % 7 === 2) await this.#writeFromElsewhere(exchange, response, bytes);
      else await response.write(i % 2 === 0 ? bytes : bytes.toString('latin1'));
      if (id % 4 === 0) await this.#sleep(Math.min(sleepMs, 400));
    }
    response.end();
    exchange.answeredAt = this.#world.now();
  }

  /** The next handler of another request does it, in the middle of its own work, as when one client writes to all. */
  #writeFromElsewhere(exchange: Exchange, response: ResponseWriter, bytes: Buffer): Promise<void> {
    return new Promise((resolve) => {
      let isWritten = false;
      const write = () => {
        if (!isWritten) resolve(response.write(bytes));
        isWritten = true;
      };
      this.#elsewhere.push(write);
      this.#world.after(Math.min(exchange.sleepMs, 400), write);
    });
  }

  #flood(exchange: Exchange, response: ResponseWriter): void {
    this.#speaks(exchange);
    response.header('X-Exchange', exchange.id);
    for (const piece of exchange.pieces) void response.write(contentOfStream(exchange, piece));
    response.end();
  }

  async #echo(exchange: Exchange, request: HttpRequest, response: ResponseWriter): Promise<void> {
    const bytes = await request.bytes();
    checkBody(exchange, bytes, request, (error) => this.#world.fail(error));
    this.#speaks(exchange);
    response.header('X-Exchange', exchange.id).bytes(bytes);
  }

  async #sip(exchange: Exchange, request: HttpRequest, response: ResponseWriter): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) {
      parts.push(part);
      exchange.readBytes += part.length;
      if (parts.length < 20) await this.#sleep(exchange.sleepMs);
    }
    const bytes = Buffer.concat(parts);
    checkBody(exchange, bytes, request, (error) => this.#world.fail(error));
    this.#speaks(exchange);
    response.header('X-Exchange', exchange.id).bytes(bytes);
  }

  async #relay(exchange: Exchange, request: HttpRequest, response: ResponseWriter): Promise<void> {
    const parts: Buffer[] = [];
    response.header('X-Exchange', exchange.id);
    this.#speaks(exchange);
    // Whoever begins to answer gets no body from a client that waits for 100 Continue: RFC 9110 section 10.1.1.
    if (!exchange.expectsContinue) await response.write('');
    for await (const part of request) {
      if (exchange.expectsContinue && parts.length === 0) this.#speaks(exchange);
      parts.push(part);
      await response.write(part);
    }
    if (exchange.expectsContinue && parts.length === 0) this.#speaks(exchange);
    checkBody(exchange, Buffer.concat(parts), request, (error) => this.#world.fail(error));
    response.end();
    exchange.answeredAt = this.#world.now();
  }

  #wait(request: HttpRequest): Promise<void> {
    const { signal } = request;
    if (signal.aborted) return Promise.reject(signal.reason); // the client had ended its side before its request began
    return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  }

  #upgrade(exchange: Exchange, response: ResponseWriter): void {
    this.#speaks(exchange);
    response.header('X-Exchange', exchange.id);
    response.upgrade('echo', (stream) => {
      let isOver = false;
      const alive = (what: string) => {
        if (isOver) this.#world.fail(new Error(`${what} of an upgraded stream that has ended`));
      };
      if (exchange.deed === 'hang up') stream.close();
      return {
        onData(one: Stream, bytes: Buffer): void {
          alive('onData');
          one.write(bytes);
        },
        onEnd(one: Stream): void {
          alive('onEnd');
          one.end();
        },
        onClose(): void {
          alive('onClose');
          isOver = true;
        },
      };
    });
  }
}

function checkHead(exchange: Exchange, request: HttpRequest): void {
  const { id, target, method } = exchange;
  assert.equal(exchange.invalid?.layer ?? 'body', 'body', 'a malformed head reached a handler');
  if (exchange.invalid !== null) return;
  assert.equal(request.method, method);
  assert.equal(request.target, target);
  assert.equal(request.httpVersion, exchange.isHttp10 ? '1.0' : '1.1');
  assert.equal(request.authority, 'sim');
  if (exchange.deed === 'upgrade' || exchange.deed === 'hang up') return;
  assert.equal(request.query.get('q'), String(id));
  assert.equal(request.headers.get('x-id'), String(id));
}

function checkBody(exchange: Exchange, bytes: Buffer, request: HttpRequest, fail: (error: unknown) => void): void {
  try {
    assert.equal(exchange.invalid, null, 'a malformed body was taken for one');
    assert.ok(bytes.equals(exchange.body ?? Buffer.alloc(0)), `request ${exchange.id}: the body is another`);
    const trailers = [...request.trailers].map(([name, value]) => `${name}: ${value}`.trim());
    assert.deepEqual(
      trailers.map((line) => line.toLowerCase()),
      exchange.trailers.map((line) => line.trim().toLowerCase()),
    );
  } catch (error) {
    fail(error);
  }
}
