/**
 * nearestName: the name that a misspelt one was probably meant to be, for error messages.
 *
 * An option with a wrong name would be ignored, and its default would apply without a word. So options and limits with unknown names
 * throw, and the error names what is nearest. Two names are near if few steps lead from one to the other. A step inserts, removes or
 * replaces a character, or swaps two neighbours (the optimal string alignment distance). Case does not count.
 *
 * Next: limits.ts
 */

/** Longer names are not compared: the work grows with the square of their length. No option has so long a name. */
const MAX_NAME_LENGTH = 64;

/** Returns the nearest of the names, or null if none is near. */
export function nearestName(name: string, names: readonly string[]): string | null {
  if (name.length > MAX_NAME_LENGTH) return null;
  let nearest: string | null = null;
  let fewest = Math.max(2, Math.floor(name.length / 2)) + 1;
  for (const candidate of names) {
    const steps = stepsBetween(name.toLowerCase(), candidate.toLowerCase());
    if (steps < fewest && steps < candidate.length) {
      fewest = steps;
      nearest = candidate;
    }
  }
  return nearest;
}

/** The end of a message about an unknown name: the nearest of the names, or all of them. */
export function adviceFor(name: string, names: readonly string[]): string {
  const nearest = nearestName(name, names);
  return nearest === null ? `use one of ${names.join(', ')}` : `did you mean '${nearest}'?`;
}

/** Throws for a misspelt option. `known` has the names that there are. */
export function checkOptionNames(owner: string, given: object, known: object): void {
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(known, name)) continue;
    throw new RangeError(`unknown option '${name}' of ${owner}: ${adviceFor(name, Object.keys(known))}`);
  }
}

/** Row by row: `row[j]` is the number of steps from the first i characters of `a` to the first j of `b`. */
function stepsBetween(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let steps = Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwap) steps = Math.min(steps, (before[j - 2] as number) + 1);
      next.push(steps);
    }
    before = row;
    row = next;
  }
  return row[b.length] as number;
}

/** A value as an error message shows it. */
export function described(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'function') return 'a function';
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}
