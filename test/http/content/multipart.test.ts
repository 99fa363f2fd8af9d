/**
 * The parts of a multipart body: the same at every split of the bytes, and those that another parser finds.
 *
 * Next: form-data.test.ts
 */

import { Busboy } from '@fastify/busboy';
import fc from 'fast-check';
import { test } from 'tap';
import { parseMediaType } from '../../../http/content/content-types.ts';
import { boundaryOf, MultipartParser } from '../../../http/content/multipart.ts';
import { defaultLimits, type MultipartLimits } from '../../../http/limits.ts';
import { cpuMsOf } from '../../support/machine-time.ts';

interface Part {
  readonly name: string;
  readonly filename: string | null;
  readonly contentType: string | null;
  readonly content: string;
}

interface Result {
  readonly parts: Part[];
  readonly error: string | null;
}

/** Parses pieces of a body, whose content is latin1. Parts before an error are kept. */
function parse(pieces: Iterable<Buffer>, boundary = 'b', limits: Partial<MultipartLimits> = {}): Result {
  const parser = new MultipartParser(boundary, { ...defaultLimits, ...limits });
  const parts: Part[] = [];
  let part = null as Part | null;
  try {
    for (const piece of pieces) {
      parser.feed(piece);
      for (let event = parser.next(); event !== null; event = parser.next()) {
        if (event.kind === 'part') {
          const { name, filename, contentType } = event.head;
          part = { name, filename, contentType, content: '' };
        } else if (part === null) {
          throw new Error(`${event.kind} outside of a part`);
        } else if (event.kind === 'data') {
          part = { ...part, content: part.content + event.bytes.toString('latin1') };
        } else {
          parts.push(part);
          part = null;
        }
      }
    }
    parser.finish();
    return { parts, error: null };
  } catch (error) {
    const { status, message } = error as { status?: number; message: string };
    return { parts, error: `${status} ${message}` };
  }
}

const whole = (text: string, limits: Partial<MultipartLimits> = {}) =>
  parse([Buffer.from(text, 'latin1')], 'b', limits);

function* cut(bytes: Buffer, places: readonly number[]): Generator<Buffer> {
  let from = 0;
  for (const place of [...places, bytes.length]) {
    yield bytes.subarray(from, place);
    from = place;
  }
}

const field = (name: string, content: string) =>
  `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${content}\r\n`;

const contentsOf = (text: string) => {
  const { parts, error } = whole(text);
  return error ?? parts.map(({ content }) => content);
};

test('fields and files', async (t) => {
  const file =
    '--b\r\ncontent-type:  image/png \r\nContent-Disposition: form-data; name=f; filename="p.png"\r\n\r\n\x89PNG\r\n';
  t.same(whole(`${field('a', 'one')}${file}${field('a', '')}--b--\r\n`), {
    error: null,
    parts: [
      { name: 'a', filename: null, contentType: null, content: 'one' },
      { name: 'f', filename: 'p.png', contentType: 'image/png', content: '\x89PNG' },
      { name: 'a', filename: null, contentType: null, content: '' },
    ],
  });
});

test('a preamble, an epilogue and blanks after delimiters', async (t) => {
  t.same(contentsOf(`This is MIME.\r\n--c\r\n\r\n${field('a', '1')}--b--`), ['1']);
  t.same(contentsOf(`\r\n${field('a', '1')}--b-- \t\r\nepilogue\r\n${field('x', 'y')}--b--`), ['1']);
  t.same(contentsOf(`${field('a', '1').replace('--b', '--b \t ')}--b--`), ['1']);
  t.same(contentsOf('--b--\r\n'), [], 'a form without fields');
});

test('content that looks like a delimiter', async (t) => {
  const contents = [
    '--b',
    '\r\n--',
    '\r\n-',
    '\r',
    '\n',
    '\r\r\n',
    '\r\n--a\r\n',
    '\n--b\n',
    '--b--',
    '\r\n\r\n-b',
    '-\r\n--',
    '\r\r\n-',
  ];
  for (const content of contents.slice(1)) {
    if (content === '--b--') continue;
    t.same(contentsOf(`${field('a', content)}${field('c', '2')}--b--`), [content, '2'], JSON.stringify(content));
  }
  t.same(contentsOf(`${field('a', 'x--b')}--b--`), ['x--b']);
  t.same(contentsOf(`${field('a', 'x--b--')}--b--`), ['x--b--']);
});

