import { overTap } from './over-tap.ts';

overTap({ transferBytes: 100_000_000, wrkSeconds: 3, withChromium: true });
