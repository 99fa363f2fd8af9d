/** A module given as text, in a process of its own that counts as covered. */

import { Program } from './programs.ts';

export function inProcess(text: string): Program {
  return Program.script(text, { isCounted: true });
}
