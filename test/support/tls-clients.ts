/**
 * Node's own TLS as the client of a TLS context on a loop of ours.
 */

import { once } from 'node:events';
import { type ConnectionOptions, connect, type DetailedPeerCertificate } from 'node:tls';
import { acceptTls, createEventLoop, portOf, type TlsContext, type TlsInfo } from '../../simplenet/index.ts';

export interface Handshake {
  readonly certificate: DetailedPeerCertificate;
  /** Its name in the RFCs. */
  readonly cipher: string;
  readonly isAuthorized: boolean;
  /** What the server knows. */
  readonly info: TlsInfo;
  /** A ticket, if one has come. */
  readonly session: Buffer | undefined;
  echo(text: string): Promise<string>;
  end(): void;
}

/** The certificate that a new connection meets at a URL of 127.0.0.1, as PEM. */
export async function certificateAt(url: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(url).port), rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const certificate = socket.getPeerX509Certificate()?.toString() ?? '';
  socket.destroy();
  return certificate;
}

/** Listens, connects, sends a byte back and forth, and closes everything unless `stays`. Rejects if the handshake fails. */
export async function shakeHands(context: TlsContext, options: ConnectionOptions, stays = false): Promise<Handshake> {
  const loop = createEventLoop();
  let info: TlsInfo | null = null;
  const listener = loop.listen(
    { address: '127.0.0.1', port: 0 },
    acceptTls(context, (stream) => ({
      onOpen: () => {
        info = stream.tls;
        info?.peerCertificate;
      },
      onData: (stream, bytes) => void stream.write(bytes),
    })),
  );
  const socket = connect({ host: '127.0.0.1', port: portOf(listener.address), rejectUnauthorized: false, ...options });
  let session: Buffer | undefined;
  socket.on('session', (ticket: Buffer) => {
    session = ticket;
  });
  const echo = async (text: string): Promise<string> => {
    socket.write(text);
    const [bytes] = (await once(socket, 'data')) as [Buffer];
    return bytes.toString();
  };
  const end = (): void => {
    socket.destroy();
    loop.close();
  };
  try {
    await once(socket, 'secureConnect');
    await echo('x');
  } catch (error) {
    end();
    throw error;
  }
  const certificate = socket.getPeerCertificate(true);
  const cipher = socket.getCipher().standardName;
  const isAuthorized = socket.authorized;
  if (!stays) end();
  if (info === null) throw new Error('the server knows nothing');
  return { certificate, cipher, isAuthorized, info, session, echo, end };
}
