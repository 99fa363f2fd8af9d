/**
 * The module that workers of this command serve: the site of the arguments, which its supervisor passes on, with the log.
 *
 * Next: systemd.ts
 */

import { accessLog, type ServeOptions } from '../http/index.ts';
import { type CommandOptions, parseOptions } from './options.ts';
import { createReporter } from './reporter.ts';
import { siteOf } from './site.ts';
import { outlive } from './standard-streams.ts';

const chosen = parseOptions(process.argv.slice(2)) as CommandOptions; // the supervisor has parsed them already
const { stdout, stderr } = process;
outlive(stdout); // the module may write to it
outlive(stderr);
const { source } = await siteOf(chosen);
const onDone = chosen.log === 'none' ? undefined : accessLog({ format: chosen.log, to: stderr, signals: false });

export const options: ServeOptions = {
  onError: createReporter(chosen.log, (text) => stderr.write(text)).onError,
  onDone,
};
// biome-ignore lint/style/noDefaultExport: workers serve the default export of a module.
export default source;
