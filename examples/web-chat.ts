/**
 * A chat for browsers, over WebSocket: who is here, what was said before, and a page that connects again by itself.
 *
 * One topic carries everything, and each message is encoded once for all guests. A guest that reads too slowly is cut (`whenFull: 'close'`, the default): its page
 * connects again and asks for the lines after the last one that it has (`since`), so it misses nothing and holds no memory here. The same happens when the server restarts, after
 * 1001. The history is bounded, and so is each line.
 *
 * Names are not checked: anybody may call himself anything. A real application takes the name from a session, in `upgrade`.
 */

import { HttpError, Router, type ServerWebSocket, secureHeaders, serve, webSocket } from '../http/index.ts';
import { portFrom } from './support/port.ts';
import { PAGE, SCRIPT, STYLE } from './support/web-chat-page.ts';

const MAX_HISTORY = 100;
const MAX_MESSAGE_BYTES = 8 * 1024;
const MAX_TEXT_LENGTH = 1_000;
const NAME = /^[^\p{Control}]{1,20}$/u;
const ROOM = 'room';

interface Line {
  /** Higher than those before, also after a restart. */
  readonly id: number;
  readonly from: string;
  readonly text: string;
  readonly at: number;
}

interface Guest {
  readonly name: string;
  readonly since: number;
}

const history: Line[] = [];
/** By name: in how many tabs. */
const guests = new Map<string, number>();
let lastId = Date.now();

function tell(message: object): void {
  chat.publish(ROOM, JSON.stringify(message));
}

function tellPeople(): void {
  tell({ type: 'people', names: [...guests.keys()].sort() });
}

function say(from: string, text: string): void {
  const line: Line = { id: Math.max(lastId + 1, Date.now()), from, text, at: Date.now() };
  lastId = line.id;
  history.push(line);
  if (history.length > MAX_HISTORY) history.shift();
  tell({ type: 'line', ...line });
}

function take(ws: ServerWebSocket<Guest>, data: string | Buffer): void {
  let message: { readonly type?: unknown; readonly text?: unknown } | null;
  try {
    message = JSON.parse(data.toString());
  } catch {
    ws.close(1007, 'not JSON');
    return;
  }
  const text = message?.text;
  if (message?.type === 'typing') ws.publish(ROOM, JSON.stringify({ type: 'typing', from: ws.data.name }));
  else if (message?.type === 'say' && typeof text === 'string' && text.trim() !== '') {
    say(ws.data.name, text.trim().slice(0, MAX_TEXT_LENGTH));
  }
}

const chat = webSocket(
  {
    upgrade(request): Guest {
      const name = request.query.get('name')?.trim() ?? '';
      if (!NAME.test(name)) throw new HttpError(400, 'a name has 1 to 20 characters');
      return { name, since: Number(request.query.get('since')) };
    },
    open(ws) {
      const { name, since } = ws.data;
      ws.send(JSON.stringify({ type: 'history', lines: history.filter(({ id }) => id > since) }));
      ws.subscribe(ROOM);
      const tabs = guests.get(name) ?? 0;
      guests.set(name, tabs + 1);
      tellPeople();
      if (tabs === 0) tell({ type: 'note', text: `${name} has come` });
    },
    message: take,
    close(ws) {
      const { name } = ws.data;
      const tabs = (guests.get(name) ?? 1) - 1;
      if (tabs > 0) guests.set(name, tabs);
      else {
        guests.delete(name);
        tell({ type: 'note', text: `${name} has left` });
      }
      tellPeople();
    },
  },
  { maxMessageBytes: MAX_MESSAGE_BYTES, idleTimeoutMs: 60_000 },
);

const router = new Router()
  .use(secureHeaders())
  .get('/', (_request, response) => response.html(PAGE))
  .get('/chat.css', (_request, response) => response.header('Content-Type', 'text/css; charset=utf-8').text(STYLE))
  .get('/chat.js', (_request, response) =>
    response.header('Content-Type', 'text/javascript; charset=utf-8').text(SCRIPT),
  )
  .get('/chat', chat);

const server = serve(router, { port: portFrom(process.argv[2] ?? '8080') });
console.log(`chatting on ${server.url}`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void server.close({ graceMs: 2_000 }));
