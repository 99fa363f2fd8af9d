#!/usr/bin/env node
/**
 * The program `simplenet`: runs the command, and ends the process with its exit code.
 *
 * It ends the process because a served module may hold timers and connections of its own, which would keep a stopped server alive.
 *
 * An output that breaks does not end it: a reader that has gone (`simplenet 2>&1 | head`), a terminal that was closed and a full disk are no reason to stop serving.
 *
 * Next: ../server.ts
 */

import { run } from './run.ts';
import { outlive, taken } from './standard-streams.ts';

outlive(process.stdout);
outlive(process.stderr);
const code = await run(process.argv.slice(2), process);
await taken(process.stderr);
process.exit(code);
