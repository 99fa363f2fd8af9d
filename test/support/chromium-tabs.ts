/** Tabs of a headless Chromium, driven by its DevTools protocol over a pipe: open a page, run an expression in it, wait for one to be true. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromiumFlags } from './chromium.ts';

/** It only ends what hangs. */
const PATIENCE_MS = 120_000;

interface Reply {
  readonly id?: number;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

export class Chromium {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  readonly #profile = mkdtempSync(join(tmpdir(), 'simplenet-chromium-'));
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #lastId = 0;
  #text = '';

  constructor() {
    const flags = [...chromiumFlags(this.#profile), '--remote-debugging-pipe', 'about:blank'];
    this.#child = spawn('chromium', flags, { stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'] });
    (this.#child.stderr as Readable).resume();
    // The pipe of standard error closes when the last of its processes has ended: they write to the profile until then.
    this.#closed = once(this.#child, 'close');
    (this.#child.stdio[4] as Readable).setEncoding('utf8').on('data', (text: string) => this.#received(text));
  }

  async call(method: string, params: object, sessionId?: string): Promise<Record<string, unknown>> {
    const id = ++this.#lastId;
    const reply = new Promise<Reply>((resolve) => this.#waiting.set(id, resolve));
    (this.#child.stdio[3] as Writable).write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    const { result, error } = await reply;
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result ?? {};
  }

  async open(url: string): Promise<Tab> {
    const { targetId } = await this.call('Target.createTarget', { url, newWindow: true, width: 1_100, height: 760 });
    const { sessionId } = await this.call('Target.attachToTarget', { targetId, flatten: true });
    return new Tab(this, targetId as string, sessionId as string);
  }

  async close(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.#closed;
    rmSync(this.#profile, { recursive: true, force: true });
  }

  #received(text: string): void {
    const parts = (this.#text + text).split('\0');
    this.#text = parts.pop() ?? '';
    for (const part of parts) {
      const reply = JSON.parse(part) as Reply;
      this.#waiting.get(reply.id ?? 0)?.(reply);
      this.#waiting.delete(reply.id ?? 0);
    }
  }
}

export class Tab {
  readonly #browser: Chromium;
  readonly #target: string;
  readonly #session: string;

  constructor(browser: Chromium, target: string, session: string) {
    this.#browser = browser;
    this.#target = target;
    this.#session = session;
  }

  /** As a person closes it. A page that is only left may be kept for the way back, with its connections. */
  async close(): Promise<void> {
    await this.#browser.call('Target.closeTarget', { targetId: this.#target });
  }

  /** The value of a JavaScript expression in the page. */
  async evaluate(expression: string): Promise<unknown> {
    const params = { expression, returnByValue: true, awaitPromise: true };
    const { result } = await this.#browser.call('Runtime.evaluate', params, this.#session);
    return (result as { readonly value?: unknown }).value;
  }

  async until(expression: string): Promise<void> {
    for (const start = performance.now(); !(await this.#isTrue(expression)); await sleep(20)) {
      if (performance.now() - start > PATIENCE_MS) throw new Error(`in vain: ${expression}`);
    }
  }

  async #isTrue(expression: string): Promise<boolean> {
    try {
      return (await this.evaluate(expression)) === true;
    } catch (error) {
      if (/execution context/.test((error as Error).message)) return false; // the page is being replaced
      throw error;
    }
  }

  /** A picture of the page, as PNG. */
  async picture(): Promise<Buffer> {
    const { data } = await this.#browser.call('Page.captureScreenshot', {}, this.#session);
    return Buffer.from(data as string, 'base64');
  }
}
