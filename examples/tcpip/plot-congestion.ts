/**
 * Congestion: the window and the round trip of a transfer, drawn as a picture, for CUBIC and for NewReno.
 *
 * The path carries 10 Mbit/s, with a queue of 64 KiB in front of its slowest part. The window grows until the queue overflows. The round trip
 * grows with the queue. Every choice has a seed, so the picture is the same each time.
 */

import { writeFileSync } from 'node:fs';
import type { StackOptions } from '../../simplenet/index.ts';
import { type Curve, chartOf } from '../support/chart.ts';
import { createExperiment, SERVER } from '../support/experiment.ts';

const SECONDS = 20;
const SAMPLE_MS = 20;
/** More than the path carries in that time. */
const BYTES = 32 * 1_048_576;

interface Transfer {
  readonly windows: [seconds: number, kibibytes: number][];
  readonly roundTrips: [seconds: number, milliseconds: number][];
  lostFrames: number;
  receivedBytes: number;
}

async function transfer(congestion: NonNullable<StackOptions['congestion']>): Promise<Transfer> {
  const result: Transfer = { windows: [], roundTrips: [], lostFrames: 0, receivedBytes: 0 };
  const { host, client, server } = await createExperiment({
    bytesPerSecond: 1_250_000,
    queueBytes: 65_536,
    isSilent: true,
    client: { congestion },
    onFrame(_frame, _from, fate) {
      if (fate === 'overflowed') result.lostFrames++;
    },
  });
  server.listen({ address: SERVER, port: 80 }, () => ({
    onData(_stream, bytes) {
      result.receivedBytes += bytes.length;
    },
  }));
  const stream = client.connect({ address: SERVER, port: 80 }, { onData: () => {} });
  stream.writeOwned(Buffer.alloc(BYTES));
  const startedAt = host.now();
  for (let ms = 0; ms <= SECONDS * 1_000; ms += SAMPLE_MS) {
    await host.run(startedAt + ms);
    const [report] = client.connections();
    if (report === undefined || report.smoothedRoundTripMs === null) continue;
    result.windows.push([ms / 1_000, report.congestionWindowBytes / 1_024]);
    result.roundTrips.push([ms / 1_000, report.smoothedRoundTripMs]);
  }
  return result;
}

const path = process.argv[2];
if (path === undefined) throw new Error('name the file: npm run example -- tcpip/plot-congestion OUT.svg');

const windows: Curve[] = [];
const roundTrips: Curve[] = [];
for (const [congestion, name, color] of [
  ['cubic', 'CUBIC', '#c0392b'],
  ['new-reno', 'NewReno', '#2471a3'],
] as const) {
  const result = await transfer(congestion);
  windows.push({ name, color, points: result.windows });
  roundTrips.push({ name, color, points: result.roundTrips });
  const megabits = (8 * result.receivedBytes) / (SECONDS * 1e6);
  console.log(`${name.padEnd(8)} ${megabits.toFixed(1)} Mbit/s, ${result.lostFrames} frames lost in the queue`);
}
writeFileSync(
  path,
  chartOf(
    'Congestion window and round trip of a transfer of 20 seconds',
    [
      { title: 'congestion window, KiB', curves: windows, lines: [0, 50, 100, 150, 200, 250] },
      { title: 'smoothed round trip, ms', curves: roundTrips, lines: [0, 40, 80, 120] },
    ],
    SECONDS,
  ),
);
