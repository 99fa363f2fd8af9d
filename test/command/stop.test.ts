import { EventEmitter } from 'node:events';
import { test } from 'tap';
import { createReporter } from '../../command/reporter.ts';
import { SAME_PRESS_MS, type Signals, untilStopped } from '../../command/stop.ts';
import { type HttpRequest, type Server, serve } from '../../http/index.ts';
import { RawClient } from '../support/raw-client.ts';
import { until } from '../support/waiting.ts';

class Scene {
  readonly signals = new EventEmitter();
  readonly server: Server;
  said = '';
  nowMs = 1_000;
  /** Requests that wait for `answer`. */
  readonly waiting: (() => void)[] = [];
  readonly end: Promise<number>;
  isOver = false;

  constructor(noticeMs = 0) {
    this.server = serve((_request: HttpRequest, response) => {
      return new Promise<void>((resolve) => {
        this.waiting.push(() => {
          response.text('done');
          resolve();
        });
      });
    });
    const reporter = createReporter('common', (text) => {
      this.said += text;
    });
    const now = () => this.nowMs;
    this.end = untilStopped(this.server, this.signals as Signals, reporter, { noticeMs, now }).finally(() => {
      this.isOver = true;
    });
  }

  async ask(): Promise<RawClient> {
    const client = new RawClient(this.server.port as number);
    client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const asked = this.waiting.length + 1;
    await until(() => this.waiting.length === asked);
    return client;
  }
}

test('each signal stops a server that waits for nothing, with code 0', async (t) => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    const scene = new Scene();
    scene.signals.emit(signal);
    t.equal(await scene.end, 0, signal);
    t.equal(scene.said, 'Stopping.\n');
    t.same(scene.signals.eventNames(), [], 'no listener is left');
  }
});

test('Ctrl-C says what it waits for, and waits', async (t) => {
  const scene = new Scene();
  const client = await scene.ask();
  scene.signals.emit('SIGINT');
  t.equal(scene.said, 'Stopping: waiting for 1 response, 10 s at most. Ctrl-C again stops at once.\n');
  for (const answer of scene.waiting) answer();
  t.equal(await scene.end, 0);
  await until(() => client.isClosed || client.hasEnded);
  t.match(client.text, /done$/);
  client.socket.destroy();
});

test('a second Ctrl-C stops at once, with code 130', async (t) => {
  const scene = new Scene();
  const client = await scene.ask();
  scene.signals.emit('SIGINT');
  scene.nowMs += SAME_PRESS_MS;
  scene.signals.emit('SIGINT');
  t.equal(await scene.end, 130);
  await until(() => client.isClosed);
  t.equal(client.text, '');
});

test('what npm sends twice is one Ctrl-C, and a second SIGTERM is none', async (t) => {
  const scene = new Scene();
  const client = await scene.ask();
  scene.signals.emit('SIGTERM');
  scene.signals.emit('SIGTERM');
  scene.signals.emit('SIGINT');
  scene.nowMs += SAME_PRESS_MS - 1;
  scene.signals.emit('SIGINT');
  t.equal(scene.server.busyCount, 1);
  t.notOk(scene.isOver);
  for (const answer of scene.waiting) answer();
  t.equal(await scene.end, 0);
  t.match(scene.said, /^Stopping: [^\n]*\n$/);
  await until(() => client.hasEnded || client.isClosed);
  t.match(client.text, /done$/);
  client.socket.destroy();
});

const ANNOUNCED = 'Stopping in 60 s: until then it serves as before. Ctrl-C again ends that wait.\n';

test('with a notice: a signal announces, another one drains, and another Ctrl-C stops at once', async (t) => {
  const scene = new Scene(60_000);
  const first = await scene.ask();
  scene.signals.emit('SIGTERM');
  scene.signals.emit('SIGTERM');
  scene.nowMs += SAME_PRESS_MS - 1;
  scene.signals.emit('SIGINT');
  t.equal(scene.said, ANNOUNCED);
  t.same([scene.server.isStopping, scene.server.closing.aborted], [true, false]);
  const second = await scene.ask();
  scene.nowMs += 1;
  scene.signals.emit('SIGINT');
  const waiting = 'Stopping: waiting for 2 responses, 10 s at most. Ctrl-C again stops at once.\n';
  t.equal(scene.said, `${ANNOUNCED}${waiting}`);
  await until(() => scene.server.closing.aborted);
  scene.nowMs += SAME_PRESS_MS - 1;
  scene.signals.emit('SIGINT');
  t.equal(scene.server.busyCount, 2, 'npm sends the second one twice, too');
  scene.nowMs += 1;
  scene.signals.emit('SIGINT');
  t.equal(await scene.end, 130);
  t.equal(scene.said, `${ANNOUNCED}${waiting}`);
  for (const client of [first, second]) await until(() => client.isClosed);
});

test('with a notice: it drains when the notice is over, and says so then', async (t) => {
  const scene = new Scene(1);
  scene.signals.emit('SIGTERM');
  t.equal(await scene.end, 0);
  t.equal(scene.said, `${ANNOUNCED.replace('60', '0.001')}Stopping.\n`);
});

test('a server that stops by itself is a failure', async (t) => {
  const scene = new Scene();
  await scene.server.close();
  t.equal(await scene.end, 1);
  t.equal(scene.said, '');
});
