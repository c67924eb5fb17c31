import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { replaceFile } from '../../src/ha/durable-file';
import { EpochFile } from '../../src/ha/epoch-file';
import { ResultFile } from '../../src/ha/result-file';
import { watchFile } from '../../src/ha/settings';
import type { MonitorResult } from '../../src/ha/status';
import { until } from './keeper-pair';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-ha-files-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

test('a_reader_never_sees_half_a_file', async () => {
  const path = join(folder, 'result.json');
  await replaceFile(path, JSON.stringify({ text: 'first' }));
  let running = true;
  let reads = 0;
  const reader = (async () => {
    while (running) {
      const { text } = JSON.parse(readFileSync(path, 'utf8')) as { text: string };
      expect(['first', 'x'.repeat(100_000)]).toContain(text);
      reads++;
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  for (let i = 0; i < 20; i++)
    await replaceFile(path, JSON.stringify({ text: i % 2 === 0 ? 'x'.repeat(100_000) : 'first' }));
  running = false;
  await reader;
  expect(reads).toBeGreaterThan(5);
  expect(readdirSync(folder)).toEqual(['result.json']);
});

test('a_file_that_cannot_be_written_leaves_the_old_one_and_no_rest', async () => {
  const path = join(folder, 'folder-in-its-place');
  await replaceFile(join(path, 'inside'), 'x');
  await expect(replaceFile(path, 'y')).rejects.toThrow();
  expect(readdirSync(folder)).toEqual(['folder-in-its-place']);
});

test('the_highest_epoch_survives_and_a_foreign_file_is_refused', async () => {
  const path = join(folder, 'epoch');
  const file = new EpochFile(path, 'g');
  expect(file.epoch).toBe(0);
  await Promise.all([file.seen(3), file.seen(7), file.seen(5)]);
  expect(new EpochFile(path, 'g').epoch).toBe(7);
  expect(() => new EpochFile(path, 'h')).toThrow('belongs to group');
  writeFileSync(path, '{"group":"g"}');
  expect(() => new EpochFile(path, 'g')).toThrow('has no epoch');
  writeFileSync(path, '7');
  expect(() => new EpochFile(path, 'g')).toThrow('belongs to group');
  writeFileSync(path, '');
  expect(() => new EpochFile(path, 'g')).toThrow('is not JSON');
});

test('an_epoch_that_could_not_be_kept_is_told_and_kept_as_soon_as_it_can_be', async () => {
  const inTheWay = join(folder, 'disk');
  const path = join(inTheWay, 'epoch');
  const late = new EpochFile(path, 'g');
  writeFileSync(inTheWay, '');
  await expect(late.seen(3)).rejects.toThrow();
  expect(late.fault).not.toBeNull();
  late.retry();
  rmSync(inTheWay);
  await until('it is on disk', () => {
    late.retry();
    return late.fault === null;
  });
  expect(new EpochFile(path, 'g').epoch).toBe(3);
});

test('a_result_that_could_not_be_written_is_written_as_soon_as_it_can_be', async () => {
  const inTheWay = join(folder, 'disk');
  writeFileSync(inTheWay, '');
  const path = join(inTheWay, 'result.json');
  const file = new ResultFile(path);
  file.put({ role: 'active' } as MonitorResult);
  await file.settled();
  expect(file.fault).not.toBeNull();
  rmSync(inTheWay);
  file.retry();
  await file.settled();
  expect(file.fault).toBeNull();
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ role: 'active', seq: 2 });
  file.retry();
  await file.settled();
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ seq: 2 });
});

test('a_watched_file_is_told_of_when_it_is_written_and_when_it_is_replaced', async () => {
  const path = join(folder, 'ha_config.json');
  writeFileSync(path, '1');
  let told = 0;
  const end = watchFile(path, () => {
    told++;
  });
  try {
    chmodSync(path, 0o600);
    writeFileSync(path, '2');
    await until('it is told', () => told >= 1);
    const before = told;
    await replaceFile(path, '3');
    await until('it is told again', () => told > before);
    writeFileSync(join(folder, 'other'), '4');
    const settled = told;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(told).toBe(settled);
  } finally {
    end();
  }
});
