/**
 * The servers of `npm run bench:workers`. The argument is the options of `serve` as JSON: those with `workers` serve the module of the site.
 *
 * Next: ../workers.ts
 */

import { type ServeOptions, serve, type WorkersOptions } from '../../http/index.ts';
import { portOf } from '../../simplenet/index.ts';
import { announce } from '../site.ts';
import { site } from './hello-site.ts';

const options = JSON.parse(process.argv[2] as string) as ServeOptions | WorkersOptions;
if ('workers' in options) {
  const server = serve(new URL('./hello-site.js', import.meta.url), options);
  await server.ready;
  announce(portOf(server.address));
} else announce(portOf(serve(site, options).address));
