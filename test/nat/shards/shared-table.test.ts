import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { BlockOwners } from '../../../src/nat/shards/shared-state.js';
import {
  beginSharedTable,
  SharedTable,
  sharedTableBytes,
  sharedTableMemory,
} from '../../../src/nat/shards/shared-table.js';
import { BLOCK_SHAPE, SharedTableEntry, SharedTableHeader } from '../../../src/native/records.js';

const SEQUENCE = SharedTableHeader.sequence / 4;

/** Reads a table as lcores do: without its lock, by the sequence number and the layout alone. */
class LcoreReader {
  retries = 0;
  private readonly words: Int32Array;
  private readonly slots: number;

  constructor(memory: ArrayBufferLike) {
    this.words = new Int32Array(memory);
    this.slots = (this.words.byteLength - SharedTableHeader.size) / SharedTableEntry.size;
  }

  get(a: number, b: number, c: number): number {
    for (;;) {
      const before = Atomics.load(this.words, SEQUENCE);
      const value = this.search(a, b, c);
      if ((before & 1) === 0 && Atomics.load(this.words, SEQUENCE) === before) return value;
      this.retries++;
    }
  }

  /** A table in the middle of a change may have no end of a search. */
  private search(a: number, b: number, c: number): number {
    const { words, slots } = this;
    let slot = this.hash(a, b, c) & (slots - 1);
    for (let step = 0; step < slots; step++) {
      const at = (SharedTableHeader.size + slot * SharedTableEntry.size) / 4;
      const value = Atomics.load(words, at + 3);
      if (value === 0) return 0;
      const key = [0, 1, 2].map((word) => Atomics.load(words, at + word));
      if (key[0] === (a | 0) && key[1] === (b | 0) && key[2] === (c | 0)) return value;
      slot = (slot + 1) & (slots - 1);
    }
    return 0;
  }

  private hash(a: number, b: number, c: number): number {
    let hash = Math.imul(this.words[SharedTableHeader.seed / 4] ^ a, 0x9e3779b1);
    hash = Math.imul(hash ^ (hash >>> 15) ^ b, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13) ^ c, 0xc2b2ae35);
    return hash ^ (hash >>> 16);
  }
}

test('a table lies in memory of any kind, and each change raises its sequence number by two', () => {
  for (const memory of [new ArrayBuffer(sharedTableBytes(100)), new SharedArrayBuffer(sharedTableBytes(100))]) {
    beginSharedTable(memory, 0xdeadbeef);
    const table = new SharedTable(memory);
    const words = new Int32Array(memory);
    const reader = new LcoreReader(memory);
    const changes = [
      () => table.set(1, 2, 3, 9),
      () => table.claim(1, 2, 4, 8),
      () => table.increment(1, 2, 4, 10),
      () => table.decrement(1, 2, 4),
      () => table.delete(1, 2, 3),
      () => table.sweep((value) => value === 8),
    ];
    for (const [at, change] of changes.entries()) {
      expect(words[SEQUENCE]).toBe(at * 2);
      change();
      expect(reader.get(1, 2, 3)).toBe(table.get(1, 2, 3));
      expect(reader.get(1, 2, 4)).toBe(table.get(1, 2, 4));
    }
    expect([words[SEQUENCE], table.count, reader.retries]).toEqual([12, 0, 0]);
  }
});

test('memory of another size than a table has is refused', () => {
  for (const bytes of [0, 8, 16, 24, 16 + 16 * 3, 16 + 16 * 1000]) {
    expect(() => new SharedTable(new ArrayBuffer(bytes))).toThrow(`16 + 16 * 2^n bytes, not ${bytes}`);
  }
  for (const bytes of [32, 48, 16 + 16 * 1024]) expect(new SharedTable(new ArrayBuffer(bytes)).count).toBe(0);
});

test('an address of which blocks are dealt tells its first port and their size by the key that lcores look up', () => {
  const memory = sharedTableMemory(100, 5);
  const owners = new BlockOwners(memory);
  owners.begin(17, 0xcb007110, 1024, 512);
  owners.set(17, 0xcb007110, 125, 3);
  const reader = new LcoreReader(memory);
  expect(reader.get(17, 0xcb007110, BLOCK_SHAPE)).toBe((1024 << 10) | 512);
  expect(reader.get(17, 0xcb007110, 125)).toBe(4);
  expect([65024, 65535, 65023, 1023].map((port) => owners.of(17, 0xcb007110, port))).toEqual([3, 3, -1, -1]);
});

test('who reads without the lock never takes one entry for another, while they come, go and move', async () => {
  const memory = sharedTableMemory(32, 3);
  const state = new SharedArrayBuffer(4);
  const done = new Int32Array(state);
  const passing = 30;
  const data = { memory, state, rounds: 1_000_000, passing };
  const worker = new Worker(join(__dirname, 'table-thread.cjs'), { workerData: data });
  const begun = new Promise((resolve) => worker.once('message', resolve));
  const ended = new Promise<void>((resolve, reject) => {
    worker.once('error', reject);
    worker.once('exit', () => resolve());
  });
  await Promise.race([begun, ended]);
  const reader = new LcoreReader(memory);
  const wrong: string[] = [];
  while (Atomics.load(done, 0) === 0) {
    for (let key = 0; key < passing; key++) {
      const value = reader.get(key, 1, key);
      if (value !== 0 && value !== key + 1) wrong.push(`${key}: ${value}`);
    }
  }
  await ended;
  expect(wrong).toEqual([]);
  expect(new SharedTable(memory).count).toBe(0);
}, 60_000);
