/**
 * HTTP-date: the times of Last-Modified, If-Modified-Since and If-Range (RFC 9110 section 5.6.7).
 *
 * A server must read three forms, and writes the first one:
 *
 *     Sun, 06 Nov 1994 08:49:37 GMT        IMF-fixdate
 *     Sunday, 06-Nov-94 08:49:37 GMT       RFC 850, with a year of two digits
 *     Sun Nov  6 08:49:37 1994             asctime of C
 *
 * Text that has none of these forms, and a day that no calendar has, are not dates: Date.parse would guess, in the time zone of the process.
 *
 * Next: validators.ts
 */

/** The names of all dates in HTTP and in access logs. */
export const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

const MONTH = '(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)';
const SHORT_DAY = '(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)';
const LONG_DAY = '(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)';
const TIME = '(\\d{2}):(\\d{2}):(\\d{2})';

const IMF_FIXDATE = new RegExp(`^${SHORT_DAY}, (\\d{2}) ${MONTH} (\\d{4}) ${TIME} GMT$`);
const RFC_850 = new RegExp(`^${LONG_DAY}, (\\d{2})-${MONTH}-(\\d{2}) ${TIME} GMT$`);
const ASCTIME = new RegExp(`^${SHORT_DAY} ${MONTH} (\\d{2}| \\d) ${TIME} (\\d{4})$`);

const CENTURY = 100;
const MAX_YEARS_AHEAD = 50;
const MAX_HOUR = 23;
const MAX_MINUTE = 59;
/** 60 is a leap second, which the grammar allows. It counts as the first second of the next minute. */
const MAX_SECOND = 60;

/** Returns milliseconds since 1970, or null for text that is not an HTTP-date. `nowMs` decides the century of a year of two digits. */
export function parseHttpDate(text: string, nowMs: number): number | null {
  const imf = IMF_FIXDATE.exec(text);
  if (imf !== null) return timeOf(Number(imf[3]), imf[2], imf[1], imf.slice(4));
  const rfc850 = RFC_850.exec(text);
  if (rfc850 !== null) return timeInNearestCentury(Number(rfc850[3]), rfc850, nowMs);
  const asctime = ASCTIME.exec(text);
  return asctime === null ? null : timeOf(Number(asctime[6]), asctime[1], asctime[2], asctime.slice(3, 6));
}

/** Returns an IMF-fixdate. Parts of a second are cut off. */
export function formatHttpDate(ms: number): string {
  return new Date(ms).toUTCString();
}

/** A time that seems to be more than 50 years ahead is the most recent one in the past that has the same two digits. */
function timeInNearestCentury(twoDigits: number, match: RegExpExecArray, nowMs: number): number | null {
  const now = new Date(nowMs);
  const thisYear = now.getUTCFullYear();
  const latestMs = now.setUTCFullYear(thisYear + MAX_YEARS_AHEAD);
  const ofYear = (year: number) => timeOf(year, match[2], match[1], match.slice(4));
  const year = thisYear - (thisYear % CENTURY) + twoDigits;
  // A 29 February may exist in one of these years and not in the others.
  for (const candidate of [year + CENTURY, year, year - CENTURY]) {
    const ms = ofYear(candidate);
    if (ms !== null && ms <= latestMs) return ms;
  }
  return null;
}

function timeOf(
  year: number,
  monthName: string | undefined,
  dayText: string | undefined,
  time: readonly string[],
): number | null {
  const [hour, minute, second] = time.map(Number) as [number, number, number];
  if (hour > MAX_HOUR || minute > MAX_MINUTE || second > MAX_SECOND) return null;
  const month = MONTHS.indexOf(monthName as string);
  const day = Number(dayText);
  const date = new Date(0);
  date.setUTCFullYear(year, month, day); // Date.UTC takes the years 0 to 99 as 1900 to 1999
  if (date.getUTCMonth() !== month || date.getUTCDate() !== day) return null;
  return date.setUTCHours(hour, minute, second);
}
