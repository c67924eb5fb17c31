import fc from 'fast-check';
import {
  BatchBuffer,
  BatchReader,
  batchBytes,
  recordAt,
  sealBatch,
  setVersion,
  versionOf,
} from '../../src/mirror/batch.js';
import { crc32c } from '../../src/mirror/crc32c.js';
import { BatchKind, MirrorBatch, MirrorRecord } from '../../src/mirror/records.js';
import { ReplayShard, type ReplayTally } from '../../src/mirror/replay-shard.js';
import { ReplicaTable } from '../../src/mirror/replica-table.js';
import { PlainReplica, PlainTable, random } from './tables.js';
import * as unprotected from './unprotected.js';

const SHARDS = 8;
const DATASET = { low: 0x1234_5678, high: 0x9abc_def0 };

let restore: (() => void) | null = null;
afterEach(() => {
  restore?.();
  restore = null;
});

/** A batch of shard 3 with `count` sessions and ends. */
function batch(count: number, sequence = 1, previousCrc = 0): Buffer {
  const table = new PlainTable(count * SHARDS);
  const buffer = new BatchBuffer(count);
  for (let i = 0; i < count; i++) {
    const row = i * SHARDS + 3;
    table.open(row, { inside: row, nat: row * 7, remote: row * 3, tcpState: 1 + (i % 5) });
    if (i % 4 === 3) table.end(row);
    table.encode(row, buffer.words, recordAt(i));
    setVersion(buffer.words, recordAt(i), 2 ** 40 + i);
  }
  sealBatch(buffer.words, {
    kind: BatchKind.log,
    shard: 3,
    count,
    epoch: 5,
    dataset: DATASET,
    sequence,
    generation: 0,
    previousCrc,
    writtenSeconds: 1,
  });
  return Buffer.from(buffer.bytes);
}

/** CRC32C bit by bit, from its definition. */
function slowCrc(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

test('CRC32C is that of RFC 3720 appendix B.4, and that of its definition', () => {
  const words = (byte: (i: number) => number) =>
    new Int32Array(Uint8Array.from({ length: 32 }, (_, i) => byte(i)).buffer);
  expect(
    crc32c(
      words(() => 0),
      0,
      8,
    ),
  ).toBe(0x8a91_36aa);
  expect(
    crc32c(
      words(() => 0xff),
      0,
      8,
    ),
  ).toBe(0x62a8_ab43);
  expect(
    crc32c(
      words((i) => i),
      0,
      8,
    ),
  ).toBe(0x46dd_794e);
  expect(
    crc32c(
      words((i) => 31 - i),
      0,
      8,
    ),
  ).toBe(0x113f_db5c);
  fc.assert(
    fc.property(fc.int32Array({ maxLength: 80, size: 'max' }), (some) => {
      const copy = Int32Array.from(some);
      expect(crc32c(copy, 0, copy.length)).toBe(slowCrc(new Uint8Array(copy.buffer)));
    }),
  );
});

test('what was sealed is read, versions to 2^48', () => {
  const reader = new BatchReader(SHARDS);
  expect(reader.open(batch(9, 2 ** 33 + 5))).toBeNull();
  expect(reader.head).toMatchObject({ shard: 3, count: 9, epoch: 5, dataset: DATASET, sequence: 2 ** 33 + 5 });
  expect(versionOf(reader.words, recordAt(8))).toBe(2 ** 40 + 8);
});

/** Flips each bit of a batch in turn; none may be taken. @returns How many were. */
function flipEachBit(bytes: Buffer): number {
  const reader = new BatchReader(SHARDS);
  let taken = 0;
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    bytes[bit >>> 3] ^= 1 << (bit & 7);
    if (reader.open(bytes) === null) taken++;
    bytes[bit >>> 3] ^= 1 << (bit & 7);
  }
  return taken;
}

test('31: every flip of a single bit is refused', () => {
  expect(flipEachBit(batch(1))).toBe(0);
  expect(flipEachBit(batch(40))).toBe(0);
});

test('31: without the checksum some are taken: the test above would see it', () => {
  restore = unprotected.believesChecksums();
  // Behind a checksum that is believed nothing else is looked at, so that everything passes.
  expect(flipEachBit(batch(1))).toBeGreaterThan(0);
});

test('32: every prefix is refused, and everything that is longer', () => {
  const reader = new BatchReader(SHARDS);
  const bytes = batch(3);
  for (let length = 0; length < bytes.length; length++) expect(reader.open(bytes.subarray(0, length))).not.toBeNull();
  for (const more of [1, 3, 4, 64, 20_000]) {
    expect(reader.open(Buffer.concat([bytes, Buffer.alloc(more)]))).not.toBeNull();
  }
  expect(reader.open(bytes)).toBeNull();
});

