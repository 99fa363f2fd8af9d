/**
 * Which test files share a process in `npm test`: those of a folder. tap needs 1.5 s of processor time to start a process, which is
 * more than most files need themselves.
 */

/** A room of more files is split, so that its parts run beside each other. */
const MAX_FILES = 9;

/** Rooms that take long. They begin first: one that begins last would run on while nothing runs beside it. */
const slowest = [
  'test/examples',
  'test/http',
  'test/simplenet/loop',
  'test/faults',
  'test/contracts',
  'test/on-io-uring',
];

const MARK = 'file: ';

/** The name of the test that stands before the tests of a file in its room. */
export function markOf(file: string): string {
  return `${MARK}${file}`;
}

/** The file that begins with this test, or null where the test is not a mark. */
export function fileOfMark(testName: string): string | null {
  return testName.startsWith(MARK) ? testName.slice(MARK.length) : null;
}

/** The rooms of these files (`test/http/request/byte-run.test.js`) by name, in the order in which they begin. */
export function roomsOf(files: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const folders = new Map<string, string[]>();
  for (const file of files) {
    const folder = file.slice(0, file.lastIndexOf('/'));
    folders.set(folder, [...(folders.get(folder) ?? []), file]);
  }
  const rankOf = (folder: string) => (slowest.includes(folder) ? slowest.indexOf(folder) : slowest.length);
  const rooms = new Map<string, string[]>();
  for (const [folder, all] of [...folders].sort(([one], [other]) => rankOf(one) - rankOf(other))) {
    const parts = Math.ceil(all.length / MAX_FILES);
    const room = (i: number) => (parts === 1 ? folder : `${folder}-${(i % parts) + 1}`);
    for (const [i, file] of all.entries()) rooms.set(room(i), [...(rooms.get(room(i)) ?? []), file]);
  }
  return rooms;
}
