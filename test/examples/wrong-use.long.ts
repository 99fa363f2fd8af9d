/** Examples that are started wrongly: each says in one line how it is used, or what is wrong. */

import { test } from 'tap';
import { startExample } from '../support/examples.ts';

type Start = readonly [args: readonly string[], message: string | RegExp];

const noPort = (text: string) => `'${text}' is not a port: a port is a number from 0 to 65535\n`;
const usageOf = (text: string) => `Usage: npm run example -- ${text}\n`;

const daytimeUsage = usageOf('daytime-query [-u] HOST:PORT');
const forwardUsage = usageOf('port-forward [ADDRESS:]PORT HOST:PORT');
const noAddress = /^'[^']*' is not an address such as 127\.0\.0\.1:80, \[::1\]:80 or localhost:80\n$/;
const anyUsage = /^Usage: [^\n]+\n$/;

const withPort = [
  'blocking-http',
  'chat',
  'daytime-server',
  'datagram-filter',
  'dns-server',
  'hello-client',
  'hello-server',
  'udp-echo-client',
  'udp-echo-server',
];
const wrongPorts: readonly Start[] = [
  [['abc'], noPort('abc')],
  [['99999'], noPort('99999')],
];

const wrongStarts: Readonly<Record<string, readonly Start[]>> = {
  ...Object.fromEntries(withPort.map((name) => [name, wrongPorts])),
  'daytime-query': [
    [[], daytimeUsage],
    [['-u'], daytimeUsage],
    [['-x', 'localhost:13'], daytimeUsage],
    [['localhost:13', 'localhost:13'], daytimeUsage],
    [['localhost'], noAddress],
    [['::1:13'], noAddress],
    [['[::1]'], noAddress],
    [['localhost:123456'], noAddress],
    [['127.0.0.1:65536'], noAddress],
    [['localhost:65536'], noAddress],
    [['no-such-host.invalid:13'], /^getaddrinfo [A-Z_]+ no-such-host\.invalid\n$/],
  ],
  'dns-lookup': [
    [[], anyUsage],
    [['a..b'], anyUsage],
    [['example.test', 'MX'], anyUsage],
    [[`${'x'.repeat(64)}.test`], anyUsage],
    [['example.test', 'A', '127.0.0.1:fifty'], anyUsage],
  ],
  'port-forward': [
    [[], forwardUsage],
    [['8080'], forwardUsage],
    [['8080', 'localhost:80', 'localhost:80'], forwardUsage],
    [['8080', 'localhost'], /^'[^']*' is not an address such as [^\n]+\n$/],
    [['a:b:1', '127.0.0.1:1'], /^'[^']*' is not an address such as [^\n]+\n$/],
    [['0', '127.0.0.1:'], /^'[^']*' is not an address such as [^\n]+\n$/],
    [['70000', '127.0.0.1:1'], /^'[^']*' is not an address such as [^\n]+\n$/],
    [['0', '127.0.0.1:70000'], /^'[^']*' is not an address such as [^\n]+\n$/],
  ],
  reuseport: [
    [['0', '0'], anyUsage],
    [['0', '65'], anyUsage],
    [['0', 'x'], anyUsage],
    [['0', '2', 'luck'], anyUsage],
    [['0', '2', 'toString'], anyUsage],
    [['70000'], noPort('70000')],
  ],
};

for (const [name, starts] of Object.entries(wrongStarts)) {
  test(name, async (t) => {
    for (const [args, message] of starts) {
      const { code, stdout, stderr } = await startExample(t, name, ...args).ends();
      t.same([code, stdout], [1, ''], args.join(' '));
      if (typeof message === 'string') t.equal(stderr, message);
      else t.match(stderr, message);
    }
  });
}
