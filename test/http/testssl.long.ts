/** testssl.sh on the defaults of `npm start -- --tls`: it may dislike nothing but that the certificate has signed itself. docs/tls.md has what it says. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import { buildFolder, missing, Program } from '../support/programs.ts';

/**
 * The most telling ones first: on a busy machine not all have their turn. Left out: trying each cipher and each browser, which takes minutes, and attacks on what is not
 * offered at all (SSL 3, RSA key exchange, CBC). Each with something that it must have looked at.
 */
const SECTIONS = {
  '--protocols': 'TLS1_3',
  '--std': 'cipherlist_NULL',
  '--server-defaults': 'cert_chain_of_trust',
  '--headers': 'HTTP_status_code',
  '--heartbleed': 'heartbleed',
  '--renegotiation': 'secure_renego',
  '--crime': 'CRIME_TLS',
} as const;
const MAX_MS = 55_000;

interface Finding {
  readonly id: string;
  readonly severity: string;
  readonly finding: string;
}

/** What a certificate for development cannot have: somebody who vouches for it. */
const SELF_SIGNED = [
  'cert_chain_of_trust',
  'cert_revocation',
  'cert_crlDistributionPoints',
  'cert_ocspURL',
  'DNS_CAArecord',
];

/** What testssl.sh says of the openssl that it uses, and not of the server. */
const OF_ITS_OWN = ['engine_problem'];

const folder = mkdtempSync(join(tmpdir(), 'simplenet-testssl-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

/** What it has found; null if it took too long, which happens where much else runs. */
async function check(port: string, section: string, endsAt: number): Promise<readonly Finding[] | null> {
  const file = join(folder, `${section.slice(2)}.json`);
  const options = ['--quiet', '--color', '0', '--warnings', 'off', '--nodns', 'none', '--jsonfile', file];
  const program = new Program('testssl', [...options, section, `127.0.0.1:${port}`]);
  program.child.stdin?.end();
  const deadline = setTimeout(() => program.kill('SIGTERM'), Math.max(0, endsAt - Date.now()));
  const { code, signal } = await program.ends();
  clearTimeout(deadline);
  if (signal !== null || code === 143) return null;
  return JSON.parse(readFileSync(file, 'utf8')) as readonly Finding[];
}

test('testssl.sh finds nothing but the certificate that signs itself', { skip: missing('testssl') }, async (t) => {
  const { PATH } = process.env;
  const server = new Program(process.execPath, [join(buildFolder, 'server.js'), '--tls', '--port', '0'], {
    env: { PATH, XDG_CACHE_HOME: folder },
  });
  t.teardown(() => server.kill());
  const [, port = ''] = await server.prints(/https:\/\/127\.0\.0\.1:(\d+)/);
  const endsAt = Date.now() + MAX_MS;
  const findings: Finding[] = [];
  const look = async ([section, id]: readonly [string, string]) => {
    const found = await check(port, section, endsAt);
    if (found === null) {
      t.comment(`skipped: ${section}, because the ${MAX_MS} ms for all sections are over`);
      return;
    }
    t.ok(
      found.some((each) => each.id === id),
      `${section} has looked at ${id}`,
    );
    findings.push(...found);
  };
  for (const entry of Object.entries(SECTIONS)) await look(entry);
  const known = [...SELF_SIGNED, ...OF_ITS_OWN];
  const bad = findings.filter(({ id, severity }) => severity !== 'OK' && severity !== 'INFO' && !known.includes(id));
  t.same(bad, []);
});
