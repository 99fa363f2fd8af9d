/**
 * The line of an answer in an access log: common, combined, or JSON.
 *
 *     common      192.0.2.1 - - [29/Nov/2026:15:00:00 +0000] "GET /a HTTP/1.1" 200 5124
 *     combined    the same, then "https://referrer.example/" "curl/8.5.0"
 *     json        {"time":"2026-11-29T15:00:00.000Z","client":"192.0.2.1","method":"GET","path":"/a","status":200,"bytes":5124,"ms":0.4}
 *
 * What a client has sent cannot end a line, close a quoted text or reach a terminal: a line is printable ASCII. In the first two forms other bytes, `"` and `\` are escaped as
 * Apache does it (`\x0a`, `\"`), in JSON as JSON does it (`\u000a`). A text of more than MAX_TEXT_LENGTH characters is cut.
 *
 * Next: ../handlers/log-sink.ts
 */

import { MONTHS } from './http-date.ts';

/** What a line says of an answer. Null for what is not known. */
export interface LogEntry {
  readonly startedAt: number;
  readonly client: string | null;
  /** '' if the head of the request could not be read. */
  readonly method: string;
  readonly target: string;
  readonly httpVersion: string;
  readonly route: string | null;
  /** 0 if no response began. */
  readonly status: number;
  readonly bytes: number;
  readonly durationMs: number;
  readonly referrer: string | null;
  readonly agent: string | null;
  readonly id: string | null;
  readonly trace: string | null;
  readonly clientGone: boolean;
  readonly error: string | null;
}

/**
 * The form of a line.
 *
 * ```ts
 * import { accessLog, type LogFormat, Router, serve } from 'simplenet/http';
 *
 * const format: LogFormat = 'json';
 * serve(new Router(), { onDone: accessLog({ format }) });
 * ```
 */
export type LogFormat = 'common' | 'combined' | 'json';

/** Longer than any honest target and agent. */
export const MAX_TEXT_LENGTH = 2_048;

const SECOND_MS = 1_000;

/** By format: a line with its end, and the line that says how many are missing. */
export const formats: Readonly<
  Record<LogFormat, { readonly line: (entry: LogEntry) => string; readonly gap: (count: number) => string }>
> = {
  common: { line: (entry) => `${commonLine(entry)}\n`, gap: plainGap },
  combined: {
    line: (entry) => `${commonLine(entry)} ${quoted(entry.referrer)} ${quoted(entry.agent)}\n`,
    gap: plainGap,
  },
  json: { line: jsonLine, gap: (count) => `{"dropped":${count}}\n` },
};

function plainGap(count: number): string {
  return `# ${count} ${count === 1 ? 'line' : 'lines'} dropped\n`;
}

function commonLine({ startedAt, client, method, target, httpVersion, status, bytes }: LogEntry): string {
  const asked = quoted(method === '' ? null : `${method} ${target} HTTP/${httpVersion}`);
  return `${escaped(client ?? '-')} - - [${commonTime(startedAt)}] ${asked} ${status === 0 ? '-' : status} ${bytes === 0 ? '-' : bytes}`;
}

let lastSecond = Number.NaN;
let lastTime = '';

/** Formatting a date costs more than the rest of the line, so the text of a second is kept. */
function commonTime(ms: number): string {
  const second = Math.floor(ms / SECOND_MS);
  if (second === lastSecond) return lastTime;
  const [date = '', time = ''] = new Date(ms).toISOString().split(/[T.]/);
  const [year, month, day] = date.split('-');
  lastSecond = second;
  lastTime = `${day}/${MONTHS[Number(month) - 1]}/${year}:${time} +0000`;
  return lastTime;
}

function quoted(text: string | null): string {
  return text === null ? '"-"' : `"${escaped(cut(text))}"`;
}

function escaped(text: string): string {
  return text.replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, (character) => {
    if (character === '"' || character === '\\') return `\\${character}`;
    return Array.from(Buffer.from(character, character > '\xff' ? 'utf8' : 'latin1'), hexEscape).join('');
  });
}

function hexEscape(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}

function jsonLine(entry: LogEntry): string {
  const { startedAt, client, method, target, route, status, bytes, durationMs, referrer, agent, id, trace, error } =
    entry;
  const text = JSON.stringify({
    time: new Date(startedAt).toISOString(),
    id: id ?? undefined,
    trace: trace ?? undefined,
    client: client ?? undefined,
    method,
    path: cut(target),
    route,
    status,
    bytes,
    ms: Math.round(durationMs * 10) / 10,
    referrer: referrer === null ? undefined : cut(referrer),
    agent: agent === null ? undefined : cut(agent),
    clientGone: entry.clientGone || undefined,
    error: error === null ? undefined : cut(error),
  });
  // JSON escapes control characters below 0x20 alone: 0x9b begins a command for a terminal, and U+2028 ends a line for some readers.
  return `${text.replace(/[^\x20-\x7e]/g, jsonEscape)}\n`;
}

/** Half of a pair at a time, as JSON has it. */
function jsonEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

function cut(text: string): string {
  return text.length <= MAX_TEXT_LENGTH ? text : `${text.slice(0, MAX_TEXT_LENGTH)}...`;
}
