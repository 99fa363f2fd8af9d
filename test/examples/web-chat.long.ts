/** web-chat in a browser: two tabs talk, one sees the other come and go, and both come back when the server restarts. */

import { test } from 'tap';
import { Chromium } from '../support/chromium-tabs.ts';
import { runExample } from '../support/examples.ts';
import { hasProgram, type Program } from '../support/programs.ts';

async function start(port: string): Promise<[Program, string]> {
  const program = runExample('web-chat', port);
  const [, url = ''] = await program.prints(/chatting on (http:\S+)\n/);
  return [program, url];
}

const say = (text: string) =>
  `document.getElementById('text').value = ${JSON.stringify(text)}; document.getElementById('form').requestSubmit()`;
const has = (id: string, text: string) =>
  `document.getElementById('${id}').innerText.includes(${JSON.stringify(text)})`;
const isOpen = `document.getElementById('state').className === 'open'`;

test('two tabs, presence, history and a restart', { timeout: 240_000 }, async (t) => {
  if (!hasProgram('chromium')) return void t.pass('skipped: chromium is not installed');
  const [first, url] = await start('0');
  t.teardown(() => first.kill());
  const browser = new Chromium();
  t.teardown(() => browser.close());
  const ada = await browser.open(`${url}/?name=ada`);
  await ada.until(isOpen);
  await ada.evaluate(say('hello <b>world</b> grüße 😀'));
  await ada.until(has('lines', 'hello <b>world</b> grüße 😀'));

  const bob = await browser.open(`${url}/?name=bob`);
  await bob.until(has('lines', 'hello <b>world</b>'));
  t.equal(await bob.evaluate(`document.querySelector('#lines b')`), null, 'a line is text');
  await ada.until(has('people', 'bob'));
  await bob.until(has('people', 'ada'));
  await bob.evaluate(`document.getElementById('text').dispatchEvent(new Event('input'))`);
  await ada.until(has('typing', 'bob is typing'));
  await bob.evaluate(say('hello ada'));
  await ada.until(has('lines', 'hello ada'));
  t.equal(await bob.evaluate(`document.querySelectorAll('#lines .own').length`), 1);

  first.kill('SIGTERM');
  await first.ends();
  await ada.until(`!(${isOpen})`);
  const [second] = await start(new URL(url).port);
  t.teardown(() => second.kill());
  await ada.until(isOpen);
  await bob.until(isOpen);
  await ada.evaluate(say('still here'));
  await bob.until(has('lines', 'still here'));
  t.equal(await bob.evaluate(`document.querySelectorAll('#lines .said').length`), 3, 'no line came twice');
  await ada.close();
  await bob.until(has('lines', 'ada has left'));
  await bob.until(`!(${has('people', 'ada')})`);
});
