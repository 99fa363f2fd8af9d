import { overTap } from './over-tap.ts';

overTap({ transferBytes: 5_000_000, wrkSeconds: 1, withChromium: false });
