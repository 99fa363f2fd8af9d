import { test } from 'tap';
import { koffi } from '../../../simplenet/kernel/ffi.ts';
import { failureOf, sentenceOf, takeErrors } from '../../../simplenet/layers/openssl-errors.ts';
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

test('a reason of OpenSSL is one of few kinds', async (t) => {
  const kind = (reason: string) => failureOf(sentenceOf(reason));
  t.equal(kind('tlsv1 alert unknown ca'), 'alert');
  t.equal(kind('unsupported protocol'), 'version');
  t.equal(kind('no suitable key share'), 'cipher');
  t.equal(kind('no application protocol'), 'alpn');
  t.equal(kind('certificate verify failed'), 'clientCertificate');
  t.equal(kind('bad extension'), 'other');
});
