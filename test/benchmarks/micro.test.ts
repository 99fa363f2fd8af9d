/** micro: that what is measured beside ours does the same work. */

import { test } from 'tap';
import { llhttpForRequests } from '../../benchmarks/micro.ts';

test('llhttp reads requests, and requests only', async (t) => {
  const verdictOn = (text: string) => {
    const llhttp = llhttpForRequests();
    const verdict = llhttp.execute(Buffer.from(text));
    llhttp.destroy();
    return verdict;
  };
  t.equal(verdictOn('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), 0);
  t.not(verdictOn('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'), 0, 'an answer, which HTTP_BOTH would take');
});
