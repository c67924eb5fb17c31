import { TcpStateNames } from '../native/records.js';
import { crc32c } from './crc32c.js';
import {
  BatchKind,
  MIRROR_FORMAT,
  MIRROR_MAGIC,
  MirrorBatch,
  MirrorOp,
  MirrorRecord,
  MOST_RECORDS,
  OLDEST_FORMAT,
} from './records.js';

export const HEAD_WORDS = MirrorBatch.size / 4;
export const RECORD_WORDS = MirrorRecord.size / 4;
export const MOST_BATCH_BYTES = MirrorBatch.size + MOST_RECORDS * MirrorRecord.size;

const CLASSES = 5;
const WORD = 0x1_0000_0000;

/** Words of a record; see MirrorRecord for what stands in them. */
export const R = {
  kind: MirrorRecord.op / 4,
  flags: MirrorRecord.flags / 4,
  row: MirrorRecord.row / 4,
  generation: MirrorRecord.generation / 4,
  version: MirrorRecord.versionLow / 4,
  versionHigh: MirrorRecord.versionHigh / 4,
  forwardSource: MirrorRecord.forwardSource / 4,
  forwardDestination: MirrorRecord.forwardDestination / 4,
  translatedSource: MirrorRecord.translatedSource / 4,
  translatedDestination: MirrorRecord.translatedDestination / 4,
  forwardPorts: MirrorRecord.forwardDestinationPort / 4,
  translatedPorts: MirrorRecord.translatedDestinationPort / 4,
  contexts: MirrorRecord.forwardContext / 4,
  vpcs: MirrorRecord.vpc / 4,
  age: MirrorRecord.ageSeconds / 4,
  idleReverse: MirrorRecord.idleReverse / 4,
} as const;

/** 64 random bits: names one unbroken history of a shard. */
export interface DatasetId {
  readonly low: number;
  readonly high: number;
}

export function datasetText({ low, high }: DatasetId): string {
  return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
}

/** What stands in a batch's head. */
export interface BatchHead {
  kind: BatchKind;
  shard: number;
  count: number;
  epoch: number;
  dataset: DatasetId;
  /** Of the log, or number of the chunk. */
  sequence: number;
  generation: number;
  previousCrc: number;
  crc: number;
  writtenSeconds: number;
}

/** Memory of one batch. */
export class BatchBuffer {
  readonly words: Int32Array;
  readonly bytes: Buffer;

  constructor(records: number) {
    const memory = new ArrayBuffer(MirrorBatch.size + records * MirrorRecord.size);
    this.words = new Int32Array(memory);
    this.bytes = Buffer.from(memory);
  }
}

export function recordAt(index: number): number {
  return HEAD_WORDS + index * RECORD_WORDS;
}

/** @param version 0..2^48-1. */
export function setVersion(words: Int32Array, record: number, version: number): void {
  words[record + R.version] = version;
  words[record + R.versionHigh] = (words[record + R.versionHigh] & 0xffff_0000) | Math.floor(version / WORD);
}

export function versionOf(words: Int32Array, record: number): number {
  return (words[record + R.version] >>> 0) + (words[record + R.versionHigh] & 0xffff) * WORD;
}

/**
 * Writes the head over `head.count` records that stand behind it, checksum included.
 *
 * @returns The batch's CRC.
 */
export function sealBatch(words: Int32Array, head: Omit<BatchHead, 'crc'>): number {
  words[0] = MIRROR_MAGIC;
  words[MirrorBatch.format / 4] = MIRROR_FORMAT | (head.kind << 16) | (head.shard << 24);
  words[MirrorBatch.count / 4] = head.count | (MirrorRecord.size << 16);
  words[MirrorBatch.epoch / 4] = head.epoch;
  words[MirrorBatch.previousCrc / 4] = head.previousCrc;
  words[MirrorBatch.datasetLow / 4] = head.dataset.low;
  words[MirrorBatch.datasetHigh / 4] = head.dataset.high;
  words[MirrorBatch.sequenceLow / 4] = head.sequence;
  words[MirrorBatch.sequenceHigh / 4] = Math.floor(head.sequence / WORD);
  words[MirrorBatch.generation / 4] = head.generation;
  words[MirrorBatch.writtenSeconds / 4] = head.writtenSeconds;
  words.fill(0, MirrorBatch.writtenSeconds / 4 + 1, HEAD_WORDS);
  const crc = crc32c(words, MirrorBatch.format / 4, HEAD_WORDS + head.count * RECORD_WORDS);
  words[MirrorBatch.crc / 4] = crc;
  return crc;
}

