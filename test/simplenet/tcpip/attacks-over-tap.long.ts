/** Attacks with raw frames over TAP devices, on a server that is a process of its own. besieged-over-tap.ts has a drawing of who is where. */

import { join } from 'node:path';
import t from 'tap';
import { atBridge, noBridge } from '../../support/network-namespace.ts';

const TIME_LIMIT_S = 240;

t.setTimeout(TIME_LIMIT_S * 1_000);

const program = join(import.meta.dirname, 'attacks-over-tap.js');
const [command, args] = atBridge([process.execPath, '--enable-source-maps', program, `--timeout=${TIME_LIMIT_S}`]);
await t.spawn(command, args, { skip: noBridge(), timeout: TIME_LIMIT_S * 1_000 }, 'attacks over TAP');
