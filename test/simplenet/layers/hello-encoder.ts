/** Writes a ClientHello, for tests: the right one for what it should say, and any wrong one by its parts. */

export interface HelloParts {
  readonly serverName?: string | null;
  readonly protocols?: readonly string[];
  readonly versions?: readonly number[] | null;
  readonly legacyVersion?: number;
  readonly ticket?: Uint8Array | null;
  readonly sessionId?: Uint8Array;
  readonly ciphers?: Uint8Array;
  readonly compression?: Uint8Array;
  /** Behind those of the other parts: type and data. */
  readonly more?: readonly (readonly [type: number, data: Uint8Array])[];
  /** Ends before the extensions, as TLS before 1.3 allows. */
  readonly withoutExtensions?: boolean;
}

export function number(value: number, byteLength: number): Buffer {
  const bytes = Buffer.alloc(byteLength);
  bytes.writeUIntBE(value, 0, byteLength);
  return bytes;
}

export function vector(lengthBytes: number, ...pieces: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(pieces);
  return Buffer.concat([number(content.length, lengthBytes), content]);
}

export function serverNameData(name: string): Buffer {
  return vector(2, Buffer.from([0]), vector(2, Buffer.from(name, 'latin1')));
}

export function encodeBody(parts: HelloParts): Buffer {
  const { serverName = null, protocols = [], versions = null, ticket = null, more = [] } = parts;
  const extensions: (readonly [number, Uint8Array])[] = [];
  if (serverName !== null) extensions.push([0, serverNameData(serverName)]);
  if (protocols.length > 0) {
    extensions.push([16, vector(2, ...protocols.map((name) => vector(1, Buffer.from(name, 'latin1'))))]);
  }
  if (versions !== null) extensions.push([43, vector(1, ...versions.map((version) => number(version, 2)))]);
  if (ticket !== null) extensions.push([35, ticket]);
  extensions.push(...more);
  return Buffer.concat([
    number(parts.legacyVersion ?? 0x0303, 2),
    Buffer.alloc(32, 7),
    vector(1, parts.sessionId ?? new Uint8Array(0)),
    vector(2, parts.ciphers ?? Buffer.from('13011302', 'hex')),
    vector(1, parts.compression ?? Buffer.of(0)),
    ...(parts.withoutExtensions === true
      ? []
      : [vector(2, ...extensions.flatMap(([type, data]) => [number(type, 2), vector(2, data)]))]),
  ]);
}

export function messageOf(body: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(1), vector(3, body)]);
}

/** In records of these sizes, the last one with the rest. */
export function inRecords(message: Uint8Array, sizes: readonly number[] = []): Buffer {
  const records: Buffer[] = [];
  let at = 0;
  for (const size of [...sizes, 16_384, 16_384, 16_384]) {
    if (at < message.length) records.push(Buffer.of(22, 3, 1), vector(2, message.subarray(at, at + size)));
    at += size;
  }
  return Buffer.concat(records);
}

export function encodeHello(parts: HelloParts): Buffer {
  return inRecords(messageOf(encodeBody(parts)));
}
