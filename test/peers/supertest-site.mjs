// supertest takes the URL of a server. It cannot take the server itself: it calls `server.address()`, which is a property here.

import supertest from 'supertest';

export const ask = (url, path) => supertest(url).get(path).expect(200);
