import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ControlParts } from '../../../src/controller/api/index.js';
import { serveControl } from '../../../src/controller/control.js';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-socket-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** What is wrong with the path is found before any part is asked. */
const refusalOf = (path: string) =>
  serveControl({} as ControlParts, path).then(
    () => '',
    (error: Error) => error.message,
  );

test('a file in the place of the control socket is somebody’s: it stays, and is told with its pointer', async () => {
  const file = join(folder, 'passwd');
  writeFileSync(file, 'precious');
  expect(await refusalOf(file)).toBe(
    `/control/socket: ${file} is there and no socket (choose another path, or remove it)`,
  );
  expect(readFileSync(file, 'utf8')).toBe('precious');
});

test('so does a folder', async () => {
  const path = join(folder, 'gw.sock');
  mkdirSync(path);
  expect(await refusalOf(path)).toMatch(/^\/control\/socket: .* is there and no socket/);
  expect(statSync(path).isDirectory()).toBe(true);
});

test('a folder that cannot be made is told with its pointer', async () => {
  writeFileSync(join(folder, 'file'), '');
  expect(await refusalOf(join(folder, 'file', 'gw.sock'))).toMatch(/^\/control\/socket: .*\(choose another path\)/);
});
