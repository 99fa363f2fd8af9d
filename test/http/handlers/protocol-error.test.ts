import { test } from 'tap';
import {
  deniedCodeOf,
  inboundErrorOf,
  isProtocolError,
  protocolError,
  tunnelErrorOf,
} from '../../../http/handlers/protocol-error.ts';
import { abortErrorOf, ClientGoneError, HttpError } from '../../../http/http-error.ts';

test('a protocol error is a TypeError with an own code; its cause is an error below it', async (t) => {
  const cause = new Error('below');
  const error = protocolError('ERR_HTTP_TIMEOUT', 'late', cause);
  t.ok(error instanceof TypeError);
  t.same(
    [error.code, error.message, error.cause, Object.hasOwn(error, 'code')],
    ['ERR_HTTP_TIMEOUT', 'late', cause, true],
  );
  t.notOk('cause' in protocolError('ERR_HTTP_TIMEOUT', 'late'));
  t.ok(isProtocolError(error));
  for (const other of [null, 'x', new TypeError('x'), Object.assign(new TypeError('x'), { code: 'ERR_X' })]) {
    t.notOk(isProtocolError(other));
  }
  t.notOk(isProtocolError(Object.assign(new Error('x'), { code: 'ERR_HTTP_TIMEOUT' })));
});

test('what deny() sends: a code of the table, from any object; else the default', async (t) => {
  for (const code of ['REQUEST_REJECTED', 'REQUEST_CANCELLED', 'INTERNAL_ERROR', 'CONNECT_ERROR', 'GOAWAY']) {
    t.equal(deniedCodeOf({ code: `ERR_HTTP_${code}` }), `ERR_HTTP_${code}`);
  }
  for (const error of [undefined, null, 'x', {}, { code: 'ERR_HTTP_TIMEOUT' }, { code: 7 }, new Error('x')]) {
    t.equal(deniedCodeOf(error), 'ERR_HTTP_REQUEST_REJECTED');
  }
});

test('what a tunnel that is aborted sends', async (t) => {
  const cancelled = protocolError('ERR_HTTP_REQUEST_CANCELLED', 'enough');
  t.equal(tunnelErrorOf(cancelled), cancelled);
  for (const reason of [undefined, new Error('x'), protocolError('ERR_HTTP_REQUEST_REJECTED', 'x')]) {
    const error = tunnelErrorOf(reason);
    t.equal(error.code, 'ERR_HTTP_CONNECT_ERROR');
    t.equal(error.cause, reason);
  }
});

test('what errors of HTTP are called in the draft', async (t) => {
  const codeOf = (error: unknown) => inboundErrorOf(error)?.code ?? null;
  t.equal(codeOf(new HttpError(408, 'x')), 'ERR_HTTP_TIMEOUT');
  t.equal(codeOf(new HttpError(503, 'x')), 'ERR_HTTP_TIMEOUT');
  t.equal(codeOf(new HttpError(413, 'x')), 'ERR_HTTP_CONTENT_TOO_LARGE');
  t.equal(codeOf(new HttpError(400, 'x')), 'ERR_HTTP_PROTOCOL_ERROR');
  t.equal(codeOf(new ClientGoneError()), 'ERR_HTTP_CONNECTION_RESET');
  t.equal(codeOf(abortErrorOf(new ClientGoneError())), 'ERR_HTTP_CONNECTION_RESET');
  const late = Object.assign(new Error('late'), { code: 'ETIMEDOUT' });
  t.equal(codeOf(abortErrorOf(new ClientGoneError({ cause: late }))), 'ERR_HTTP_TIMEOUT');
  t.equal(codeOf(new Error('x')), null);
  const known = protocolError('ERR_HTTP_STREAM_RESET', 'x');
  t.equal(inboundErrorOf(known), known);
});
