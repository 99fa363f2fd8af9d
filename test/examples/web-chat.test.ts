/** web-chat without a browser: two guests talk, and one sees the other come and go. web-chat.long.ts has the page in Chromium. */

import { test } from 'tap';
import { printsAsInPage } from '../docs/pages.ts';
import { startExample } from '../support/examples.ts';
import { RawClient } from '../support/raw-client.ts';
import { upgradeRequest, WebSocketClient } from '../support/web-socket-client.ts';
import { TEXT } from '../support/web-socket-frames.ts';

interface Message {
  readonly type: string;
  readonly id?: number;
  readonly from?: string;
  readonly text?: string;
  readonly names?: readonly string[];
  readonly lines?: readonly Message[];
}

const messagesOf = (guest: WebSocketClient) => guest.texts.map((text) => JSON.parse(text) as Message);

test('two guests, presence, history, and what is not a guest', async (t) => {
  const program = startExample(t, 'web-chat', '0');
  const [, url = ''] = await program.prints(/chatting on (http:\S+)\n/);
  t.ok(printsAsInPage('npm run example -- web-chat', program.stdout), 'as docs/examples.md says');
  t.match(await (await fetch(url)).text(), /<script [^>]*chat\.js/);

  const address = { address: '127.0.0.1', port: Number(new URL(url).port) };
  const enter = (query: string) => WebSocketClient.open(t, { address }, `/chat?${query}`);
  const hears = (guest: WebSocketClient, what: string, isIt: (message: Message) => boolean) =>
    guest.until(() => messagesOf(guest).some(isIt), what);
  const say = (guest: WebSocketClient, text: string) => guest.send(TEXT, JSON.stringify({ type: 'say', text }));

  const ada = await enter('name=ada');
  say(ada, 'hello <b>world</b> 😀');
  await hears(ada, 'her own line', ({ type, text }) => type === 'line' && text === 'hello <b>world</b> 😀');
  const bob = await enter('name=bob');
  await hears(bob, 'what was said before', ({ type, lines }) => type === 'history' && lines?.[0]?.from === 'ada');
  await hears(ada, 'bob', ({ type, names }) => type === 'people' && String(names) === 'ada,bob');
  bob.send(TEXT, JSON.stringify({ type: 'typing' }));
  await hears(ada, 'that he is typing', ({ type, from }) => type === 'typing' && from === 'bob');
  say(bob, 'hello ada');
  await hears(ada, 'his line', ({ from, text }) => from === 'bob' && text === 'hello ada');
  const lines = messagesOf(ada).filter(({ type }) => type === 'line');
  t.same(
    lines.map(({ from }) => from),
    ['ada', 'bob'],
  );
  const again = await enter(`name=ada&since=${lines[0]?.id}`);
  await hears(again, 'only what is new', ({ type, lines: missed }) => type === 'history' && missed?.length === 1);

  again.close(1000);
  await again.untilClosed();
  bob.close(1000);
  await hears(ada, 'that he has left', ({ type, text }) => type === 'note' && text === 'bob has left');
  t.notOk(
    messagesOf(ada).some(({ text }) => text === 'ada has left'),
    'the other tab is still here',
  );

  const nobody = new RawClient(address.port).write(upgradeRequest('/chat?name=%00'));
  t.teardown(() => nobody.destroy());
  await nobody.until(() => nobody.text.includes('1 to 20 characters'), '400');
  t.match(nobody.text, /^HTTP\/1.1 400 /);
});
