// The site as a Fetch app on simplenet, with its FastResponse, or with the Response of the platform (RESPONSE=native).

import { createApp } from './fetch-site.mjs';
import { serveApp, simplenet } from './simplenet.mjs';

serveApp(createApp(process.env.RESPONSE === 'native' ? Response : simplenet.fastResponse()));
