/**
 * Which test files share a process in `npm test`. To start a process under tap and to load what most files load takes two seconds of
 * processor time, which is more than most files need themselves.
 */

/** Processes. Some more than run at the same time (.taprc), so that few are left when the last of them has begun. */
const ROOMS = 8;

/** So many files of a folder stay together. */
const MAX_NEIGHBOURS = 5;

/** What these files put into the environment is for all files of their process. */
const ALONE = 'test/on-io-uring';

/**
 * Files that take more than two seconds of processor time, with what they start. They are spread, and a room that takes long begins first: one
 * that begins last would run on while nothing runs beside it. A figure that is no longer true costs time and nothing else.
 */
const seconds: Readonly<Record<string, number>> = {
  server: 12,
  'simplenet/loop/socket-loop': 9,
  'faults/floods': 9,
  'http/workers/supervisor': 12,
  'docs/commands': 9,
  'examples/cookbook': 8,
  'http/websocket/conformance': 8,
  'server-simulation/server-simulation': 7,
  'command/life': 14,
  'command/run': 5,
  'http/workers/hand-over': 6,
  'contracts/event-loop-on-stack': 7,
  'simplenet/io-uring/uring-loop': 7,
  'oracle/oracle': 6,
  'contracts/event-loop-over-tls': 5,
  'simplenet/loop/hosting': 5,
  'http/handlers/log-sink': 5,
  'http/request/request-head': 5,
  'contracts/event-loop-on-linux': 5,
  'http/connection/connection': 5,
  'simplenet/tcpip/attacks': 5,
  'http/websocket/web-socket': 5,
  'simplenet/loop/socket-stream': 4,
  'http/clients': 4,
  'http/exit': 4,
  'simplenet/kernel/ffi-edge': 4,
  'simplenet/tcpip/over-tap': 4,
  'faults/resets': 4,
  'faults/slow-clients': 4,
  'contracts/chaos': 4,
  'transcripts/splits': 4,
  'peers/web-socket-oracle': 4,
  'contracts/event-loop-over-tls-in-simulation': 4,
  'simplenet/tcpip/tcp/exchange': 3,
  'fuzz/answers': 3,
  'http/request/head-parser': 3,
  'simplenet/loop/node-host': 3,
  'http/serve-endings': 3,
  'contracts/event-loop-in-simulation': 3,
  'simulation/simulated-kernel': 3,
  'http/handlers/compression': 3,
  'simplenet/io-uring/uring-stream': 6,
  'simplenet/loop/virtual-host': 3,
  'simplenet/tcpip/two-stacks': 3,
  'http/router/router-properties': 3,
  'http/https-workers': 3,
  'attacks/terminate': 3,
  'http/request/body-decoder': 2,
  'simplenet/kernel/ffi': 2,
  'docs/tcpip': 2,
  'examples/blocking-http': 2,
  architecture: 2,
  'examples/hello': 2,
  'http/content/json-nesting': 2,
  'web-socket-simulation/web-socket-simulation': 2,
  'transcripts/transcripts': 2,
  'http/serve': 2,
};

/** What a file takes that is not in the list. */
const OTHER_SECONDS = 0.4;

const MARK = 'file: ';

/** The name of the test that stands before the tests of a file in its room. */
export function markOf(file: string): string {
  return `${MARK}${file}`;
}

/** The file that begins with this test, or null where the test is not a mark. */
export function fileOfMark(testName: string): string | null {
  return testName.startsWith(MARK) ? testName.slice(MARK.length) : null;
}

function secondsOf(files: readonly string[], known: typeof seconds): number {
  const each = files.map((file) => known[file.replace(/^test\/|\.test\.js$/g, '')] ?? OTHER_SECONDS);
  return each.reduce((sum, one) => sum + one, 0);
}

/** The files of each folder, in parts that stay together. */
function neighbours(files: readonly string[]): string[][] {
  return [...new Set(files.map(folderOf))].flatMap((folder) => {
    const all = files.filter((file) => folderOf(file) === folder);
    const parts = Math.ceil(all.length / MAX_NEIGHBOURS);
    return Array.from({ length: parts }, (_, part) => all.filter((_, i) => i % parts === part));
  });
}

function folderOf(file: string): string {
  return file.slice(0, file.lastIndexOf('/'));
}

/** The files (`test/http/request/byte-run.test.js`) of each room, in the order in which the rooms begin. */
export function roomsOf(files: readonly string[], known = seconds): readonly (readonly string[])[] {
  const rooms: string[][] = Array.from({ length: ROOMS }, () => []);
  const timeOf = (room: readonly string[]) => secondsOf(room, known);
  const parts = neighbours(files.filter((file) => folderOf(file) !== ALONE));
  // The longest one first, each into the room that is the shortest until then: the rooms become equal.
  for (const part of parts.sort((one, other) => timeOf(other) - timeOf(one))) {
    const [shortest = []] = rooms.toSorted((one, other) => timeOf(one) - timeOf(other));
    shortest.push(...part);
  }
  rooms.push(files.filter((file) => folderOf(file) === ALONE));
  return rooms.filter((room) => room.length > 0).sort((one, other) => timeOf(other) - timeOf(one));
}