test('a part without content may end at its empty line', async (t) => {
  // RFC 2046: the CRLF of the delimiter can be that of the empty line.
  const part = '--b\r\nContent-Disposition: form-data; name=a\r\n\r\n';
  t.same(contentsOf(`${part}--b--`), ['']);
  t.same(contentsOf(`${part}${part}--b--`), ['', '']);
});

test('what is refused', async (t) => {
  const head = '--b\r\nContent-Disposition: form-data; name=a\r\n';
  const cases: [text: string, error: string][] = [
    ['', '400 the multipart body ends before its first part, at byte 0'],
    ['hello', '400 the multipart body ends before its first part, at byte 5'],
    ['--', '400 the multipart body ends before its first part, at byte 2'],
    ['--b', '400 the multipart body ends before its last boundary, at byte 3'],
    [head, '400 the multipart body ends before its last boundary, at byte 45'],
    [`${head}\r\nabc`, '400 the multipart body ends before its last boundary, at byte 50'],
    [`${head}\r\nabc\r\n--b`, '400 the multipart body ends before its last boundary, at byte 55'],
    [`${head}\r\nabc\r\n--b-`, '400 the multipart body ends before its last boundary, at byte 56'],
    ['--bc\r\n', '400 a line that begins with the boundary and goes on, at byte 3 of the multipart body'],
    ['--b\n', '400 a line that begins with the boundary and goes on, at byte 3 of the multipart body'],
    ['--b\rx', '400 a line that begins with the boundary and goes on, at byte 3 of the multipart body'],
    ['--b-x', '400 a line that begins with the boundary and goes on, at byte 3 of the multipart body'],
    ['--b--x', '400 a line that begins with the boundary and goes on, at byte 5 of the multipart body'],
    ['--b --', '400 a line that begins with the boundary and goes on, at byte 4 of the multipart body'],
    [
      `${head}\r\nabc\r\n--bc`,
      '400 a line that begins with the boundary and goes on, at byte 55 of the multipart body',
    ],
    ['--b\r\n\r\n', '400 no Content-Disposition in the part at byte 5'],
    ['--b\r\nContent-Type: a/b\r\n\r\n', '400 no Content-Disposition in the part at byte 5'],
    [`${head} folded\r\n\r\n`, '400 a field line without a name and a colon, at byte 45 of the multipart body'],
    [`${head}: x\r\n\r\n`, '400 a field line without a name and a colon, at byte 45 of the multipart body'],
    [`${head}X : x\r\n\r\n`, '400 a field line without a name and a colon, at byte 45 of the multipart body'],
    [`${head}X\r\n\r\n`, '400 a field line without a name and a colon, at byte 45 of the multipart body'],
    [`${head}X: a\nY: b\r\n\r\n`, '400 a control character in a field line, at byte 45 of the multipart body'],
    [`${head}X: a\0\r\n\r\n`, '400 a control character in a field line, at byte 45 of the multipart body'],
    [`${head}X: \xff\r\n\r\n`, '400 a field of a part is not valid UTF-8, at byte 48'],
    [
      `${head}Content-disposition: form-data; name=b\r\n`,
      '400 a field of a part that comes twice, at byte 45 of the multipart body',
    ],
    [
      `${head}Content-Type: a/b\r\ncontent-type: a/b\r\n`,
      '400 a field of a part that comes twice, at byte 64 of the multipart body',
    ],
    [`${head}Content-Transfer-Encoding: base64\r\n\r\n`, '400 a Content-Transfer-Encoding in the part at byte 5'],
    [
      '--b\r\nContent-Disposition: attachment\r\n\r\n',
      '400 a type other than form-data in Content-Disposition of the part at byte 5',
    ],
  ];
  for (const [text, error] of cases) {
    t.equal(whole(text).error, error, JSON.stringify(text));
    const bytes = Buffer.from(text, 'latin1');
    t.equal(parse(cut(bytes, [...bytes.keys()])).error, error, `${JSON.stringify(text)}, byte by byte`);
  }
  t.same(contentsOf(`${head}Content-Transfer-Encoding: BINARY\r\n\r\nx\r\n--b--`), ['x'], 'which changes no byte');
});

test('lines that end in LF alone are no delimiters', async (t) => {
  const text = `${field('a', '1')}--b--\r\n`.replaceAll('\r\n', '\n');
  t.match(whole(text).error, /^400 a line that begins with the boundary and goes on/);
});

