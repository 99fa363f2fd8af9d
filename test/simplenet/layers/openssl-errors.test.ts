import { test } from 'tap';
import { koffi } from '../../../simplenet/kernel/ffi.ts';
import { takeErrors } from '../../../simplenet/layers/openssl-errors.ts';
import { openSslFunctions } from '../../../simplenet/layers/openssl-functions.ts';

const symbols = koffi.load(null);
const newError = symbols.func('ERR_new', 'void', []);
const setError = symbols.func('void ERR_set_error(int library, int reason, const char *format, ...)');

test('an error without a text is named by its number', async (t) => {
  const c = openSslFunctions();
  takeErrors(c);
  newError();
  setError(100, 999, null); // a library and a reason that OpenSSL does not have
  const error = ((100 << 23) | 999).toString(16);
  t.same(takeErrors(c), { text: `error 0x${error}`, isOwn: false });
  t.equal(takeErrors(c), null, 'and the queue is empty');
});
