/** A chart as SVG: curves over time, one panel below the other. */

export interface Curve {
  readonly name: string;
  readonly color: string;
  /** Pairs of a time in seconds and a value. */
  readonly points: readonly (readonly [seconds: number, value: number])[];
}

export interface Panel {
  readonly title: string;
  readonly curves: readonly Curve[];
  /** The values at which lines go through the panel, in ascending order. The last one is its top. */
  readonly lines: readonly number[];
}

const WIDTH = 860;
const PANEL_HEIGHT = 220;
const LEFT = 50;
const RIGHT = 20;
const TOP = 40;
const BOTTOM = 30;
const GREY = '#999999';

/** One decimal is enough for a pixel, and keeps the file small. */
function pixel(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function text(x: number, y: number, anchor: string, color: string, content: string): string {
  return `<text x="${pixel(x)}" y="${pixel(y)}" text-anchor="${anchor}" fill="${color}">${content}</text>`;
}

function panelAt(top: number, panel: Panel, seconds: number): string[] {
  const { title, curves, lines } = panel;
  const bottom = top + PANEL_HEIGHT - BOTTOM;
  const height = bottom - top - TOP;
  const x = (second: number) => LEFT + (second / seconds) * (WIDTH - LEFT - RIGHT);
  const y = (value: number) => bottom - (value / (lines.at(-1) as number)) * height;
  const parts = [text(LEFT, top + 20, 'start', '#000000', title)];
  for (const [i, { name, color }] of curves.entries()) {
    parts.push(text(WIDTH - RIGHT - 100 * (curves.length - 1 - i), top + 20, 'end', color, name));
  }
  for (const value of lines) {
    parts.push(`<path d="M${LEFT} ${pixel(y(value))}H${WIDTH - RIGHT}" stroke="#dddddd"/>`);
    parts.push(text(LEFT - 6, y(value) + 4, 'end', GREY, String(value)));
  }
  for (let second = 0; second <= seconds; second += 2) {
    parts.push(text(x(second), bottom + 18, 'middle', GREY, `${second} s`));
  }
  for (const { color, points } of curves) {
    const line = points.map(([second, value]) => `${pixel(x(second))},${pixel(y(value))}`).join(' ');
    parts.push(`<polyline points="${line}" fill="none" stroke="${color}" stroke-width="1.5"/>`);
  }
  return parts;
}

export function chartOf(title: string, panels: readonly Panel[], seconds: number): string {
  const height = panels.length * PANEL_HEIGHT;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<title>${title}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    ...panels.flatMap((panel, i) => panelAt(i * PANEL_HEIGHT, panel, seconds)),
    '</svg>\n',
  ].join('\n');
}
