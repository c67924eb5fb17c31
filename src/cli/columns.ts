import { type Colour, coloured, type Terminal } from './terminal.js';

export interface Column<T> {
  readonly head: string;
  readonly text: (row: T) => string;
  /** What is told instead where a terminal is too narrow. */
  readonly short?: (row: T) => string;
  /** Columns are left out by it where a terminal is too narrow, highest first; 0: never. */
  readonly spare: number;
  readonly right?: true;
  readonly colour?: (row: T) => Colour | null;
}

const GAP = 2;

/**
 * Lines of a table whose rows may come one after the other: widths are those of the first rows. On a terminal it fits:
 * cells get short, then columns that can be spared go, then what is too long ends with an ellipsis. Elsewhere nothing is left out.
 */
export class Columns<T> {
  private readonly columns: readonly Column<T>[];
  private readonly widths: readonly number[];

  /** @param sample Rows that widths are taken from. */
  constructor(
    columns: readonly Column<T>[],
    sample: readonly T[],
    private readonly terminal: Terminal,
  ) {
    const widthOf = ({ head, text }: Column<T>) =>
      sample.reduce((most, row) => Math.max(most, lengthOf(text(row))), head.length);
    const measured = (column: Column<T>) => ({ column, width: widthOf(column) });
    let kept = columns.map(measured);
    const { width } = terminal;
    const total = () => kept.reduce((sum, one) => sum + one.width, GAP * (kept.length - 1));
    if (width !== null && total() > width) {
      kept = columns.map((column) => measured({ ...column, text: column.short ?? column.text }));
    }
    while (width !== null && total() > width) {
      const most = Math.max(...kept.map(({ column }) => column.spare));
      if (most === 0) break;
      kept = kept.filter(({ column }) => column.spare !== most);
    }
    this.columns = kept.map(({ column }) => column);
    this.widths = kept.map((one) => one.width);
  }

  head(): string {
    return this.line(
      ({ head }) => head,
      () => 'bold',
    );
  }

  row(row: T): string {
    return this.line(
      ({ text }) => text(row),
      ({ colour }) => colour?.(row) ?? null,
    );
  }

  private line(textOf: (column: Column<T>) => string, colourOf: (column: Column<T>) => Colour | null): string {
    const { width, colours } = this.terminal;
    let left = width ?? Number.POSITIVE_INFINITY;
    let line = '';
    for (const [i, column] of this.columns.entries()) {
      const isLast = i === this.columns.length - 1;
      const cell = cut(textOf(column), Math.min(left, width === null ? left : this.widths[i]));
      if (cell === '' && left <= 0) break;
      const blanks = ' '.repeat(Math.max(0, this.widths[i] - lengthOf(cell)));
      const shown = coloured(cell, colourOf(column), colours);
      if (column.right) line += blanks + shown;
      else line += isLast ? shown : shown + blanks;
      left -= Math.max(this.widths[i], lengthOf(cell)) + GAP;
      if (!isLast && left > 0) line += ' '.repeat(GAP);
    }
    return line.trimEnd();
  }
}

/** In characters; names may be in any script. */
function lengthOf(text: string): number {
  return [...text].length;
}

function cut(text: string, most: number): string {
  if (lengthOf(text) <= most) return text;
  return most <= 0 ? '' : `${[...text].slice(0, most - 1).join('')}…`;
}
