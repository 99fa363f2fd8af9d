/** The page of web-chat.ts: what a browser loads. Nothing is put into HTML: names and lines are set as text, so no guest can write markup for the others. */

export const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>web-chat</title>
<link rel="stylesheet" href="/chat.css">
<body>
<form id="door">
  <h1>web-chat</h1>
  <label for="name">Your name</label>
  <input id="name" maxlength="20" required autocomplete="nickname" autofocus>
  <button>Come in</button>
</form>
<main id="room" hidden>
  <header>
    <h1>web-chat</h1>
    <span id="state" role="status">connecting</span>
  </header>
  <aside aria-label="Who is here"><h2>Here now</h2><ul id="people"></ul></aside>
  <ol id="lines" aria-live="polite" aria-label="Messages"></ol>
  <p id="typing" aria-live="polite"></p>
  <form id="form">
    <input id="text" maxlength="1000" placeholder="Write something" autocomplete="off" aria-label="Message">
    <button>Send</button>
  </form>
</main>
<script src="/chat.js"></script>
</body>
</html>
`;

export const STYLE = `
:root { color-scheme: light dark; --back: #f4f5f7; --card: #fff; --ink: #1c1e21; --soft: #6b7280; --own: #2563eb; --line: #e3e5e9 }
@media (prefers-color-scheme: dark) { :root { --back: #14161a; --card: #1e2127; --ink: #e8eaed; --soft: #9aa1ac; --own: #3b76f0; --line: #2c3038 } }
* { box-sizing: border-box; margin: 0 }
[hidden] { display: none !important }
body { height: 100dvh; display: grid; place-items: center; background: var(--back); color: var(--ink); font: 16px/1.45 system-ui, sans-serif }
h1 { font-size: 1.15rem } h2 { font-size: .8rem; color: var(--soft); font-weight: 600; margin-bottom: .5rem }
input, button { font: inherit; padding: .65rem .9rem; border-radius: .7rem; border: 1px solid var(--line); background: var(--card); color: inherit }
input { min-width: 0 }
button { background: var(--own); border-color: var(--own); color: #fff; font-weight: 600; cursor: pointer }
:focus-visible { outline: 2px solid var(--own); outline-offset: 1px }
#door { display: grid; gap: .8rem; width: min(20rem, 90vw); padding: 2rem; background: var(--card); border-radius: 1rem; border: 1px solid var(--line) }
#room { width: min(60rem, 100vw); height: min(46rem, 100dvh); display: grid; grid-template: auto 1fr 1.6rem auto / 12rem 1fr; background: var(--card); border: 1px solid var(--line);
  border-radius: 1rem; overflow: hidden }
header { grid-column: 1 / -1; display: flex; justify-content: space-between; align-items: center; padding: .9rem 1.2rem; border-bottom: 1px solid var(--line) }
#state { font-size: .85rem; color: var(--soft) }
#state::before { content: ''; display: inline-block; width: .6rem; height: .6rem; margin-right: .45rem; border-radius: 50%; background: #d97706 }
#state.open::before { background: #16a34a }
aside { grid-row: 2 / 5; padding: 1rem 1.2rem; border-right: 1px solid var(--line); overflow: auto }
#people { list-style: none; padding: 0 } #people li { display: flex; align-items: center; gap: .5rem; padding: .2rem 0; overflow-wrap: anywhere }
.face { flex: none; display: inline-grid; place-items: center; width: 1.7rem; height: 1.7rem; border-radius: 50%; color: #fff; font-size: .8rem; font-weight: 700 }
#lines { list-style: none; padding: 1rem 1.2rem; overflow-y: auto; display: flex; flex-direction: column; gap: .15rem }
#lines li { max-width: 78%; align-self: flex-start }
#lines li.note { align-self: center; color: var(--soft); font-size: .82rem; margin: .4rem 0 }
#lines .who { display: flex; align-items: center; gap: .45rem; margin-top: .7rem; font-size: .82rem; color: var(--soft) }
#lines .said { display: inline-block; margin-top: .15rem; padding: .5rem .8rem; border-radius: .3rem 1rem 1rem 1rem; background: var(--back); overflow-wrap: anywhere; white-space: pre-wrap }
#lines li.own { align-self: flex-end; text-align: right }
#lines li.own .who { justify-content: flex-end }
#lines li.own .said { background: var(--own); color: #fff; border-radius: 1rem .3rem 1rem 1rem; text-align: left }
#typing { grid-column: 2; padding: 0 1.2rem; color: var(--soft); font-size: .85rem }
#form { grid-column: 2; display: grid; grid-template-columns: 1fr auto; gap: .6rem; padding: .8rem 1.2rem 1.1rem }
@media (max-width: 40rem) { #room { grid-template-columns: 1fr; border: 0; border-radius: 0; height: 100dvh } aside { display: none } #typing, #form { grid-column: 1 } }
`;

export const SCRIPT = `
const $ = (id) => document.getElementById(id);
const FIRST_WAIT_MS = 500, LONGEST_WAIT_MS = 10_000, TYPING_MS = 3_000;
let socket = null, name = '', lastId = 0, waitMs = FIRST_WAIT_MS, lastAuthor = '', unread = 0, typedAt = 0, typingTimer = 0;

function face(who) {
  let hash = 0;
  for (const char of who) hash = (hash * 31 + char.codePointAt(0)) % 360;
  const span = document.createElement('span');
  span.className = 'face';
  span.textContent = [...who][0].toUpperCase();
  span.style.background = 'hsl(' + hash + ' 55% 45%)';
  return span;
}

function add(className, ...parts) {
  const lines = $('lines');
  const isAtEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 60;
  const item = document.createElement('li');
  item.className = className;
  item.append(...parts);
  lines.append(item);
  if (isAtEnd) lines.scrollTop = lines.scrollHeight;
}

function text(tag, className, content) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = content;
  return element;
}

function note(content) {
  lastAuthor = '';
  add('note', content);
}

const show = {
  line({ id, from, text: said, at }) {
    if (id <= lastId) return; // it came before the connection broke
    lastId = id;
    const parts = [text('div', 'said', said)];
    if (from !== lastAuthor) {
      const who = text('div', 'who', '');
      const time = new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
      who.append(face(from), from + ' · ' + time);
      parts.unshift(who);
    }
    lastAuthor = from;
    add(from === name ? 'own' : '', ...parts);
    $('typing').textContent = '';
    if (document.hidden && from !== name) document.title = '(' + ++unread + ') web-chat';
  },
  history({ lines }) {
    for (const line of lines) show.line(line);
    $('lines').scrollTop = $('lines').scrollHeight;
  },
  people({ names }) {
    $('people').replaceChildren(...names.map((each) => {
      const item = document.createElement('li');
      item.append(face(each), each === name ? each + ' (you)' : each);
      return item;
    }));
  },
  note: ({ text: said }) => note(said),
  typing({ from }) {
    $('typing').textContent = from + ' is typing …';
    clearTimeout(typingTimer);
    typingTimer = setTimeout(() => { $('typing').textContent = ''; }, TYPING_MS);
  },
};

function state(word, isOpen) {
  $('state').textContent = word;
  $('state').classList.toggle('open', isOpen);
}

function connect() {
  state('connecting', false);
  const url = new URL('/chat?' + new URLSearchParams({ name, since: lastId }), location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  socket = new WebSocket(url);
  socket.onopen = () => { waitMs = FIRST_WAIT_MS; state('connected', true); };
  socket.onmessage = ({ data }) => { const message = JSON.parse(data); show[message.type](message); };
  socket.onclose = ({ code, reason }) => {
    state(code === 1001 ? 'the server restarts' : 'not connected: trying again', false);
    setTimeout(connect, waitMs * (0.5 + Math.random())); // at different times, or all would come back at once
    waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS);
  };
}

function enter(as) {
  name = as;
  localStorage.setItem('name', as);
  $('door').hidden = true;
  $('room').hidden = false;
  $('text').focus();
  connect();
}

function send(message) {
  if (socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify(message));
  return true;
}

$('door').onsubmit = (event) => {
  event.preventDefault();
  const as = $('name').value.trim();
  if (as !== '') enter(as);
};
$('form').onsubmit = (event) => {
  event.preventDefault();
  const said = $('text').value.trim();
  if (said !== '' && send({ type: 'say', text: said })) $('text').value = ''; // else it stays for the next try
};
$('text').oninput = () => {
  const now = Date.now();
  if (now - typedAt < TYPING_MS / 2) return;
  typedAt = now;
  send({ type: 'typing' });
};
document.onvisibilitychange = () => {
  if (document.hidden) return;
  unread = 0;
  document.title = 'web-chat';
};
const given = new URLSearchParams(location.search).get('name');
if (given !== null) enter(given);
else $('name').value = localStorage.getItem('name') ?? '';
`;