export function batchBytes(count: number): number {
  return MirrorBatch.size + count * MirrorRecord.size;
}

/** Why a blob is no batch; `format`: of a version that this one does not know. */
export type BatchFault = 'truncated' | 'magic' | 'format' | 'size' | 'checksum' | 'record';

/**
 * Reads and judges batches. A batch is read whole or refused whole: only after open() has returned null may records be
 * looked at.
 */
export class BatchReader {
  /** The batch's words; records from HEAD_WORDS on. Valid until the next open(). */
  readonly words = new Int32Array(MOST_BATCH_BYTES / 4);
  readonly head: BatchHead = {
    kind: BatchKind.none,
    shard: 0,
    count: 0,
    epoch: 0,
    dataset: { low: 0, high: 0 },
    sequence: 0,
    generation: 0,
    previousCrc: 0,
    crc: 0,
    writtenSeconds: 0,
  };
  private readonly bytes = Buffer.from(this.words.buffer);

  /** @param shards How many the group has: rows must lie in the batch's own. */
  constructor(private readonly shards: number) {}

  /** @param blob Copied; may stand anywhere. @returns Null, or what is wrong with it. */
  open(blob: Buffer): BatchFault | null {
    if (blob.length < MirrorBatch.size) return 'truncated';
    if (blob.length > MOST_BATCH_BYTES) return 'size';
    blob.copy(this.bytes);
    const { words, head } = this;
    if (words[0] !== MIRROR_MAGIC) return 'magic';
    const format = words[MirrorBatch.format / 4] & 0xffff;
    head.count = words[MirrorBatch.count / 4] & 0xffff;
    // A format of another version says nothing that could be checked here, but its checksum is where it always was.
    if (crc32c(words, MirrorBatch.format / 4, blob.length >>> 2) !== words[MirrorBatch.crc / 4] >>> 0) {
      return 'checksum';
    }
    if (format < OLDEST_FORMAT || format > MIRROR_FORMAT) return 'format';
    const known = words[MirrorBatch.count / 4] >>> 16 === MirrorRecord.size;
    if (!known || head.count === 0 || head.count > MOST_RECORDS || blob.length !== batchBytes(head.count)) {
      return 'size';
    }
    head.kind = ((words[MirrorBatch.format / 4] >>> 16) & 0xff) as BatchKind;
    head.shard = words[MirrorBatch.format / 4] >>> 24;
    head.epoch = words[MirrorBatch.epoch / 4] >>> 0;
    head.previousCrc = words[MirrorBatch.previousCrc / 4] >>> 0;
    head.dataset = {
      low: words[MirrorBatch.datasetLow / 4] >>> 0,
      high: words[MirrorBatch.datasetHigh / 4] >>> 0,
    };
    head.sequence = (words[MirrorBatch.sequenceLow / 4] >>> 0) + (words[MirrorBatch.sequenceHigh / 4] >>> 0) * WORD;
    head.generation = words[MirrorBatch.generation / 4] >>> 0;
    head.crc = words[MirrorBatch.crc / 4] >>> 0;
    head.writtenSeconds = words[MirrorBatch.writtenSeconds / 4] >>> 0;
    for (let i = 0; i < head.count; i++) if (!this.isRecord(recordAt(i))) return 'record';
    return null;
  }

  /** What a writer can have written, for one whose checksum is right and whose content is not. */
  private isRecord(at: number): boolean {
    const { words } = this;
    const op = words[at] & 0xff;
    if ((words[at + R.row] >>> 0) % this.shards !== this.head.shard || words[at + R.generation] === 0) return false;
    if (op === MirrorOp.end) return true;
    const sessionClass = (words[at] >>> 16) & 0xff;
    const tcpState = words[at] >>> 24;
    return op === MirrorOp.session && sessionClass < CLASSES && tcpState < TcpStateNames.length;
  }
}
