/** Socket addresses: byte for byte what <sys/socket.h> says, and back. */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { AF_INET, AF_INET6, AF_UNIX } from '../../../simplenet/kernel/abi.ts';
import {
  decodeSocketAddress,
  encodeSocketAddress,
  familyOf,
  formatSocketAddress,
  parseSocketAddress,
  portOf,
  SOCKADDR_MAX_SIZE,
  type SocketAddress,
} from '../../../simplenet/kernel/socket-address.ts';
import { Random } from '../../simulation/random.ts';

function hex(address: SocketAddress): string {
  return encodeSocketAddress(address).toString('hex');
}

t.test('the bytes', async (t) => {
  for (const [address, family, bytes] of [
    [{ address: '127.0.0.1', port: 80 }, AF_INET, '0200 0050 7f000001 0000000000000000'],
    [{ address: '1.2.3.4', port: 0 }, AF_INET, '0200 0000 01020304 0000000000000000'],
    [{ address: '255.255.255.255', port: 65_535 }, AF_INET, '0200 ffff ffffffff 0000000000000000'],
    [{ address: '::1', port: 0x1234 }, AF_INET6, '0a00 1234 00000000 00000000000000000000000000000001 00000000'],
    [{ address: '2001:db8::8', port: 443 }, AF_INET6, '0a00 01bb 00000000 20010db8000000000000000000000008 00000000'],
    [{ address: 'fe80::1%3', port: 1 }, AF_INET6, '0a00 0001 00000000 fe800000000000000000000000000001 03000000'],
    [{ address: '::ffff:1.2.3.4', port: 1 }, AF_INET6, '0a00 0001 00000000 00000000000000000000ffff01020304 00000000'],
    [{ path: '/a' }, AF_UNIX, '0100 2f61 00'],
    [{ path: 'ü' }, AF_UNIX, '0100 c3bc 00'],
    [{ path: '\0a' }, AF_UNIX, '0100 0061'],
    [{ path: '\0a\0b' }, AF_UNIX, '0100 00610062'],
  ] as const) {
    const text = JSON.stringify(address);
    t.equal(familyOf(address), family, text);
    t.equal(hex(address), bytes.replaceAll(' ', ''), text);
    t.same(decodeSocketAddress(encodeSocketAddress(address), encodeSocketAddress(address).length), address, text);
  }
});

t.test('there and back for random addresses', async (t) => {
  const random = new Random(4);
  const wrong: SocketAddress[] = [];
  for (let i = 0; i < 5000; i++) {
    const port = random.below(65_536);
    const number = () => random.below(256);
    const group = () => (1 + random.below(0xffff)).toString(16);
    const address = random.pick<SocketAddress>([
      { address: `${number()}.${number()}.${number()}.${number()}`, port },
      { address: Array.from({ length: 8 }, group).join(':'), port },
      { address: `fe80::${group()}%${1 + random.below(999_999)}`, port },
      { path: `/tmp/${'x'.repeat(random.below(100))}` },
      { path: `\0${'x'.repeat(1 + random.below(100))}` },
    ]);
    const bytes = encodeSocketAddress(address);
    // As the kernel does it: into the front of a buffer that is larger and full of old bytes.
    const buffer = Buffer.alloc(SOCKADDR_MAX_SIZE, 0xa5);
    bytes.copy(buffer);
    if (JSON.stringify(decodeSocketAddress(buffer, bytes.length)) !== JSON.stringify(address)) wrong.push(address);
  }
  t.same(wrong, []);
});

t.test('every port', async (t) => {
  const wrong: number[] = [];
  for (let port = 0; port < 65_536; port++) {
    const bytes = encodeSocketAddress({ address: '1.2.3.4', port });
    if (bytes.readUInt16BE(2) !== port) wrong.push(port);
    const back = decodeSocketAddress(bytes, bytes.length);
    if (!('port' in back) || back.port !== port) wrong.push(port);
  }
  t.same(wrong, []);
});

t.test('a scope is a number, or the name of an interface that `indexOfInterface` looks up', async (t) => {
  const asked: string[] = [];
  const indexOfInterface = (name: string) => {
    asked.push(name);
    return 7;
  };
  const scopeOf = (address: string) => encodeSocketAddress({ address, port: 0 }, indexOfInterface).readUInt32LE(24);
  t.equal(scopeOf('fe80::1%eth0'), 7);
  t.equal(scopeOf('fe80::1%0'), 0);
  t.equal(scopeOf('fe80::1%123456789'), 123_456_789);
  t.equal(scopeOf('fe80::1'), 0);
  t.same(asked, ['eth0'], 'numbers are not looked up');
  t.equal(scopeOf('fe80::1%12345678901'), 7, 'too large for an index: it can only be a name');
  t.throws(() => encodeSocketAddress({ address: 'fe80::1%eth0', port: 0 }), {
    name: 'RangeError',
    message: "the scope 'eth0' must be a number here",
  });
  const nobody = () => {
    throw new Error('no such interface');
  };
  t.throws(() => encodeSocketAddress({ address: 'fe80::1%eth0', port: 0 }, nobody), { message: 'no such interface' });
});

