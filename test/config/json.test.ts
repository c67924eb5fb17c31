import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { parseJson } from '../../src/config/json.js';

const fixture = readFileSync(join(__dirname, 'fixtures/everything.json'), 'utf8');

test('what JSON.parse accepts gives the same value, and what it refuses is refused', () => {
  const text = fc.oneof(fc.json(), fc.string(), fc.stringMatching(/^[[\]{}",:0-9.eE+\-truefalsn\\ ]{0,20}$/));
  fc.assert(
    fc.property(text, (value) => {
      let expected: { value: unknown } | null = null;
      try {
        expected = { value: JSON.parse(value) };
      } catch {}
      const parsed = parseJson(value);
      expect(parsed.ok).toBe(expected !== null);
      if (parsed.ok) expect(parsed.value).toEqual(expected?.value);
    }),
    { numRuns: 3000 },
  );
});

test('every proper prefix of a configuration is a syntax error with a position', () => {
  const end = fixture.trimEnd().length;
  for (let length = 0; length < end; length++) {
    const parsed = parseJson(fixture.slice(0, length));
    expect(parsed.ok).toBe(false);
    expect(parsed.faults).toHaveLength(1);
    expect(parsed.faults[0].message).toMatch(/^line \d+, column \d+: /);
  }
});

test.each([
  ['{"a": 1,}', 'line 1, column 8: a "," before "}"', 'JSON has no trailing commas'],
  ['{\n  "a": 1\n  "b": 2\n}', 'line 3, column 3: "\\"" where "," or "}" should be', 'look just before it too'],
  ['{\n// why\n}', 'line 2, column 1: "/" where a field name in double quotes should be', 'JSON has no comments'],
  ['[1, 01]', 'line 1, column 6: "1" where "," or "]" should be', 'look just before it too'],
  ['', 'line 1, column 1: the file ends where a value should be', 'is it cut off?'],
  ['{} {}', 'line 1, column 4: "{" where the end of the file should be', 'look just before it too'],
  [
    '"a\nb"',
    'line 1, column 1: a string that does not end, or a bad escape in it',
    'strings end in the line they begin in',
  ],
])('%j is refused with its place', (text, message, hint) => {
  expect(parseJson(text)).toEqual({ ok: false, faults: [{ path: '', message, hint }] });
});

test('a field that stands twice in one object is a fault at its pointer', () => {
  const parsed = parseJson('{"a": [{"b": 1, "c/d": 2, "c/d": 3}], "b": 4}');
  expect(parsed.ok && parsed.faults).toEqual([
    { path: '/a/0/c~1d', message: 'the field stands here twice', hint: 'remove one of the two' },
  ]);
});

test('a field named __proto__ is a field like any other', () => {
  const parsed = parseJson('{"__proto__": {"name": 1}}');
  expect(parsed.ok && Object.keys(parsed.value as object)).toEqual(['__proto__']);
});

test('nesting without end is refused, not a stack overflow', () => {
  for (const text of ['['.repeat(1e6), '{"a":'.repeat(1e6)]) {
    expect(parseJson(text)).toMatchObject({
      ok: false,
      faults: [{ message: expect.stringContaining('nested deeper') }],
    });
  }
});

test('a byte order mark is tolerated', () => {
  expect(parseJson('\ufeff[]')).toMatchObject({ ok: true, value: [] });
});
