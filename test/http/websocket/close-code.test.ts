/** Which close codes and reasons may be sent and received. */

import { test } from 'tap';
import { closePayload, isSendableCode, parseClose, WebSocketFault } from '../../../http/websocket/close-code.ts';

test('the codes that a close frame may have', async (t) => {
  const allowed = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
  const refused = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535, -1, 1000.5, Number.NaN];
  for (const code of allowed) t.ok(isSendableCode(code), `${code}`);
  for (const code of refused) t.notOk(isSendableCode(code), `${code}`);
});

function faultOf(...payload: number[]): number | null {
  const result = parseClose(Buffer.from(payload));
  return result instanceof WebSocketFault ? result.code : null;
}

test('the payload of a close frame', async (t) => {
  t.same(parseClose(Buffer.alloc(0)), { code: 1005, reason: '' });
  t.same(parseClose(Buffer.from([0x03, 0xe8])), { code: 1000, reason: '' });
  t.same(parseClose(Buffer.concat([Buffer.from([0x0f, 0xa0]), Buffer.from('grüße')])), { code: 4000, reason: 'grüße' });
  t.equal(faultOf(3), 1002);
  t.equal(faultOf(0x03, 0xed), 1002);
  t.equal(faultOf(0x03, 0xe8, 0xff), 1007);
});

test('what we send fits in a control frame', async (t) => {
  t.same(closePayload(1005, ''), Buffer.alloc(0));
  t.same(closePayload(1000, 'done'), Buffer.from([0x03, 0xe8, ...Buffer.from('done')]));
  t.equal(closePayload(1000, 'x'.repeat(123)).length, 125);
  t.equal(closePayload(1000, 'x'.repeat(124)).length, 125);
  t.equal(closePayload(1000, 'ä'.repeat(100)).length, 124); // not half a character
});
