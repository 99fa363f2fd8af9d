/**
 * Content-Disposition of a response: a browser saves the body under this name and does not show it (RFC 6266).
 *
 *     attachment; filename="report.pdf"
 *     attachment; filename="_5.txt"; filename*=UTF-8''%E2%82%AC5.txt
 *
 * A name that is not plain ASCII, or contains a quote, a backslash or a percent sign, is written twice: percent-encoded for today's clients, and with `_` in
 * the place of such a character for old ones (RFC 6266 appendix D). So no character of a file name can end the string or the line. Folders are cut off.
 *
 * Next: file-path.ts
 */

/** All but what can stand in a quoted string and means the same for all clients. */
const NOT_PLAIN = /[^\x20\x21\x23\x24\x26-\x5b\x5d-\x7e]/g;

/** RFC 8187 section 3.2.1: attr-char. encodeURIComponent leaves these four as they are, and they are not among them. */
const NOT_ATTR_CHAR = /['()*]/g;

/** encodeURIComponent would throw at half of a pair. */
const LONE_SURROGATE = /\p{Surrogate}/gu;

export function attachment(name: string): string {
  const last = name.slice(Math.max(name.lastIndexOf('/'), name.lastIndexOf('\\')) + 1);
  const plain = last.replace(NOT_PLAIN, '_');
  if (plain === last) return `attachment; filename="${last}"`;
  const encoded = encodeURIComponent(last.replace(LONE_SURROGATE, '\ufffd')).replace(
    NOT_ATTR_CHAR,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}
