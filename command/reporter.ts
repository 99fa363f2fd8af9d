/**
 * Reporters: what the command says on standard error, for a person, for a program that reads JSON lines, or nothing.
 *
 * Errors are never left out: `--log none` is about what goes well.
 *
 * Next: stop.ts
 */

import { inspect } from 'node:util';
import type { OnError } from '../http/index.ts';
import type { LogFormat } from './options.ts';

export interface Start {
  /** What is served: `the directory public`, `the module site.js`. */
  readonly what: string;
  readonly url: string;
  /** With several sockets: those of the others. */
  readonly otherUrls: readonly string[];
  readonly networkUrls: readonly string[];
  /** What a person may wonder about, or null. */
  readonly hint: string | null;
  /** What is particular about the certificate; empty if nothing is. */
  readonly certificate: readonly string[];
}

export interface Reporter {
  started(start: Start): void;
  portTaken(taken: number, instead: number): void;
  /** It has been told to stop, and goes on for so long. */
  announced(noticeMs: number): void;
  /** `waitingFor`: the connections with a request or response under way. */
  stopping(waitingFor: number): void;
  /** What happens to workers and successors: one sentence. */
  said(what: string): void;
  /** The command ends because of that. */
  failed(message: string): void;
  /** For `serve`. Undefined: its own log. */
  readonly onError: OnError | undefined;
}

type Write = (text: string) => unknown;

export function createReporter(format: LogFormat, write: Write): Reporter {
  if (format === 'json') return jsonReporter(write);
  return format === 'none' ? quietReporter(write) : plainReporter(write);
}

/** `close` of a server waits for so long by default. */
const GRACE_SECONDS = 10;

function plainReporter(write: Write): Reporter {
  return {
    ...quietReporter(write),
    started: ({ what, url, otherUrls, networkUrls, hint, certificate }) => {
      const others = otherUrls.map((each) => `           ${each}`);
      const network = networkUrls.map((each) => `  Network  ${each}`);
      const notes = certificate.length === 0 ? [] : [...certificate, ''];
      const end = [...notes, ...(hint === null ? [] : [hint]), 'Ctrl-C stops it.'];
      write(boxed([`simplenet serves ${what}`, '', `  Local    ${url}`, ...others, ...network, '', ...end]));
    },
    portTaken: (taken, instead) => write(`Port ${taken} is busy, so it is ${instead}.\n`),
    announced: (noticeMs) => {
      write(`Stopping in ${noticeMs / 1_000} s: until then it serves as before. Ctrl-C again ends that wait.\n`);
    },
    stopping: (waitingFor) => {
      if (waitingFor === 0) write('Stopping.\n');
      else {
        const responses = waitingFor === 1 ? '1 response' : `${waitingFor} responses`;
        write(`Stopping: waiting for ${responses}, ${GRACE_SECONDS} s at most. Ctrl-C again stops at once.\n`);
      }
    },
  };
}

function quietReporter(write: Write): Reporter {
  return {
    started: () => {},
    portTaken: () => {},
    announced: () => {},
    stopping: () => {},
    said: (what) => write(`${printable(what)}\n`),
    failed: (message) => write(`simplenet: ${printable(message)}\n`),
    onError: undefined,
  };
}

function jsonReporter(write: Write): Reporter {
  const line = (event: string, more: object) =>
    void write(`${JSON.stringify({ time: new Date().toISOString(), event, ...more })}\n`);
  return {
    started: ({ what, ...start }) => line('started', { serves: what, ...start }),
    portTaken: (taken, instead) => line('portTaken', { taken, instead }),
    announced: (noticeMs) => line('announced', { noticeMs }),
    stopping: (waitingFor) => line('stopping', { waitingFor }),
    said: (message) => line('note', { message }),
    failed: (message) => line('failed', { message }),
    onError: (error, request) => line('error', { method: request?.method, path: request?.path, error: inspect(error) }),
  };
}

/** A file may have a line break in its name. A terminal obeys control characters. */
function printable(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (character) => JSON.stringify(character).slice(1, -1));
}

/** A terminal gives these two columns: the characters of East Asia, and emoji. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/gu;

/** And these none: they change the character before them. */
const COMBINING = /\p{Mark}|\u200d/gu;

/** How many columns of a terminal the text takes. */
function columnsOf(text: string): number {
  const seen = text.replace(COMBINING, '');
  return [...seen].length + (seen.match(WIDE)?.length ?? 0);
}

/** The lines in a frame. */
export function boxed(lines: readonly string[]): string {
  const shown = lines.map(printable);
  const width = Math.max(...shown.map(columnsOf));
  const edge = '─'.repeat(width + 2);
  const inside = shown.map((line) => `│ ${line}${' '.repeat(width - columnsOf(line))} │\n`).join('');
  return `╭${edge}╮\n${inside}╰${edge}╯\n`;
}
