import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export const GOLDEN = join(__dirname, 'golden');

/** Compares with golden/NAME; UPDATE_GOLDEN=1 writes it instead, but never in CI. */
export function expectGolden(name: string, text: string): void {
  const path = join(GOLDEN, name);
  if (process.env.UPDATE_GOLDEN === '1') {
    if (process.env.CI === 'true') throw new Error('UPDATE_GOLDEN is refused when CI=true');
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  if (!existsSync(path)) throw new Error(`${path} is missing: UPDATE_GOLDEN=1 writes it`);
  expect(text).toBe(readFileSync(path, 'utf8'));
}
