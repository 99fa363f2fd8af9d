/**
 * CommandError: why the command ends, in one sentence for the person who typed it. It never has a stack: nothing is wrong with the code.
 *
 * Next: options.ts
 */

/** What was typed makes no sense. Typing it again cannot help. */
export const WRONG_USE = 2;
/** What was typed makes sense, but it cannot be done: no such file, a busy port, a module that throws. */
export const FAILED = 1;

export class CommandError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}
