/** What `npm run fuzz -- --target tls` checks: the parser of ClientHellos alone, and the whole stream with OpenSSL in it. */

import { isDeepStrictEqual } from 'node:util';
import { acceptTls } from '../../simplenet/layers/accept-tls.ts';
import { decodeClientHello } from '../../simplenet/layers/client-hello.ts';
import { openHandles } from '../../simplenet/layers/openssl-handles.ts';
import type { SecureStream } from '../../simplenet/layers/tls-options.ts';
import { MemoryStream } from '../simplenet/layers/memory-stream.ts';
import type { Checks } from './fuzzer.ts';
import type { Input, Property } from './properties.ts';
import { converse, SCRIPT, serverContext } from './tls-conversation.ts';
import { tlsInputs } from './tls-inputs.ts';

const isScript = ({ bytes }: Input) => bytes[0] === SCRIPT;

/** RFC 8446 section 6, and RFC 6066 section 9. */
const ALERTS: readonly (number | null)[] = [null, 10, 22, 47, 50, 70, 112];
const MARGIN = Buffer.alloc(64, 0x16);

export const parserProperty = (decode: typeof decodeClientHello): Property => ({
  name: 'the parser decides once, by its bytes alone, and what it returns is well formed',
  check({ bytes, cuts }) {
    const decision = decode(bytes);
    const around = Buffer.concat([MARGIN, bytes, MARGIN]);
    const inside = decode(around.subarray(MARGIN.length), bytes.length);
    if (!isDeepStrictEqual(inside, decision)) return 'bytes around it change the decision';
    for (const cut of cuts) {
      const early = decode(bytes, cut);
      if (early !== null && !isDeepStrictEqual(early, decision)) return `after ${cut} bytes it has decided otherwise`;
    }
    if (decision === null) return null;
    if ('reason' in decision) return ALERTS.includes(decision.alert) ? null : `alert ${decision.alert}`;
    const { serverName, protocols, versions } = decision;
    if (serverName !== null && !/^[a-z0-9_.-]{1,253}$/.test(serverName)) return `the name ${serverName}`;
    if (protocols.some((name) => name === '' || name.length > 255) || versions.length === 0) return 'an empty list';
    return null;
  },
});

const stream: Property = {
  name: 'a stream takes any first bytes: it opens for nobody who has not shaken hands, ends once, and frees what it has made',
  async check({ bytes, cuts }) {
    const tls = serverContext();
    const before = openHandles().SSL;
    const events: string[] = [];
    const inner = new MemoryStream();
    let accepted: SecureStream | null = null;
    const below = acceptTls(tls, (of) => {
      accepted = of;
      return {
        onOpen: () => void events.push('open'),
        onData: () => void events.push('data'),
        onEnd: () => void events.push('end'),
        onClose: (_of, error) => void events.push(error === null ? 'closed' : 'failed'),
      };
    })(inner);
    let at = 0;
    for (const cut of cuts) {
      const piece = Buffer.from(bytes.subarray(at, cut));
      at = cut;
      below.onData(inner, piece);
      piece.fill(0xee);
      below.onDrain?.(inner);
    }
    const hasFailed = inner.ends.length > 0;
    if (inner.ends.length > 1) return `it ends below more than once: ${inner.ends}`;
    const isFaulty = 'reason' in (decodeClientHello(bytes) ?? {});
    if (isFaulty && !hasFailed) return 'it goes on with a hello that is no hello';
    if (isFaulty && openHandles().SSL !== before) return 'OpenSSL was asked about a hello that is no hello';
    below.onEnd?.(inner);
    below.onClose?.(inner, null);
    if (events.join() !== 'failed') return `the program gets ${events}`;
    if ((accepted as SecureStream | null)?.tls !== null) return 'there are keys without a handshake';
    const after = openHandles().SSL;
    return after === before ? null : `${after - before} SSL objects were not freed`;
  },
};

const conversation: Property = {
  name: 'whatever happens to records, the program gets a beginning of what was sent, and one end',
  check: ({ bytes }) => converse(bytes),
};

const onlyFor = (isFor: (input: Input) => boolean, property: Property): Property => ({
  name: property.name,
  check: (input) => (isFor(input) ? property.check(input) : null),
});

export const checks: Checks = {
  inputs: tlsInputs,
  fast: [
    parserProperty(decodeClientHello),
    onlyFor((input) => !isScript(input), stream),
    onlyFor(isScript, conversation),
  ],
  slow: [],
};
