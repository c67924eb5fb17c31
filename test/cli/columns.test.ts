import { type Column, Columns } from '../../src/cli/columns.js';
import { amount } from '../../src/cli/flow-table.js';

interface Row {
  readonly name: string;
  readonly size: number;
  readonly path: string;
}

const COLUMNS: readonly Column<Row>[] = [
  { head: 'NAME', text: ({ name }) => name, spare: 0 },
  { head: 'SIZE', text: ({ size }) => String(size), spare: 2, right: true },
  {
    head: 'PATH',
    text: ({ path, size }) => `${path} (${size})`,
    short: ({ path }) => path,
    spare: 1,
    colour: ({ path }) => (path === 'nic' ? 'green' : null),
  },
];
const ROWS: readonly Row[] = [
  { name: 'a', size: 5, path: 'nic' },
  { name: 'größe', size: 1234, path: 'software' },
];

function shown(width: number | null, colours = false): string[] {
  const columns = new Columns(COLUMNS, ROWS, { width, height: 24, colours });
  return [columns.head(), ...ROWS.map((row) => columns.row(row))];
}

test('without a terminal everything is told, and no line ends with blanks', () => {
  expect(shown(null)).toEqual(['NAME   SIZE  PATH', 'a         5  nic (5)', 'größe  1234  software (1234)']);
});

test('on a narrow terminal cells get short, then columns go, then what is left is cut', () => {
  expect(shown(28)).toEqual(shown(null));
  expect(shown(27)).toEqual(['NAME   SIZE  PATH', 'a         5  nic', 'größe  1234  software']);
  expect(shown(20)).toEqual(['NAME   PATH', 'a      nic', 'größe  software']);
  expect(shown(14)).toEqual(['NAME', 'a', 'größe']);
  expect(shown(4)).toEqual(['NAME', 'a', 'grö…']);
});

test('no line is longer than any terminal is wide', () => {
  for (let width = 1; width < 40; width++) {
    for (const line of shown(width)) expect([...line].length).toBeLessThanOrEqual(width);
  }
});

test('a row that is wider than those before it stays in its columns on a terminal only', () => {
  const long = { name: 'a name that came late', size: 7, path: 'nic' };
  const fitted = new Columns(COLUMNS, ROWS, { width: 60, height: 24, colours: false });
  expect(fitted.row(long)).toBe('a na…     7  nic (7)');
  const free = new Columns(COLUMNS, ROWS, { width: null, height: 24, colours: false });
  expect(free.row(long)).toBe('a name that came late     7  nic (7)');
});

test('colours take no room', () => {
  const [head, row] = shown(40, true);
  expect(head).toContain('\u001b[1mNAME\u001b[0m');
  expect(row).toContain('\u001b[32mnic (5)\u001b[0m');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are taken out
  expect(row.replace(/\u001b\[[0-9]+m/g, '')).toBe(shown(40)[1]);
});

test.each([
  [0, '0'],
  [0.5, '0.5'],
  [12.4, '12'],
  [999, '999'],
  [999.6, '1.00k'],
  [1234, '1.23k'],
  [5_670_000, '5.67M'],
  [89_000_000_000, '89.0G'],
])('%d is told as %s', (value, text) => {
  expect(amount(value)).toBe(text);
});
