/**
 * Static files: `staticFiles` makes a handler of a directory, `sendFile` a response of one file.
 *
 *     path of the URL -> file-path.ts -> open-files.ts -> [index, listing, spa] -> [sibling .br .zst .gz] -> file-answer.ts
 *
 * It answers GET and HEAD, never writes, and runs nothing. It does not leave the directory: file-path.ts checks the names, and then the kernel the file.
 *
 * Next: cors.ts
 */

import { basename } from 'node:path';
import { libc } from '../../simplenet/index.ts';
import { preferredCoding } from '../content/accept-encoding.ts';
import { attachment } from '../content/attachment.ts';
import { decodedFilePathOf, filePathOf } from '../content/file-path.ts';
import { typeOfFile } from '../content/file-types.ts';
import type { HttpRequest, ResponseWriter } from '../handler.ts';
import { HttpError } from '../http-error.ts';
import { reasonOf } from '../status.ts';
import { LISTING_POLICY, listingPage, readListing } from './directory-listing.ts';
import { answerFile } from './file-answer.ts';
import { checkedFileOptions } from './file-options.ts';
import { FILE_CLOCK, type FileFields, type OpenFile, OpenFiles, openChosenFile, placeOf } from './open-files.ts';

/**
 * The options of `sendFile`.
 *
 * ```ts
 * import { Router, type SendFileOptions, sendFile } from 'simplenet/http';
 *
 * const options: SendFileOptions = { download: 'report.pdf' };
 * new Router().get('/report', (request, response) => sendFile(request, response, 'reports/2026.pdf', options));
 * ```
 */
export interface SendFileOptions {
  /** True: the browser saves the file under its own name; a text: under that name. By default it shows the file. */
  readonly download?: boolean | string;
  /** The Content-Type; by default that of the end of its name. */
  readonly contentType?: string;
  /** The value of Cache-Control; by default `no-cache`: a cache asks each time, and gets 304. */
  readonly cacheControl?: string;
  /** How many ranges one request may ask for. */
  readonly maxRanges?: number;
}

/**
 * The options of `staticFiles`.
 *
 * ```ts
 * import { type StaticFilesOptions, serve, staticFiles } from 'simplenet/http';
 *
 * const options: StaticFilesOptions = { spa: 'index.html', listing: false };
 * serve(staticFiles('public', options), { port: 8080 });
 * ```
 */
export interface StaticFilesOptions {
  /** The file that stands for its folder; null: none does. */
  readonly index?: string | null;
  /** The file that is sent in place of one that is missing, with 200, to a client that accepts HTML; null: 404. */
  readonly spa?: string | null;
  /** Whether a folder without index is shown as a page. */
  readonly listing?: boolean;
  /** Whether names that begin with a dot are served and shown. */
  readonly dotFiles?: boolean;
  /** Whether links are followed, as far as they stay in the directory. */
  readonly followSymlinks?: boolean;
  /** Whether `x.js.br`, `x.js.zst` and `x.js.gz` are sent for `x.js`, if they are not older. */
  readonly precompressed?: boolean;
  /** Cache-Control of all other files. */
  readonly cacheControl?: string;
  /** Names that match never get another content, so caches may keep them for a year; null: none does. */
  readonly immutable?: RegExp | null;
  /** Whether the browser saves each file, and does not show it. */
  readonly download?: boolean;
  /** How many ranges one request may ask for. */
  readonly maxRanges?: number;
  /** How many files are kept open: one for each path, and its compressed siblings. */
  readonly maxOpenFiles?: number;
  /** How long a kept file is used before its path, and those of its siblings, are looked at again. */
  readonly revalidateMs?: number;
}

/**
 * What `staticFiles` returns: a handler that keeps files open.
 *
 * ```ts
 * import { type StaticFiles, staticFiles } from 'simplenet/http';
 *
 * const site: StaticFiles = staticFiles('public');
 * site.close(); // closes what it keeps open; the next request opens files again
 * ```
 */