test('limits, and one more', async (t) => {
  const three = `${field('a', '')}${field('b', '')}${field('c', '')}--b--`;
  t.equal(whole(three, { partCount: 3 }).error, null);
  t.equal(whole(three, { partCount: 2 }).error, '413 a form of more than 2 parts');
  const ten = `${field('a', '123456789')}${field('a', '1234567890')}--b--`;
  t.equal(whole(ten, { partBytes: 10 }).error, null);
  t.equal(whole(ten, { partBytes: 9 }).error, '413 more than 9 bytes in the part at byte 65');
  for (const parameter of ['name="äb"', 'name=a; filename="äb"']) {
    const named = Buffer.from(`--b\r\nContent-Disposition: form-data; ${parameter}\r\n\r\n\r\n--b--`);
    t.equal(parse([named], 'b', { partNameBytes: 3 }).error, null);
    t.equal(parse([named], 'b', { partNameBytes: 2 }).error, '413 a name of more than 2 bytes in the part at byte 5');
  }
  const line = 'Content-Disposition: form-data; name=a\r\nX: y\r\n';
  const fields = Buffer.from(`--b\r\n${line}\r\n1\r\n--b--`);
  const bound = line.length;
  for (const places of [[], [...fields.keys()]]) {
    t.equal(parse(cut(fields, places), 'b', { partHeaderBytes: bound }).error, null);
    const error = `413 fields of more than ${bound - 1} bytes in the part at byte 5`;
    t.equal(parse(cut(fields, places), 'b', { partHeaderBytes: bound - 1 }).error, error);
  }
});

test('field lines without an end are refused when they are too long, and take no more memory', async (t) => {
  const parser = new MultipartParser('b', defaultLimits);
  parser.feed(Buffer.from('--b\r\n'));
  const feed = () => {
    for (let i = 0; i < 9; i++) {
      parser.feed(Buffer.alloc(1_024, 'x'));
      parser.next();
    }
  };
  t.throws(feed, { status: 413, message: 'fields of more than 8192 bytes in the part at byte 5' });
});

test('the boundary has 1 to 70 characters', async (t) => {
  const of = (value: string) => boundaryOf(parseMediaType(`multipart/form-data; boundary="${value}"`) as never);
  t.equal(of("a'()+_,-./:=? b"), "a'()+_,-./:=? b");
  t.equal(of('a'.repeat(70)), 'a'.repeat(70));
  for (const value of ['', 'a'.repeat(71), 'a ', ' ', 'a*b', 'ä']) {
    t.throws(
      () => of(value),
      { status: 400, message: 'the boundary is not 1 to 70 of the characters of RFC 2046' },
      value,
    );
  }
  const none = parseMediaType('multipart/form-data') as never;
  t.throws(() => boundaryOf(none), { status: 400, message: 'multipart/form-data without a boundary' });
});

// What a body is made of: whole parts, and pieces of delimiters and lines in any order.
const nearMisses = [
  '\r\n--b',
  '--b',
  '\r\n--',
  '\r\n-',
  '\r\n',
  '\r',
  '\n',
  '-',
  '--',
  'b',
  '\r\r\n--b',
  '\r\n--b--',
  ' ',
  'x',
  '\0',
  '\xff',
];
const wildBody = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        ...nearMisses,
        'Content-Disposition: form-data; name=a',
        'Content-Type: a/b',
        ':',
        field('a', 'x'),
        '\r\n\r\n',
      ),
      fc.string({ maxLength: 3 }),
    ),
    { maxLength: 14 },
  )
  .map((pieces) => Buffer.from(pieces.join(''), 'latin1'));

/** A form as a browser would send it: no content holds the delimiter. */
const contents = fc.array(fc.constantFrom(...nearMisses.filter((miss) => miss !== '\r\n--b' && miss !== '\r\n--b--')), {
  maxLength: 12,
});
const form = fc
  .array(fc.tuple(fc.constantFrom('a', '__proto__', 'ä', ''), fc.option(fc.constantFrom('p.png', 'é', '')), contents), {
    maxLength: 4,
  })
  .map((parts) =>
    parts
      .map(([name, filename, pieces]) => ({ name, filename, content: pieces.join('') }))
      .filter(({ content }) => !`\r\n${content}\r\n`.includes('\r\n--b')),
  );

function wireOf(parts: readonly { name: string; filename: string | null; content: string }[]): Buffer {
  const pieces = parts.flatMap(({ name, filename, content }) => [
    Buffer.from(`--b\r\nContent-Disposition: form-data; name="${name}"`),
    Buffer.from(filename === null ? '' : `; filename="${filename}"\r\nContent-Type: image/png`),
    Buffer.from(`\r\n\r\n${content}\r\n`, 'latin1'),
  ]);
  return Buffer.concat([...pieces, Buffer.from('--b--\r\n')]);
}

