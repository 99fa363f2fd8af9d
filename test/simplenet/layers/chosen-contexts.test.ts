import { test } from 'tap';
import { ChosenContexts, MAX_CHOSEN_CONTEXTS } from '../../../simplenet/layers/chosen-contexts.ts';
import { openssl } from '../../../simplenet/layers/openssl.ts';
import { openHandles } from '../../../simplenet/layers/openssl-handles.ts';
import { createTlsContext } from '../../../simplenet/layers/tls-context.ts';
import { ecdsa, rsa } from '../../support/certificates.ts';

test('a context is made once for each certificate, and as many are kept as there may be', async (t) => {
  const before = openHandles().SSL_CTX;
  const open = () => openHandles().SSL_CTX - before;
  const chosen = new ChosenContexts(() => openssl.SSL_CTX_new('server'));
  const certificates = Array.from({ length: MAX_CHOSEN_CONTEXTS + 1 }, () => ({ ...ecdsa }));
  const [first, second] = certificates as [typeof ecdsa, typeof ecdsa];
  const contexts = certificates.slice(0, MAX_CHOSEN_CONTEXTS).map((certificate) => chosen.of(certificate));
  t.equal(open(), MAX_CHOSEN_CONTEXTS);
  t.equal(chosen.of(first), contexts[0], 'the same');
  chosen.of(certificates.at(-1) as typeof ecdsa);
  t.equal(open(), MAX_CHOSEN_CONTEXTS);
  t.equal(chosen.of(first), contexts[0], 'it was used a moment ago');
  t.not(chosen.of(second), contexts[1], 'it was not, so it had to go');
  for (const context of chosen.all()) openssl.SSL_CTX_free(context);
  t.equal(open(), 0);
});

test('chosen certificates get the ticket key, and are freed with their context', async (t) => {
  const before = openHandles().SSL_CTX;
  const context = createTlsContext({ ...ecdsa, serverNames: () => rsa });
  const certificate = context.choose('a.example');
  t.equal(certificate, rsa);
  t.equal(context.choose(null), null);
  const settings = context.contextFor('a.example', rsa);
  t.equal(context.contextFor('b.example', rsa), settings);
  t.not(context.contextFor(null), settings);
  context.setTicketKeys(Buffer.alloc(80, 1));
  t.throws(() => context.contextFor('a.example', { cert: rsa.cert, key: ecdsa.key }), RangeError);
  context.replace({ ...ecdsa });
  t.equal(openHandles().SSL_CTX - before, 1);
  t.equal(context.choose('a.example'), null);
  context.close();
  t.equal(openHandles().SSL_CTX, before);
});
