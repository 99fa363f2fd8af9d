/**
 * A session in a signed cookie: the client keeps it, and cannot change it.
 *
 * Nothing is stored on the server. So a session cannot be ended before it expires, unless you keep a list of those that were. The cookie is
 * not secret: what it says, its owner can read. To change the secret, put a new one in front: the old one still counts for those who
 * are logged in.
 */

import { randomBytes } from 'node:crypto';
import { CookieSigner, HttpError, type Middleware, Router, StateKey, serve } from '../../http/index.ts';

/** Without secrets in the environment, sessions end with the process. */
const signer = new CookieSigner(process.env.SESSION_SECRETS?.split(' ') ?? [randomBytes(32)]);

const MAX_AGE_S = 86_400;
/** Behind TLS, name it `__Host-session`: then browsers send it over https alone, and no other host of your domain can set it. */
const COOKIE = 'session';

interface Session {
  readonly user: string;
  readonly expiresAt: number;
}

const SESSION = new StateKey<Session>('session');

/** Returns the session of a cookie, or null if it is not one of ours, or is too old. */
function sessionOf(cookie: string | undefined): Session | null {
  const text = signer.verify(COOKIE, cookie);
  if (text === null) return null;
  const session = JSON.parse(text) as Session; // we have written it
  return session.expiresAt > Date.now() ? session : null;
}

const onlyUsers: Middleware = (request, _response, next) => {
  const session = sessionOf(request.cookies.get(COOKIE));
  if (session === null) throw new HttpError(401, 'log in first');
  request.state.set(SESSION, session);
  return next();
};

/** Yours asks a database for a hash that scrypt has made. */
function isPassword(name: string | null, password: string | null): name is string {
  return name === 'ada' && password === 'lovelace';
}

const router = new Router();

router.post('/login', async (request, response) => {
  const form = await request.form();
  const user = form.get('name');
  if (!isPassword(user, form.get('password'))) throw new HttpError(403, 'wrong name or password');
  const session: Session = { user, expiresAt: Date.now() + MAX_AGE_S * 1_000 };
  const value = signer.sign(COOKIE, JSON.stringify(session));
  response.cookie(COOKIE, value, { maxAge: MAX_AGE_S }).redirect('/account', 303);
});

router.post('/logout', (_request, response) => {
  response.cookie(COOKIE, '', { maxAge: 0 }).redirect('/', 303);
});

router.use('/account', onlyUsers);
router.get('/account', ({ state }, response) => response.text(`Hello, ${state.require(SESSION).user}.\n`));

const server = serve(router, { port: process.env.PORT ?? 8080 });
console.log(server.url);
