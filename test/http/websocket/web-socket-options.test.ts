/** The options of webSocket: defaults, limits, and advice for what is misspelt. */

import { test } from 'tap';
import { webSocket } from '../../../http/index.ts';
import { defaultWebSocketSettings, webSocketSettings } from '../../../http/websocket/web-socket-options.ts';

test('defaults, and values at their bounds', async (t) => {
  t.same(webSocketSettings({}), defaultWebSocketSettings);
  t.same(webSocketSettings({ whenFull: undefined, origins: '*' }), { ...defaultWebSocketSettings, origins: '*' });
  for (const options of [
    { maxMessageBytes: 1 },
    { maxMessageBytes: 256 * 1_024 ** 2 },
    { maxPartialBytes: 1 },
    { maxPartialBytes: Number.MAX_SAFE_INTEGER },
    { maxQueuedBytes: 16 * 1_024 ** 2 },
    { idleTimeoutMs: 100 },
    { idleTimeoutMs: 86_400_000 },
    { idleTimeoutMs: Number.POSITIVE_INFINITY },
    { origins: ['https://shop.example', 'http://localhost:8080'] },
    { origins: () => true },
    { subprotocols: ['chat.v1', 'x'] },
    { whenFull: 'drop' as const },
  ]) {
    t.match(webSocketSettings(options), options);
  }
});

test('what makes no sense', async (t) => {
  const refused: readonly (readonly [object, RegExp])[] = [
    [{ maxMessageByte: 1 }, /unknown option 'maxMessageByte' of webSocket: did you mean 'maxMessageBytes'\?/],
    [{ maxMessageBytes: 0 }, /maxMessageBytes of webSocket must be a whole number from 1/],
    [{ maxMessageBytes: 256 * 1_024 ** 2 + 1 }, /maxMessageBytes/],
    [{ maxMessageBytes: '1' }, /maxMessageBytes/],
    [{ maxPartialBytes: 0 }, /maxPartialBytes of webSocket must be a whole number from 1/],
    [{ maxQueuedBytes: 16 * 1_024 ** 2 + 1 }, /maxQueuedBytes/],
    [{ idleTimeoutMs: 99 }, /idleTimeoutMs/],
    [{ idleTimeoutMs: 86_400_001 }, /idleTimeoutMs/],
    [{ whenFull: 'wait' }, /whenFull of webSocket must be 'drop' or 'close', not 'wait'/],
    [{ subprotocols: 'chat' }, /subprotocols of webSocket must be an array/],
    [{ subprotocols: ['a b'] }, /'a b' cannot name a subprotocol/],
    [{ origins: 'https://shop.example' }, /origins of webSocket must be/],
    [{ origins: ['shop.example'] }, /looks like 'https:\/\/shop.example', not like 'shop.example'/],
    [{ origins: ['https://shop.example/'] }, /looks like/],
    [{ origins: [1] }, /looks like/],
  ];
  for (const [options, message] of refused)
    t.throws(() => webSocketSettings(options as object), { message }, JSON.stringify(options));
  t.throws(() => webSocketSettings(null as unknown as object), /must be an object/);
});

test('callbacks are checked as well', async (t) => {
  t.throws(
    () => webSocket({ onmessage: () => {} } as object),
    /unknown option 'onmessage' of webSocket: did you mean 'message'/,
  );
  t.throws(() => webSocket({ open: 1 } as object), /open of webSocket must be a function, not 1/);
  t.throws(() => webSocket(null as unknown as object), /webSocket takes an object/);
  t.doesNotThrow(() => webSocket({ open: undefined } as object));
});
