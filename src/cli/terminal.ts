/** What a command writes to, as far as its looks depend on it. */
export interface Terminal {
  /** Columns, or null: no terminal, lines are as long as they are. */
  readonly width: number | null;
  readonly height: number;
  readonly colours: boolean;
}

const USUAL_HEIGHT = 24;

/** Standard output as it is now. Colours only on a terminal, and not with NO_COLOR (no-color.org) or TERM=dumb. */
export function terminal(): Terminal {
  const { isTTY, columns, rows } = process.stdout;
  if (!isTTY) return { width: null, height: USUAL_HEIGHT, colours: false };
  const { NO_COLOR, TERM } = process.env;
  return { width: columns, height: rows, colours: (NO_COLOR ?? '') === '' && TERM !== 'dumb' };
}

const CODES = { bold: 1, red: 31, green: 32, yellow: 33, dim: 2 } as const;
export type Colour = keyof typeof CODES;

export function coloured(text: string, colour: Colour | null, colours: boolean): string {
  return colour === null || !colours ? text : `\u001b[${CODES[colour]}m${text}\u001b[0m`;
}

/** Clears the screen and begins at its top. */
export const CLEAR_SCREEN = '\u001b[H\u001b[2J';