test('the same parts, and the same error, at every split', async (t) => {
  const cuts = fc.array(fc.nat(200), { maxLength: 5 });
  const limits = { partBytes: 20, partHeaderBytes: 60, partCount: 3 };
  fc.assert(
    fc.property(fc.oneof(wildBody, form.map(wireOf)), cuts, fc.boolean(), (bytes, places, isLimited) => {
      const given = isLimited ? limits : {};
      const wanted = JSON.stringify(parse([bytes], 'b', given));
      const sorted = places.filter((place) => place <= bytes.length).sort((a, b) => a - b);
      if (JSON.stringify(parse(cut(bytes, sorted), 'b', given)) !== wanted) return false;
      return JSON.stringify(parse(cut(bytes, [...bytes.keys()]), 'b', given)) === wanted;
    }),
    { numRuns: 2_000 },
  );
  t.pass();
});

test('a form cut in two at each byte', async (t) => {
  const bytes = wireOf([
    { name: 'a', filename: null, content: '\r\n--\r\n--\r' },
    { name: 'ä', filename: 'ü.png', content: '' },
    { name: 'b', filename: '', content: '\r' },
  ]);
  const wanted = parse([bytes]);
  t.equal(wanted.parts.length, 3);
  for (let place = 0; place <= bytes.length; place++) t.same(parse(cut(bytes, [place])), wanted, `at ${place}`);
});

/** The parts that busboy finds, with latin1 content. */
function busboyParts(bytes: Buffer): Promise<Part[]> {
  const parts: Part[] = [];
  const busboy = new Busboy({
    headers: { 'content-type': 'multipart/form-data; boundary=b' },
    isPartAFile: (_, __, filename) => filename !== undefined,
  });
  busboy.on('field', (name, content) => parts.push({ name, filename: null, contentType: null, content }));
  busboy.on('file', (name, stream, filename, _encoding, contentType) => {
    const pieces: Buffer[] = [];
    const index = parts.push({ name, filename, contentType, content: '' }) - 1;
    stream.on('data', (piece: Buffer) => pieces.push(piece));
    stream.on('end', () => {
      parts[index] = { ...(parts[index] as Part), content: Buffer.concat(pieces).toString('latin1') };
    });
  });
  return new Promise((resolve, reject) => {
    busboy.on('error', reject);
    busboy.on('finish', () => resolve(parts));
    busboy.end(bytes);
  });
}

test('it finds the parts that busboy finds', async (t) => {
  const asUtf8 = (parts: readonly Part[]) =>
    parts.map((part) =>
      part.filename === null ? { ...part, content: Buffer.from(part.content, 'latin1').toString() } : part,
    );
  await fc.assert(
    fc.asyncProperty(form, async (given) => {
      const sent = given.filter(({ name, filename }) => name !== '' && filename !== '');
      if (sent.length === 0) return;
      const bytes = wireOf(sent);
      const ours = parse([bytes]);
      t.equal(ours.error, null);
      const theirs = await busboyParts(bytes);
      const sorted = (parts: readonly Part[]) => parts.map((part) => JSON.stringify(part)).sort();
      if (JSON.stringify(sorted(asUtf8(ours.parts))) !== JSON.stringify(sorted(theirs))) {
        throw new Error(`${JSON.stringify(asUtf8(ours.parts))} and ${JSON.stringify(theirs)}`);
      }
    }),
    { numRuns: 300 },
  );
});

test('bodies that are made to be slow', async (t) => {
  const boundary = 'a'.repeat(70);
  const start = `--${boundary}\r\nContent-Disposition: form-data; name=a\r\n\r\n`;
  for (const piece of [
    'a',
    '\r',
    '\r\n',
    '\r\n--',
    `\r\n--${boundary.slice(1)}`,
    `\r\n--${boundary.slice(1)}b`,
    '-a',
    '\n--a',
  ]) {
    const bytes = Buffer.concat([Buffer.from(start), Buffer.alloc(4_000_000, piece)]);
    const places = Array.from({ length: 60 }, (_, i) => (i + 1) * 65_536);
    let error: string | null = '';
    const tookMs = await cpuMsOf(async () => {
      error = parse(cut(bytes, places), boundary).error;
    });
    t.match(error, /^400 the multipart body ends before its last boundary/);
    t.ok(tookMs < 1_000, `${JSON.stringify(piece.slice(0, 8))}: ${Math.round(tookMs)} ms for 4 MB`);
  }
});
