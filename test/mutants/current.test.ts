import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '../..');

interface Mutant {
  readonly id: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const sets = readdirSync(__dirname).filter((name) => name.endsWith('.json'));

test.each(sets)('the faults of %s can be put into the sources as they are', (set) => {
  const { mutants } = JSON.parse(readFileSync(join(__dirname, set), 'utf8')) as { mutants: readonly Mutant[] };
  const wrong = mutants.flatMap(({ id, file, find, replace }) => {
    const occurrences = readFileSync(join(root, file), 'utf8').split(find).length - 1;
    return occurrences === 1 && find !== replace ? [] : [`${id}: its text occurs ${occurrences} times in ${file}`];
  });
  expect(wrong).toEqual([]);
  expect(new Set(mutants.map(({ id }) => id)).size).toBe(mutants.length);
});
