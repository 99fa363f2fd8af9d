/** The trace of a stack: a line for what a program and its connections tell each other. */

import { once } from 'node:events';
import { test } from 'tap';
import { createWire } from '../../../simplenet/tcpip/link/simulated-wire.ts';
import { createStack } from '../../../simplenet/tcpip/stack.ts';

test('calls and callbacks of a stream, with the address of its peer', async (t) => {
  const [left, right] = createWire();
  const lines: string[] = [];
  const client = createStack({ link: left, address: '10.9.0.1/24', trace: (line) => lines.push(`client: ${line}`) });
  const server = createStack({ link: right, address: '10.9.0.2/24', trace: (line) => lines.push(`server: ${line}`) });
  server.listen({ address: '10.9.0.2', port: 80 }, () => ({
    onData(stream, bytes) {
      if (`${bytes}` === 'leave') stream.abort();
      else stream.write(Buffer.from('a "response" that is longer than what is shown\r\n'));
    },
  }));
  const closed = new EventTarget();
  const talk = async (text: string): Promise<string> => {
    let port = 0;
    client.connect(
      { address: '10.9.0.2', port: 80 },
      {
        onOpen(stream) {
          port = (stream.localAddress as { port: number }).port;
          stream.write(Buffer.from(text));
        },
        onData: (stream) => stream.end(),
        onClose: () => closed.dispatchEvent(new Event('close')),
      },
    );
    await once(closed, 'close');
    return String(port);
  };
  const ports = [await talk('hello'), await talk('leave')];
  t.same(
    lines.map((line) => ports.reduce((text, port, i) => text.replace(`:${port} `, `:${'AB'[i]} `), line)),
    [
      'client: 10.9.0.2:80 write("hello", 5)',
      'server: 10.9.0.1:A onData("hello", 5)',
      'server: 10.9.0.1:A write("a \\"response\\" that is longer than"..., 48)',
      'client: 10.9.0.2:80 onData("a \\"response\\" that is longer than"..., 48)',
      'client: 10.9.0.2:80 end()',
      'server: 10.9.0.1:A close()',
      'client: 10.9.0.2:80 close()',
      'client: 10.9.0.2:80 write("leave", 5)',
      'server: 10.9.0.1:B onData("leave", 5)',
      'server: 10.9.0.1:B abort()',
      'client: 10.9.0.2:80 close()',
    ],
  );
  client.close();
  server.close();
});

test('a file that is sent', async (t) => {
  const [link] = createWire();
  const lines: string[] = [];
  const stack = createStack({ link, address: '10.9.0.1/24', trace: (line) => lines.push(line) });
  const stream = stack.connect({ address: '10.9.0.2', port: 80 }, { onData: () => {} });
  t.equal(stream.sendFile(0, 5, 10), false, 'the connection does not stand');
  t.equal(stream.queuedBytes, 10);
  t.same(lines, ['10.9.0.2:80 sendFile(0, 5, 10)']);
  stream.abort();
  stack.close();
});
