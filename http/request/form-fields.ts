/**
 * How many fields a form has (application/x-www-form-urlencoded), checked before it is parsed.
 *
 * URLSearchParams makes two strings and a list entry for each field, and `get` walks the list. A megabyte of `&a` has half a million
 * fields, and a handler that reads ten names of it blocks the thread for long. Counting the separators first costs very little.
 *
 * Next: request-body.ts
 */

export function hasMoreFieldsThan(text: string, count: number): boolean {
  let separators = 0;
  for (let at = text.indexOf('&'); at !== -1; at = text.indexOf('&', at + 1)) {
    if (++separators >= count) return true;
  }
  return false;
}
