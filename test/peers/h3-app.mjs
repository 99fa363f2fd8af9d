// An app on h3 v2, the server of Nitro and Nuxt, as its authors write it for any runtime.

import { deleteCookie, getCookie, getQuery, getRequestIP, H3, HTTPError, readBody, redirect, setCookie } from 'h3';

const app = new H3();

app.get('/', () => 'Hello h3');
app.get('/users/:id', (event) => ({ id: event.context.params.id, q: getQuery(event).q ?? null }));
app.post('/users', async (event) => {
  event.res.status = 201;
  return readBody(event);
});
app.get('/cookies', (event) => {
  setCookie(event, 'a', '1');
  deleteCookie(event, 'b');
  return getCookie(event, 'seen') ?? 'none';
});
app.get('/old', () => redirect('/'));
app.get('/stream', () => new Blob(['one ', 'two']).stream());
app.get('/address', (event) => getRequestIP(event));
app.get('/teapot', () => {
  throw new HTTPError({ status: 418, statusText: 'short and stout' });
});

export { app };
