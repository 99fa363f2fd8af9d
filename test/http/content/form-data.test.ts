/**
 * FormData of a whole body, beside that of Node's own fetch.
 *
 * Next: cookies.test.ts
 */

import fc from 'fast-check';
import { test } from 'tap';
import { formDataOf } from '../../../http/content/form-data.ts';
import { defaultLimits } from '../../../http/limits.ts';

const part = (disposition: string, content: string, more = '') =>
  `--b\r\nContent-Disposition: form-data; ${disposition}\r\n${more}\r\n${content}\r\n`;

const read = (text: string) => formDataOf(Buffer.from(text), 'b', defaultLimits);

/** The fields of a form, and the name, type and bytes of each file. */
async function listOf(form: FormData): Promise<unknown[]> {
  return Promise.all(
    [...form].map(async ([name, value]) =>
      typeof value === 'string'
        ? [name, value]
        : [name, value.name, value.type, [...new Uint8Array(await value.arrayBuffer())]],
    ),
  );
}

test('strings and files', async (t) => {
  const form = read(
    `${part('name=a', 'ä')}${part('name=f; filename=x.bin', 'ab', 'Content-Type: Image/PNG\r\n')}${part('name=g; filename=""', '')}${part('name=a', '')}--b--`,
  );
  t.same(await listOf(form), [
    ['a', 'ä'],
    ['f', 'x.bin', 'image/png', [97, 98]],
    ['g', '', 'text/plain', []],
    ['a', ''],
  ]);
});

test('no name is special', async (t) => {
  const form = read(`${part('name=__proto__', '1')}${part('name=constructor', '2')}--b--`);
  t.same([...form.keys()], ['__proto__', 'constructor']);
  t.equal(form.get('toString'), null);
});

test('a field that is not UTF-8 is refused with its place, and a file may hold any bytes', async (t) => {
  const bytes = Buffer.from(`${part('name=a; filename=f', '\xff')}${part('name=b', 'x\xff')}--b--`, 'latin1');
  t.throws(() => formDataOf(bytes, 'b', defaultLimits), {
    status: 400,
    message: `a field of the form is not valid UTF-8, at byte ${bytes.lastIndexOf(0xff)}`,
  });
});

test('a body that is malformed, and one above a limit', async (t) => {
  t.throws(() => read(part('name=a', '1')), { status: 400, message: /ends before its last boundary/ });
  t.throws(() => formDataOf(Buffer.from(`${part('name=a', '12')}--b--`), 'b', { ...defaultLimits, partBytes: 1 }), {
    status: 413,
    message: /1 bytes/,
  });
});

test('what fetch sends is read back', async (t) => {
  const text = fc
    .array(fc.constantFrom('a', '"', '\r\n', '\r', '%', 'ä', '\ud800', '\\x', '\\\\', ';', '=', '--'))
    .map((list) => list.join(''));
  const file = fc.tuple(fc.uint8Array({ maxLength: 20 }), fc.constantFrom('p.png', 'ü"x.txt', 'a;b'));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(text, fc.oneof(text, file)), { maxLength: 5 }), async (fields) => {
      const sent = new FormData();
      for (const [name, value] of fields) {
        if (typeof value === 'string') sent.append(name, value);
        else sent.append(name, new File([value[0]], value[1], { type: 'image/png' }));
      }
      const response = new Response(sent);
      const boundary = /boundary=(.*)$/.exec(response.headers.get('content-type') ?? '')?.[1] ?? '';
      const received = formDataOf(Buffer.from(await response.arrayBuffer()), boundary, defaultLimits);
      // On the wire every line end is CRLF, and what is half a character is U+FFFD.
      const wanted = JSON.stringify(await listOf(sent))
        .replace(/\\r\\n|\\r|\\n/g, '\\r\\n')
        .replaceAll('\\ud800', '\ufffd');
      const found = JSON.stringify(await listOf(received));
      if (wanted !== found) throw new Error(`${found}, not ${wanted}`);
    }),
    { numRuns: 300 },
  );
  t.pass();
});
