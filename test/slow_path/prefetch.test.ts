import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const addon = join(__dirname, '../../addon');

test('memory is asked for by rte_prefetch0, which the compiler may not drop', () => {
  const sources = readdirSync(addon, { recursive: true, encoding: 'utf8' }).filter((name) => /\.(h|cc)$/.test(name));
  const calls = sources.flatMap((name) =>
    readFileSync(join(addon, name), 'utf8')
      .split('\n')
      .filter((line) => /__builtin_prefetch\s*\(/.test(line))
      .map((line) => `${name}: ${line.trim()}`),
  );
  expect(sources.length).toBeGreaterThan(100);
  // A function of nothing but __builtin_prefetch is one without effect to GCC 12: its calls were all dropped once.
  expect(calls).toEqual([]);
});
