/**
 * The servers of `npm run bench:workers`. Arguments: the event loop, and how the site is served.
 *
 * Next: ../workers.ts
 */

import { type ServeOptions, serve } from '../../http/index.ts';
import { type Backend, portOf } from '../../simplenet/index.ts';
import { announce } from '../site.ts';
import { site } from './hello-site.ts';

const [backend, way] = process.argv.slice(2) as [Backend, string];
const options: ServeOptions = { backend };

switch (way) {
  case 'one worker':
  case 'two workers': {
    const server = serve(new URL('./hello-site.js', import.meta.url), {
      ...options,
      workers: way === 'one worker' ? 1 : 2,
    });
    await server.ready;
    announce(portOf(server.address));
    break;
  }
  case 'with metrics':
    announce(portOf(serve(site, { ...options, metrics: {} }).address));
    break;
  default:
    announce(portOf(serve(site, options).address));
}
