import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

let root: string | null = null;

/** @returns The folder of this package, from its sources as from its build: where schemas/ stands. */
export function packageRoot(): string {
  if (root === null) {
    let folder = __dirname;
    while (!existsSync(join(folder, 'package.json'))) {
      const parent = dirname(folder);
      if (parent === folder) throw new Error(`no package.json above ${__dirname}`);
      folder = parent;
    }
    root = folder;
  }
  return root;
}
