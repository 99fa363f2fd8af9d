// Sends messages of many sizes to an echo by the client of ws, and counts what comes back in order: node ws-echoes.mjs http://HOST/PATH

import { WebSocket } from 'ws';

const COUNT = 200;
const messages = Array.from({ length: COUNT }, (_, i) => `${i} ${'grüße '.repeat((i * i) % 1_009)}`);

for (const perMessageDeflate of [true, false]) {
  const socket = new WebSocket(process.argv[2].replace('http', 'ws'), { perMessageDeflate });
  let echoes = 0;
  socket.on('open', () => {
    for (const message of messages) socket.send(message);
  });
  socket.on('message', (data) => {
    if (data.toString() === messages[echoes]) echoes++;
    if (echoes === COUNT) socket.close(4_000);
  });
  const code = await new Promise((resolve, reject) => socket.on('close', resolve).on('error', reject));
  console.log(`${socket.extensions || 'no extension'}: ${echoes} echoes, then ${code}`);
}
