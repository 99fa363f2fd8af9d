/**
 * Attack: many users at the same time, whose handlers keep the user in an AsyncLocalStorage, and some users who say no name.
 *
 * Their requests arrive in the same turns, on the same connections, behind each other and beside each other. No handler may
 * begin with the store of another request, and none may lose its own while it waits.
 */

import { type ContextAnswer, contextManners } from '../support/context-site.ts';
import { RawClient } from '../support/raw-client.ts';
import { ServerProcess } from '../support/server-process.ts';
import type { Attack, Finding } from './attack.ts';

const CONNECTIONS = 10;
const PIPELINED = 10;
const ROUNDS = { short: 10, full: 200 };

/** Every so many users are anonymous. */
const ANONYMOUS = 5;

function requestOf(number: number): string {
  const manner = contextManners[number % contextManners.length];
  const user = number % ANONYMOUS === 0 ? 'anonymous' : `user-${number}`;
  return `POST /context/${manner}/${user} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody`;
}

function answersIn(text: string): ContextAnswer[] {
  return [...text.matchAll(/\{"user":[^}]*\}/g)].map(([json]) => JSON.parse(json) as ContextAnswer);
}

export const attack: Attack = {
  title: 'Requests of the same turn, whose handlers keep the user in an AsyncLocalStorage by enterWith().',

  async run({ backend, size }): Promise<readonly Finding[]> {
    const server = await ServerProcess.start({ backend });
    const clients = Array.from({ length: CONNECTIONS }, () => new RawClient(server.port));
    const answers: ContextAnswer[] = [];
    let number = 0;
    try {
      await Promise.all(clients.map((client) => client.connected()));
      for (let round = 1; round <= ROUNDS[size]; round++) {
        for (const client of clients) {
          client.text = '';
          client.write(Array.from({ length: PIPELINED }, () => requestOf(number++)).join(''));
        }
        await Promise.all(clients.map((client) => client.until(() => client.answers === round * PIPELINED, 'answers')));
        await Promise.all(
          clients.map((client) => client.until(() => answersIn(client.text).length === PIPELINED, 'whole answers')),
        );
        for (const client of clients) answers.push(...answersIn(client.text));
      }
    } finally {
      for (const client of clients) client.destroy();
      server.kill();
    }
    const strangers = answers.filter(({ before }) => before !== null).length;
    const wrong = answers.filter(({ user, after }) => after !== (user === 'anonymous' ? null : user)).length;
    return [
      { what: 'requests', value: answers.length, atMost: Number.POSITIVE_INFINITY },
      { what: 'handlers that began with the store of another request', value: strangers, atMost: 0 },
      { what: 'handlers that later found another store than their own', value: wrong, atMost: 0 },
    ];
  },
};