test('a batch that is refused changes nothing, whatever of it is wrong', () => {
  const sink = new PlainReplica(4096);
  const tally: ReplayTally = {
    records: 0,
    batches: 0,
    stale: 0,
    duplicates: 0,
    reloads: 0,
    breaks: { gap: 0, corrupt: 0, dataset: 0, format: 0, 'chunk-missing': 0, regressed: 0 },
    refused: 0,
  };
  const reader = new BatchReader(SHARDS);
  const table = new ReplicaTable(sink, SHARDS);
  const shard = new ReplayShard(
    'g',
    3,
    SHARDS,
    reader,
    table,
    sink,
    tally,
    () => 0,
    () => undefined,
  );
  const follow = () => {
    shard.state = 'following';
    shard.position = { epoch: 5, sequence: 0 };
    shard.dataset = '9abcdef012345678';
  };
  const draw = random(5);
  const good = batch(30);
  for (let i = 0; i < 2000; i++) {
    follow();
    const bad = Buffer.from(good);
    for (let flips = 1 + draw(4); flips > 0; flips--) bad[draw(bad.length)] ^= 1 + draw(255);
    if (bad.equals(good)) continue;
    expect(shard.take('5-1', bad)).toBe(false);
    expect(shard.state).toBe('unsynced');
    expect(sink.count + sink.adopted + tally.records).toBe(0);
  }
  // Right in itself, and not what comes next: another id, sequence, epoch, dataset, shard.
  for (const [id, blob] of [
    ['5-2', good],
    ['5-2', batch(30, 2)],
    ['5-1', batch(30, 1, 77)],
  ] as const) {
    follow();
    expect(shard.take(id, blob)).toBe(false);
    expect(sink.adopted).toBe(0);
  }
  follow();
  expect(shard.take('5-1', good)).toBe(true);
  expect(sink.count).toBe(23);
  expect(shard.take('5-1', good)).toBe(true);
  expect(tally.duplicates).toBe(1);
});

/** Changes a sealed batch and gives it a checksum that is right again. */
function resealed(change: (words: Int32Array) => void, count = 3): Buffer {
  const bytes = batch(count);
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  change(words);
  words[MirrorBatch.crc / 4] = crc32c(words, MirrorBatch.format / 4, words.length);
  return bytes;
}

test.each<[string, (words: Int32Array) => void, string]>([
  [
    '33: of a newer format',
    (words) => {
      words[2] = (words[2] & ~0xffff) | 2;
    },
    'format',
  ],
  [
    'of format 0',
    (words) => {
      words[2] &= ~0xffff;
    },
    'format',
  ],
  [
    'with more records than bytes',
    (words) => {
      words[3]++;
    },
    'size',
  ],
  [
    'with no record',
    (words) => {
      words[3] &= ~0xffff;
    },
    'size',
  ],
  [
    'with larger records',
    (words) => {
      words[3] = 3 | (72 << 16);
    },
    'size',
  ],
  [
    'with a row of another shard',
    (words) => {
      words[recordAt(1) + MirrorRecord.row / 4]++;
    },
    'record',
  ],
  [
    'with generation 0',
    (words) => {
      words[recordAt(1) + MirrorRecord.generation / 4] = 0;
    },
    'record',
  ],
  [
    'with an operation that is none',
    (words) => {
      words[recordAt(0)] = (words[recordAt(0)] & ~0xff) | 9;
    },
    'record',
  ],
  [
    'with a class that is none',
    (words) => {
      words[recordAt(0)] |= 0x7f0000;
    },
    'record',
  ],
  [
    'with a TCP state that is none',
    (words) => {
      words[recordAt(0)] |= 0x7f000000;
    },
    'record',
  ],
])('a batch %s is refused though its checksum is right', (_name, change, fault) => {
  expect(new BatchReader(SHARDS).open(resealed(change))).toBe(fault);
});

test('whatever bytes come, they are refused or read, and never do harm', () => {
  const reader = new BatchReader(SHARDS);
  const outcomes = new Map<string, number>();
  const note = (blob: Buffer) => {
    const fault = reader.open(blob);
    outcomes.set(fault ?? 'read', (outcomes.get(fault ?? 'read') ?? 0) + 1);
  };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 700, size: 'max' }), (bytes) => note(Buffer.from(bytes))),
    { numRuns: 500 },
  );
  // Words of a real batch changed at will, and its checksum made right: everything behind it is reached.
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(batchBytes(3) / 4 - 1), fc.nat(31)), { minLength: 0, maxLength: 6 }),
      (changes) =>
        note(
          resealed((words) => {
            for (const [at, bit] of changes) words[at] ^= 1 << bit;
          }),
        ),
    ),
    { numRuns: 3000 },
  );
  expect([...outcomes.keys()].sort()).toEqual(['format', 'magic', 'read', 'record', 'size', 'truncated']);
});
