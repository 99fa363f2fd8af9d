/**
 * File options: checks what a program gives `staticFiles` and `sendFile`.
 *
 * A value of another kind would not fail, but mean something else: without a number in `maxRanges` no number of ranges is too many, and a RegExp with the flag g
 * remembers where it has stopped, so that every second file would match.
 *
 * Next: static-files.ts
 */

import { isFieldValue } from '../grammar.ts';
import { adviceFor, described } from '../nearest-name.ts';

interface Kind {
  readonly name: string;
  accepts(value: unknown): boolean;
}

const flag: Kind = { name: 'true or false', accepts: (value) => typeof value === 'boolean' };
const count: Kind = { name: 'a number of at least 0', accepts: (value) => typeof value === 'number' && value >= 0 };
const fieldValue: Kind = {
  name: 'the value of a field',
  accepts: (value) => typeof value === 'string' && isFieldValue(value),
};
const pathBelow: Kind = {
  name: 'a path below the directory, without a slash before it, or null',
  accepts: (value) =>
    value === null || (typeof value === 'string' && /^(?!\.{0,2}(?:\/|$))(?!.*\/\.\.(?:\/|$))/.test(value)),
};

const FILES: Readonly<Record<string, Kind>> = {
  index: pathBelow,
  spa: pathBelow,
  listing: flag,
  dotFiles: flag,
  followSymlinks: flag,
  precompressed: flag,
  cacheControl: fieldValue,
  immutable: { name: 'a RegExp or null', accepts: (value) => value === null || value instanceof RegExp },
  download: flag,
  maxRanges: count,
  maxOpenFiles: count,
  revalidateMs: count,
};

const ONE_FILE: Readonly<Record<string, Kind>> = {
  download: {
    name: 'true, false or a name',
    accepts: (value) => typeof value === 'boolean' || typeof value === 'string',
  },
  contentType: fieldValue,
  cacheControl: fieldValue,
  maxRanges: count,
};

const kindsOf = { staticFiles: FILES, sendFile: ONE_FILE } as const;

/** Throws a TypeError for a name or a value that makes no sense. An option that is undefined is as if absent: it is not in the result. */
export function checkedFileOptions<Options extends object>(owner: keyof typeof kindsOf, options: Options): Options {
  const kinds = kindsOf[owner];
  const given: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(kinds, name))
      throw new TypeError(`there is no option '${name}': ${adviceFor(name, Object.keys(kinds))}`);
    if (value === undefined) continue;
    const kind = kinds[name] as Kind;
    if (!kind.accepts(value)) throw new TypeError(`${name} of ${owner} must be ${kind.name}, not ${described(value)}`);
    given[name] = value;
  }
  return given as Options;
}
