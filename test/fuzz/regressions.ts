/**
 * Regressions: a file of inputs that once showed a bug. Each is replayed by every `npm test`, for ever.
 *
 * A line is the pieces in which the bytes arrived, as a JSON array of strings, one character a byte; above it stands, as a
 * comment, what was wrong. So a find can be read, and written by hand, without any tool.
 */

import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Input } from './properties.ts';

/** It lies where it was written; only the tests are compiled to build/test/fuzz. */
export const REGRESSIONS = join(import.meta.dirname, '../../../test/fuzz/regressions.txt');

/** As REGRESSIONS, of TLS. */
export const TLS_REGRESSIONS = join(import.meta.dirname, '../../../test/fuzz/tls-regressions.txt');

export function lineOf({ bytes, cuts }: Input): string {
  const pieces = cuts.map((cut, i) => bytes.toString('latin1', cuts[i - 1] ?? 0, cut));
  return JSON.stringify(pieces).replace(/[\x7f-\xff]/g, (byte) => `\\u00${byte.charCodeAt(0).toString(16)}`);
}

export function inputOf(line: string): Input {
  const pieces = JSON.parse(line) as string[];
  let end = 0;
  const cuts = pieces.map((piece) => {
    end += piece.length;
    return end;
  });
  return { bytes: Buffer.from(pieces.join(''), 'latin1'), cuts };
}

export function readRegressions(file = REGRESSIONS): Input[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.filter((line) => line !== '' && !line.startsWith('#')).map(inputOf);
}

const MAX_WORDS = 300;

export function appendRegression(what: string, input: Input, file = REGRESSIONS): void {
  const words = what.replaceAll('\n', ' ').slice(0, MAX_WORDS);
  appendFileSync(file, `\n# ${words}\n${lineOf(input)}\n`);
}