export interface StaticFiles {
  (request: HttpRequest, response: ResponseWriter): Promise<void> | void;
  /** Closes the descriptors that are kept and not in use. */
  close(): void;
}

const IMMUTABLE = 'public, max-age=31536000, immutable';

/** A hash in hexadecimal has digits and letters. A date such as 20260101 has no letter, and a word such as `deadbeef` no digit. */
const HASHED = /[.-](?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{8,64}\.[^/]+$/;

const DEFAULTS = {
  index: 'index.html',
  spa: null,
  listing: false,
  dotFiles: false,
  followSymlinks: false,
  precompressed: true,
  cacheControl: 'no-cache',
  immutable: HASHED,
  download: false,
  maxRanges: 16,
  maxOpenFiles: 256,
  revalidateMs: 1_000,
} satisfies Required<StaticFilesOptions>;

type Settings = Required<StaticFilesOptions>;

/** The shortest first, usually. */
const SIBLINGS: ReadonlyMap<string, string> = new Map([
  ['br', '.br'],
  ['zstd', '.zst'],
  ['gzip', '.gz'],
]);
const NO_SIBLINGS: ReadonlyMap<string, string> = new Map();

/** The param of a route such as `/assets/*`. */
const WILDCARD = '*';

/**
 * Serves the files of a directory. On a route with a wildcard the rest of the path names the file, else the whole path does.
 *
 * ```ts
 * import { Router, staticFiles } from 'simplenet/http';
 *
 * new Router().get('/assets/*', staticFiles('dist/assets'));
 * ```
 */
export function staticFiles(directory: string, options: StaticFilesOptions = {}): StaticFiles {
  const given = checkedFileOptions('staticFiles', options);
  const { immutable = DEFAULTS.immutable } = given;
  const settings: Settings = { ...DEFAULTS, ...given, immutable: immutable === null ? null : withoutPlace(immutable) };
  const siblingEndings = settings.precompressed ? SIBLINGS : NO_SIBLINGS;
  const files = new OpenFiles(directory, { ...settings, siblingEndings }, libc);
  const handler = (request: HttpRequest, response: ResponseWriter) => answer(files, settings, request, response);
  return Object.assign(handler, { close: () => files.close() });
}

function answer(
  files: OpenFiles,
  settings: Settings,
  request: HttpRequest,
  response: ResponseWriter,
): Promise<void> | void {
  refuseOtherMethods(request, response);
  const rest = request.params[WILDCARD];
  const { dotFiles } = settings;
  const path = rest === undefined ? filePathOf(request.path, dotFiles) : decodedFilePathOf(rest, dotFiles);
  const found = path === null ? null : files.open(path);
  if (path === null || found === null) return answerMissing(files, settings, request, response);
  if (!found.isDirectory) {
    // A file with a slash behind it would have other relative links.
    if (!request.path.endsWith('/')) return answerPath(files, settings, request, response, path, found);
    found.release();
    return answerMissing(files, settings, request, response);
  }
  if (!request.path.endsWith('/')) {
    found.release();
    redirectToFolder(request, response);
    return;
  }
  if (settings.index !== null) {
    const indexPath = path === '.' ? settings.index : `${path}/${settings.index}`;
    const index = files.open(indexPath);
    if (index !== null && !index.isDirectory) {
      found.release();
      return answerPath(files, settings, request, response, indexPath, index);
    }
    index?.release();
  }
  if (settings.listing) return answerListing(settings, request, response, path, found);
  found.release();
  return answerMissing(files, settings, request, response);
}

/** Sends an open file, or a sibling of it that is compressed, and releases it. */
function answerPath(
  files: OpenFiles,
  settings: Settings,
  request: HttpRequest,
  response: ResponseWriter,
  path: string,
  file: OpenFile,
): Promise<void> | void {
  const { siblings } = file;
  const coding =
    siblings.size === 0 ? null : preferredCoding(request.headers.get('accept-encoding'), [...siblings.keys()]);
  const encoded = coding === null ? undefined : siblings.get(coding);
  const chosen = encoded?.use() ?? file;
  if (chosen !== file) file.release();
  chosen.fields ??= fieldsOf(settings, basename(path), encoded === undefined ? null : coding, siblings.size > 0);
  return answerFile(request, response, chosen, chosen.fields, files);
}

function fieldsOf(settings: Settings, name: string, contentEncoding: string | null, varies: boolean): FileFields {
  return {
    contentType: typeOfFile(name),
    contentEncoding,
    cacheControl: settings.immutable?.test(name) === true ? IMMUTABLE : settings.cacheControl,
    disposition: settings.download ? attachment(name) : null,
    varies,
    maxRanges: settings.maxRanges,
    lines: null,
  };
}

function answerMissing(
  files: OpenFiles,
  settings: Settings,
  request: HttpRequest,
  response: ResponseWriter,
): Promise<void> | void {
  const page = settings.spa === null || !acceptsHtml(request) ? null : files.open(settings.spa);
  if (page === null || page.isDirectory) {
    page?.release();
    throw new HttpError(404, reasonOf(404));
  }
  return answerPath(files, settings, request, response, settings.spa as string, page);
}

/** A script that fetches a file which is missing must not get a page. Browsers name text/html for a page only. */
function acceptsHtml(request: HttpRequest): boolean {
  return request.headers.get('accept')?.includes('text/html') === true;
}

async function answerListing(
  settings: Settings,
  request: HttpRequest,
  response: ResponseWriter,
  path: string,
  folder: OpenFile,
): Promise<void> {
  const listing = await readListing(placeOf(folder.fd), settings.dotFiles, settings.followSymlinks).finally(() =>
    folder.release(),
  );
  const depth = path === '.' ? 0 : path.split('/').length;
  response.header('Cache-Control', 'no-cache').header('Content-Security-Policy', LISTING_POLICY);
  response.html(listingPage(decodeURIComponent(request.path), depth, listing));
}

/** 301 to the path with a slash, so that links of the page are relative to the folder. As a path alone: a host is not ours to say. */
function redirectToFolder(request: HttpRequest, response: ResponseWriter): void {
  // Two slashes at the beginning would be the name of a host.
  const path = request.path.replace(/^\/+/, '/');
  const query = request.target.indexOf('?');
  response.redirect(`${path}/${query === -1 ? '' : request.target.slice(query)}`, 301);
}

/**
 * Sends one file. The program chooses the path, and must not make it of what a client has sent: `staticFiles` is for that. 404 if there is no such file.
 *
 * ```ts
 * import { Router, sendFile } from 'simplenet/http';
 *
 * new Router().get('/manual', (request, response) => sendFile(request, response, 'docs/manual.pdf', { download: true }));
 * ```
 */
export function sendFile(
  request: HttpRequest,
  response: ResponseWriter,
  path: string,
  options: SendFileOptions = {},
): Promise<void> | void {
  checkedFileOptions('sendFile', options);
  refuseOtherMethods(request, response);
  const name = basename(path);
  const file = openChosenFile(path, libc);
  if (file === null || file.isDirectory) {
    file?.release();
    throw new HttpError(404, reasonOf(404));
  }
  const { download = false } = options;
  const fields = {
    contentType: options.contentType ?? typeOfFile(name),
    contentEncoding: null,
    cacheControl: options.cacheControl ?? DEFAULTS.cacheControl,
    disposition: download === false ? null : attachment(download === true ? name : download),
    varies: false,
    maxRanges: options.maxRanges ?? DEFAULTS.maxRanges,
    lines: null,
  };
  return answerFile(request, response, file, fields, FILE_CLOCK);
}

function refuseOtherMethods({ method }: HttpRequest, response: ResponseWriter): void {
  if (method === 'GET' || method === 'HEAD') return;
  response.header('Allow', 'GET, HEAD');
  throw new HttpError(405, 'Files can be read only: use GET or HEAD');
}

/** The same pattern without g and y, with which it would go on where it has stopped in another name. */
function withoutPlace({ source, flags }: RegExp): RegExp {
  return new RegExp(source, flags.replace(/[gy]/g, ''));
}
