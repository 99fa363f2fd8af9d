/**
 * chat: guests who behave, by nc and by a client of our own, and one who does not read.
 */

import { type Test, test } from 'tap';
import { runExample } from '../support/examples.ts';
import { missing, Program } from '../support/programs.ts';
import { RawClient } from '../support/raw-client.ts';
import { rssBytesOf } from '../support/server-process.ts';

async function startChat(t: Test): Promise<[Program, number]> {
  const chat = runExample('chat', '0');
  t.teardown(() => chat.kill());
  const [, port] = await chat.prints(/chatting on 127\.0\.0\.1:(\d+)\n/);
  return [chat, Number(port)];
}

class Guest extends RawClient {
  async reads(text: string): Promise<void> {
    await this.until(() => this.text.includes(text), JSON.stringify(text));
  }
}

async function enter(t: Test, port: number, name: string): Promise<Guest> {
  const guest = new Guest(port);
  t.teardown(() => guest.destroy());
  guest.write(`${name}\n`);
  await guest.reads(`Welcome, ${name}.`);
  return guest;
}

test('two people talk with nc', { skip: missing('nc') }, async (t) => {
  const [chat, port] = await startChat(t);
  const nc = () => {
    const program = new Program('nc', ['-N', '127.0.0.1', String(port)]);
    t.teardown(() => program.kill());
    return program;
  };
  const ann = nc();
  ann.child.stdin?.write('ann\n');
  await ann.prints(/Welcome, ann/);
  const bob = nc();
  bob.child.stdin?.write('bob\n');
  await ann.prints(/\* bob has come\n/);
  await bob.prints(/Here are: ann\..*\nWelcome, bob/);
  ann.child.stdin?.write('good mor');
  ann.child.stdin?.write('ning\n');
  await bob.prints(/^ann: good morning\n/m);
  bob.child.stdin?.write('/quit\n');
  await bob.prints(/^Good bye\.\n$/m);
  bob.child.stdin?.end(); // nc waits for the end of what is typed
  t.equal((await bob.ends()).code, 0);
  await ann.prints(/\* bob has left: \/quit\n/);
  t.notMatch(ann.stdout, /ann: good/, 'nobody hears himself');
  ann.child.stdin?.end(); // -N: nc sends FIN and reads on
  t.match((await ann.ends()).stdout, /Good bye\.\n$/);
  chat.kill('SIGINT');
  t.same(await chat.ends().then(({ code, stderr }) => [code, stderr]), [0, '']);
});

test('names are taken once, and lines hold no control characters', async (t) => {
  const [, port] = await startChat(t);
  const ann = await enter(t, port, 'ann');
  const other = new Guest(port);
  t.teardown(() => other.destroy());
  for (const wrong of ['ann', '', 'two words', 'x'.repeat(17)]) {
    other.text = '';
    other.write(`${wrong}\n`);
    await other.reads('That is no name, or not yours.');
  }
  other.write(`${'é'.repeat(16)}\n`);
  await other.reads('Welcome, ');
  ann.write('\x1b[2J\x07boo\r\n');
  await other.reads('ann: [2Jboo\n');
});

test('a name is free again while its last owner’s connection still ends', async (t) => {
  const [, port] = await startChat(t);
  const ann = await enter(t, port, 'ann');
  const first = await enter(t, port, 'bob');
  first.write('/quit\n');
  await ann.reads('* bob has left: /quit\n');
  await enter(t, port, 'bob');
  first.destroy();
  const carl = await enter(t, port, 'carl');
  t.match(carl.text, 'Here are: ann, bob.', 'the second bob is still there');
});

test('a line has at most 1024 bytes', async (t) => {
  const [, port] = await startChat(t);
  const [ann, bob] = [await enter(t, port, 'ann'), await enter(t, port, 'bob')];
  bob.write(`${'x'.repeat(1024)}\n`);
  await ann.reads(`bob: ${'x'.repeat(1024)}\n`);
  bob.write('y'.repeat(1025)); // told before its end, which may never come
  await bob.reads('A line has at most 1024 bytes.\n');
  await ann.reads('* bob has left: talks too long\n');
  bob.write(`more\n`.repeat(1000));
  await bob.ended();
  t.notMatch(ann.text, 'bob: more');
});

test('a guest who does not read is dropped, and nobody waits for him', async (t) => {
  const [chat, port] = await startChat(t);
  const [ann, bob] = [await enter(t, port, 'ann'), await enter(t, port, 'bob')];
  const slow = await enter(t, port, 'slow');
  slow.socket.pause();
  const before = rssBytesOf(chat.child.pid as number);
  const lines = `${'x'.repeat(999)}\n`.repeat(100);
  let sent = 0;
  while (!bob.text.includes('* slow has left') && sent < 64_000_000) {
    bob.text = bob.text.slice(-100);
    ann.text = '';
    ann.write(lines);
    sent += lines.length;
    const end = bob.receivedBytes + lines.length;
    await bob.until(() => bob.receivedBytes >= end, 'what ann says');
  }
  await bob.reads('* slow has left: reads too slowly\n');
  t.ok(sent < 64_000_000, `after ${sent} bytes`);
  t.ok(rssBytesOf(chat.child.pid as number) - before < 64 * 1024 * 1024);
  slow.socket.resume();
  await slow.ended(); // libuv may take the reset of a paused connection for its end
  t.ok(slow.receivedBytes < sent);
});

test('wrong use is one line', async (t) => {
  const { code, stderr } = await runExample('chat', 'eighty').ends();
  t.same([code, stderr], [1, "'eighty' is not a port: a port is a number from 0 to 65535\n"]);
});
