import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const root = join(__dirname, '../..');
const page = join(root, 'docs/rfc-compliance.md');
const text = readFileSync(page, 'utf8');

interface Row {
  readonly section: string;
  readonly cells: readonly string[];
}

/** Rows of the page's tables, without headings and rulers. */
function tableRows(markdown: string): Row[] {
  const rows: Row[] = [];
  let section = '';
  let bodyBegan = false;
  for (const line of markdown.split('\n')) {
    if (line.startsWith('## ')) section = line.slice(3);
    if (!line.startsWith('|')) bodyBegan = false;
    else if (line.startsWith('|---')) bodyBegan = true;
    else if (bodyBegan)
      rows.push({
        section,
        cells: line
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim()),
      });
  }
  return rows;
}

/** `FILE::TEST` and `FILE#SYMBOL` in backticks. */
function references(markdown: string, separator: '::' | '#'): [string, string][] {
  return [...markdown.matchAll(/`([^`\n]+)`/g)]
    .map(([, span]) => span.match(new RegExp(`^([\\w./-]+\\.\\w+)${separator}(.+)$`)))
    .filter((match) => match !== null)
    .map(([, file, name]) => [file, name]);
}

/** Test files without a folder are in test/blackbox. */
const pathOf = (file: string) => join(root, file.includes('/') ? file : `test/blackbox/${file}`);
const sources = new Map<string, string>();
function source(file: string): string {
  const path = pathOf(file);
  let content = sources.get(path);
  if (content === undefined) {
    content = existsSync(path) ? readFileSync(path, 'utf8') : '';
    sources.set(path, content);
  }
  return content;
}

const quoted = (name: string) => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** Whether a file defines a symbol: a mention or a call is not enough. */
function defines(file: string, symbol: string): boolean {
  const name = quoted(symbol);
  if (file.endsWith('.json')) return new RegExp(`"${name}"\\s*:`).test(source(file));
  const forms = file.endsWith('.ts')
    ? [
        `^(?:export )?(?:function|class|interface|type|enum|const) ${name}\\b`,
        `^  (?:(?:private|protected|readonly|static|async) )*${name}(?:<[^>]*>)?\\([^;]*$`,
      ]
    : [`^ *(?:class|struct|enum class) ${name}\\b`, `^(?:[\\w:<>*&\\]\\[]+ )+[*&]?(?:\\w+::)?${name}\\([^;]*$`];
  return forms.some((form) => new RegExp(form, 'm').test(source(file)));
}

/** Whether a file has a test of exactly that name. */
function tests(file: string, name: string): boolean {
  const form = file.endsWith('.py') ? `^def ${quoted(name)}\\(` : `^ *(?:test|it)\\(\\s*'${quoted(name)}'`;
  return new RegExp(form, 'm').test(source(file));
}

const rows = tableRows(text);
const missing = (references: [string, string][], exists: (file: string, name: string) => boolean) =>
  references.filter(([file, name]) => !exists(file, name)).map(([file, name]) => `${file} ${name}`);

test('every test that the page names exists', () => {
  const named = references(text, '::');
  expect(named.length).toBeGreaterThan(50);
  expect(missing(named, tests)).toEqual([]);
});

test('every symbol that the page names is defined where the page says', () => {
  const named = references(text, '#');
  expect(named.length).toBeGreaterThan(40);
  expect(missing(named, defines)).toEqual([]);
});

test('every link of the page leads to a file', () => {
  const targets = [...text.matchAll(/\]\(([^)#]+)/g)].map(([, target]) => target);
  expect(targets.length).toBeGreaterThan(3);
  expect(targets.filter((target) => !existsSync(join(dirname(page), target)))).toEqual([]);
});

test('every requirement has a status, and code and a test behind it', () => {
  const requirements = rows.filter((row) => row.section === 'Requirements');
  expect(requirements.length).toBeGreaterThan(30);
  for (const { cells } of requirements) {
    const [requirement, , code, proof, status] = cells;
    expect({ requirement, columns: cells.length }).toEqual({ requirement, columns: 5 });
    expect(status).toMatch(/^(done|partly: .+|not done: .+)$/);
    expect({ requirement, named: references(code, '#').length > 0 }).toEqual({ requirement, named: true });
    expect({ requirement, tested: references(proof, '::').length > 0 }).toEqual({ requirement, tested: true });
  }
});

test('every behaviour has a test, or says what it waits for', () => {
  const behaviours = rows.filter((row) => row.section === 'Behaviours');
  expect(behaviours.length).toBeGreaterThan(70);
  for (const { cells } of behaviours) {
    const [behaviour, proof] = cells;
    expect({ behaviour, columns: cells.length }).toEqual({ behaviour, columns: 2 });
    const waits = /^(planned|not done): /.test(proof);
    expect({ behaviour, tested: references(proof, '::').length > 0 }).toEqual({ behaviour, tested: !waits });
  }
});

test('what is expected to fail is said to be so on both sides', () => {
  const marked = (name: string, file: string) =>
    new RegExp(`xfail\\([^\n]*\\n(?:@[^\n]*\\n)*def ${quoted(name)}\\(`).test(source(file));
  const behaviours = rows.filter((row) => row.section === 'Behaviours');
  for (const { cells } of behaviours) {
    const failing = references(cells[1], '::').some(([file, name]) => marked(name, file));
    expect({ behaviour: cells[0], failing }).toEqual({
      behaviour: cells[0],
      failing: cells[1].includes('(expected to fail)'),
    });
  }
});

test('names that are not there are found', () => {
  expect(references('`a.py::test_x` and `b.ts#f`, not `plain`', '::')).toEqual([['a.py', 'test_x']]);
  expect(tests('test_icmp.py', 'test_icmp_errors_neither_end')).toBe(false);
  expect(tests('test_gone.py', 'test_x')).toBe(false);
  expect(defines('src/nat/remote-filter.ts', 'admits')).toBe(true);
  expect(defines('src/nat/session-opening.ts', 'readMiss')).toBe(false);
  expect(defines('addon/slow_path/receive.cc', 'receive_fabric')).toBe(true);
  expect(defines('addon/slow_path/receive.cc', 'receive_later_fragment')).toBe(false);
});
