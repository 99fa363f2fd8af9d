#!/usr/bin/env node
/**
 * The program `simplenet`: runs the command, and ends the process with its exit code.
 *
 * It ends the process because a served module may hold timers and connections of its own, which would keep a stopped server alive.
 *
 * Next: ../server.ts
 */

import { run } from './run.ts';

process.exit(await run(process.argv.slice(2), process));
