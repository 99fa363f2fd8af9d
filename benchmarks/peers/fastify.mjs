// The site on Fastify: its router, its serializers with their schemas, logging off.

import { Readable } from 'node:stream';
import fastifyStatic from '@fastify/static';
import fastify from 'fastify';
import { listen, site } from './node-server.mjs';

const { HELLO, LARGE, STREAM_CHUNK, STREAM_CHUNKS, recordOf, routes } = site;

const app = fastify();

app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

app.get('/hello', (_request, reply) => {
  reply.type('text/plain; charset=utf-8').send(HELLO);
});

app.post('/echo', (request, reply) => {
  reply.type('application/octet-stream').send(request.body);
});

app.get('/large', (_request, reply) => {
  reply.type('application/octet-stream').send(LARGE);
});

function* chunks() {
  for (let sent = 0; sent < STREAM_CHUNKS; sent++) yield STREAM_CHUNK;
}

app.get('/stream', (_request, reply) => {
  reply.type('text/plain; charset=utf-8').send(Readable.from(chunks(), { objectMode: false }));
});

if (process.env.FILES !== undefined) app.register(fastifyStatic, { root: process.env.FILES, prefix: '/files/' });

const text = { type: 'string' };
const nullable = { type: ['string', 'null'] };
const schema = {
  response: {
    200: {
      type: 'object',
      properties: {
        resource: text,
        id: nullable,
        item: nullable,
        title: text,
        price: { type: 'object', properties: { amount: { type: 'integer' }, currency: text } },
        isAvailable: { type: 'boolean' },
        tags: { type: 'array', items: text },
      },
    },
  },
};

for (const { method, path, resource } of routes) {
  app.route({
    method,
    url: path,
    schema,
    handler: (request, reply) => {
      reply.send(recordOf(resource, request.params));
    },
  });
}

await app.ready();
listen(app.server);
