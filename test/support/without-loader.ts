/**
 * Preloaded into the processes of `npm test` (loader-option.ts): takes the module hooks of tap out, and leaves those that a test registers.
 *
 * tap's hooks note which files a process loads. Only `tap --changed` asks for that; coverage works without it. Yet on Node before 24.13 they run in a thread
 * of their own, and each module is awaited from there, sent back as text, and all source maps that are still missing are looked up once more: to load
 * `http/` costs three times as much processor time with them as without.
 */

import module from 'node:module';

const { register } = module;

module.register = ((specifier: string | URL, ...others: never[]) => {
  if (!String(specifier).includes('/@tapjs/processinfo/')) register(specifier, ...others);
}) as typeof register;
