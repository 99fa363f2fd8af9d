/** How tests start Chromium: without a window, without its sandbox (root may not have one), and without traffic of its own. */
export function chromiumFlags(profile: string): string[] {
  return [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-sync',
    '--disable-background-networking',
    '--disable-component-update',
    `--user-data-dir=${profile}`,
  ];
}
