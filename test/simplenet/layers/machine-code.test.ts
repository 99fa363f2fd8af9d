import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { test } from 'tap';
import { koffi } from '../../../simplenet/kernel/ffi.ts';
import { http11Selector, keyLogWriter } from '../../../simplenet/layers/machine-code.ts';

const OK = 0;
const ALERT_FATAL = 2;

const AlpnSelector = koffi.proto('int', ['int64', 'void *', 'void *', 'void *', 'uint32', 'int64']);

interface Answer {
  readonly result: number;
  readonly selected: string | null;
}

function select(list: Uint8Array): Answer {
  const out = new BigUint64Array(1);
  const outLength = new Uint8Array([0xaa, 0xbb]);
  const bytes = Buffer.from(list); // as OpenSSL does, without a byte behind it that we know
  const call = koffi.decode(BigInt(http11Selector()), AlpnSelector) as (...args: unknown[]) => number;
  const result = call(0, out, outLength, bytes, bytes.length, 0);
  if (outLength[1] !== 0xbb) throw new Error('it writes more than one byte');
  if (result !== OK) return { result, selected: null };
  const at = Number((out[0] as bigint) - koffi.address(bytes));
  return { result, selected: bytes.subarray(at, at + (outLength[0] as number)).toString() };
}

/** The same in JavaScript. */
function reference(list: Uint8Array): Answer {
  for (let at = 0; at < list.length; ) {
    const length = list[at++] as number;
    if (length > list.length - at) break;
    const name = Buffer.from(list.subarray(at, at + length)).toString('latin1');
    if (name === 'http/1.1') return { result: OK, selected: name };
    at += length;
  }
  return { result: ALERT_FATAL, selected: null };
}

const encode = (...names: string[]) =>
  Buffer.concat(names.map((name) => Buffer.concat([Buffer.of(name.length), Buffer.from(name)])));

test('the function for ALPN selects http/1.1 and nothing else', async (t) => {
  t.same(select(encode('http/1.1')), { result: OK, selected: 'http/1.1' });
  t.same(select(encode('h2', 'http/1.1')), { result: OK, selected: 'http/1.1' });
  t.same(select(encode('h2', 'http/1.0', 'http/1.1', 'spdy')), { result: OK, selected: 'http/1.1' });
  for (const names of [[], ['h2'], ['http/1.0'], ['http/1.1x'], ['HTTP/1.1'], ['xhttp/1.1']]) {
    t.same(select(encode(...names)), { result: ALERT_FATAL, selected: null }, names.join());
  }
  t.same(select(Buffer.from('\x08http/1.')), { result: ALERT_FATAL, selected: null }, 'cut off');
  t.same(select(Buffer.from('\xffhttp/1.1', 'latin1')), { result: ALERT_FATAL, selected: null }, 'too long');
});

test('it reads any list as the same code in JavaScript does', async (t) => {
  const name = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('http/1.1', 'h2', 'http/1.0', 'http/1.1 ', '') },
    { weight: 1, arbitrary: fc.string({ maxLength: 20 }).map((text) => text.replace(/[^ -~]/g, '?')) },
  );
  const wellFormed = fc.array(name, { maxLength: 8 }).map((names) => encode(...names));
  const any = fc.uint8Array({ maxLength: 64 });
  const cut = fc.tuple(wellFormed, fc.nat(64)).map(([list, length]) => list.subarray(0, length));
  fc.assert(
    fc.property(fc.oneof(wellFormed, any, cut), (list) => {
      t.same(select(list), reference(list));
    }),
    { numRuns: 500 },
  );
});

test('the function for secrets appends its line to a BIO', async (t) => {
  const symbols = koffi.load(null);
  const bioNew = symbols.func('BIO_new', 'int64', ['int64']);
  const bioMem = symbols.func('BIO_s_mem', 'int64', []);
  const bioRead = symbols.func('BIO_read', 'int', ['int64', 'void *', 'int']);
  const bioFree = symbols.func('BIO_free', 'int', ['int64']);
  const bio = bioNew(bioMem()) as number;
  const write = koffi.decode(BigInt(keyLogWriter(bio)), koffi.proto('void', ['int64', 'const char *'])) as (
    ssl: number,
    line: string,
  ) => void;
  write(0, 'CLIENT_RANDOM 01 02');
  write(0, 'MORE 03 04');
  const bytes = Buffer.alloc(100);
  t.equal(bytes.toString('latin1', 0, bioRead(bio, bytes, bytes.length) as number), 'CLIENT_RANDOM 01 02MORE 03 04');
  bioFree(bio);
});

test('the pages of the functions can be executed and not written', async (t) => {
  const address = BigInt(http11Selector());
  const lines = readFileSync('/proc/self/maps', 'utf8').split('\n');
  const mapping = lines.find((line) => {
    const [start, end] = line.split(/[- ]/, 2).map((part) => BigInt(`0x${part || 0}`));
    return start !== undefined && end !== undefined && start <= address && address < end;
  });
  t.match(mapping, /^\S+ r-xp /);
});