t.test('an invalid address is refused', async (t) => {
  for (const port of [-1, 65_536, 1.5, Number.NaN, Infinity, '80', '', undefined, null, 80n, {}]) {
    t.throws(() => hex({ address: '1.2.3.4', port: port as number }), {
      name: 'RangeError',
      message: `a port is an integer from 0 to 65535, not ${String(port)}`,
    });
  }
  for (const address of ['localhost', '', '1.2.3', '300.1.1.1', '::g', '[::1]', '1.2.3.4:80']) {
    t.throws(() => hex({ address, port: 80 }), {
      name: 'RangeError',
      message: `'${address}' is not an IPv4 or IPv6 address (names are not looked up here)`,
    });
  }
  for (const address of [undefined, null, 42, Buffer.from('1.2.3.4')] as unknown[] as string[]) {
    t.throws(() => hex({ address, port: 80 }), { name: 'TypeError', message: /^an address is a str/ });
  }
  for (const path of ['', '\0', undefined, null, 42]) {
    t.throws(() => hex({ path: path as string }), {
      name: 'TypeError',
      message: 'the path of a Unix socket is missing',
    });
  }
  for (const path of ['/a\0', '/a\0b', 'a\0']) {
    t.throws(() => hex({ path }), { name: 'TypeError', message: 'the path of a Unix socket must not contain NUL' });
  }
  for (const address of [undefined, null, 80, '127.0.0.1', {}]) {
    t.throws(() => encodeSocketAddress(address as unknown as SocketAddress), Error);
  }
});

t.test('the longest path, and one byte more', async (t) => {
  for (const prefix of ['', '\0']) {
    const longest = prefix + 'x'.repeat(107 - prefix.length);
    const bytes = encodeSocketAddress({ path: longest });
    t.same(decodeSocketAddress(bytes, bytes.length), { path: longest });
    t.equal(bytes.length, 2 + 107 + (prefix === '' ? 1 : 0));
    t.throws(() => hex({ path: `${longest}x` }), {
      name: 'RangeError',
      message: `the path of a Unix socket must have at most 107 bytes, not 108: ${longest}x`,
    });
  }
  t.throws(() => hex({ path: 'ü'.repeat(54) }), { name: 'RangeError' }, 'bytes count, not characters');
});

t.test('addresses that the kernel may write', async (t) => {
  const buffer = Buffer.alloc(SOCKADDR_MAX_SIZE, 0xa5);
  t.same(decodeSocketAddress(buffer, 0), { path: '' }, 'nothing: an unbound Unix sender');
  buffer.writeUInt16LE(AF_UNIX, 0);
  t.same(decodeSocketAddress(buffer, 2), { path: '' }, 'a family and no name');
  buffer.fill('y', 2);
  t.same(decodeSocketAddress(buffer, 110), { path: 'y'.repeat(108) }, 'a path without its NUL');
  t.same(decodeSocketAddress(buffer, 111), { path: 'y'.repeat(108) }, 'and the length that includes the missing NUL');
  const path = Buffer.from('\x01\0/tmp/a\0garbage');
  t.same(decodeSocketAddress(path, path.length), { path: '/tmp/a' }, 'a path ends at its NUL');

  const elsewhere = Buffer.concat([Buffer.alloc(5), encodeSocketAddress({ address: '1.2.3.4', port: 5 })]);
  const view = new Uint8Array(elsewhere.buffer, elsewhere.byteOffset + 5, 16);
  t.same(decodeSocketAddress(view, 16), { address: '1.2.3.4', port: 5 }, 'a view into a larger buffer');

  for (const [family, length] of [
    [AF_INET, 15],
    [AF_INET6, 27],
    [17, 20],
    [0, 16],
  ] as const) {
    buffer.writeUInt16LE(family, 0);
    t.throws(() => decodeSocketAddress(buffer, length), {
      name: 'RangeError',
      message: `a socket address of family ${family} and ${length} bytes is not supported`,
    });
  }
});

t.test('for people', async (t) => {
  t.equal(formatSocketAddress({ address: '127.0.0.1', port: 80 }), '127.0.0.1:80');
  t.equal(formatSocketAddress({ address: '::1', port: 80 }), '[::1]:80');
  t.equal(formatSocketAddress({ address: 'fe80::1%2', port: 0 }), '[fe80::1%2]:0');
  t.equal(formatSocketAddress({ path: '/run/a.sock' }), 'unix:/run/a.sock');
  t.equal(formatSocketAddress({ path: '\0abstract' }), 'unix:@abstract');
  t.equal(formatSocketAddress({ path: '' }), 'unix:');
});

t.test('from people', async (t) => {
  for (const [text, address] of [
    ['127.0.0.1:80', { address: '127.0.0.1', port: 80 }],
    ['0.0.0.0:0', { address: '0.0.0.0', port: 0 }],
    ['[::1]:65535', { address: '::1', port: 65_535 }],
    ['[::ffff:1.2.3.4]:1', { address: '::ffff:1.2.3.4', port: 1 }],
    ['[fe80::1%2]:0', { address: 'fe80::1%2', port: 0 }],
    ['[fe80::1%eth0]:80', { address: 'fe80::1%eth0', port: 80 }],
    ['unix:/run/a.sock', { path: '/run/a.sock' }],
    ['unix:a:80', { path: 'a:80' }],
    ['unix: /a ', { path: ' /a ' }],
    ['unix:@abstract', { path: '\0abstract' }],
    ['unix:@@', { path: '\0@' }],
    ['unix:./@name', { path: './@name' }],
  ] as const) {
    t.same(parseSocketAddress(text), address, text);
    t.equal(formatSocketAddress(parseSocketAddress(text) as SocketAddress), text);
  }
});

t.test('text that is not an address is null', async (t) => {
  const addresses = ['', '127.0.0.1', ':80', '80', 'localhost:80', '127.1:80', '127.0.0.1.:80', '127.0.0.1:80:80'];
  const brackets = ['[]:80', '[::1]', '[::1]80', '[::1]:', '[::1', '::1', '::1:80', '[127.0.0.1]:80', '[[::1]]:80'];
  const zones = ['[::1%]:80', '127.0.0.1%1:80'];
  const ports = ['65536', '100000', '080', '+80', '-1', '8o', '', ' 80', '80 ', '0x50', '1e3', '8.0', '80\n', '٨٠'];
  const paths = ['unix:', 'unix:@', 'unix', 'UNIX:/a', ' unix:/a', '/run/a.sock'];
  const withPorts = ports.flatMap((port) => [`127.0.0.1:${port}`, `[::1]:${port}`]);
  for (const text of [...addresses, ...brackets, ...zones, ...withPorts, ...paths, ' 127.0.0.1:80', '127.0.0.1 :80']) {
    t.equal(parseSocketAddress(text), null, JSON.stringify(text));
  }
});

t.test('every address survives being written and read, every text is read as written or not at all', async (t) => {
  const byte = fc.integer({ min: 0, max: 255 });
  const internet = {
    address: fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      fc.tuple(fc.ipV6(), byte).map(([address, zone]) => `${address}%${zone}`),
    ),
    port: fc.integer({ min: 0, max: 65_535 }),
  };
  const paths = fc.string({ minLength: 1, unit: 'grapheme' });
  const unix = { path: paths.filter((path) => path !== '\0' && !path.startsWith('@')) };
  const plain = { noNullPrototype: true };
  const thereAndBack = fc.property(fc.oneof(fc.record(internet, plain), fc.record(unix, plain)), (address) => {
    assert.deepEqual(parseSocketAddress(formatSocketAddress(address)), address);
  });
  t.doesNotThrow(() => fc.assert(thereAndBack, { numRuns: 2000 }));
  const texts = fc.oneof(
    fc.string(),
    fc.string().map((text) => `unix:${text}`),
    fc.string({ unit: fc.constantFrom(...'0123456789.:[]%a') }),
    fc.tuple(fc.ipV4(), fc.string({ unit: fc.constantFrom(...'0123456789') })).map((parts) => parts.join(':')),
  );
  const asWritten = fc.property(texts, (text) => {
    const address = parseSocketAddress(text);
    if (address === null) return;
    assert.equal(formatSocketAddress(address), text);
    if (!('path' in address)) encodeSocketAddress(address, () => 1); // which throws where it is none
  });
  t.doesNotThrow(() => fc.assert(asWritten, { numRuns: 5000 }));
});

t.test('portOf', async (t) => {
  t.equal(portOf({ address: '::1', port: 80 }), 80);
  t.equal(portOf({ address: '127.0.0.1', port: 0 }), 0);
  t.throws(() => portOf({ path: '\0a' }), { name: 'TypeError', message: 'unix:@a has no port' });
});
