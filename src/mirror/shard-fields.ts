import { readEpoch } from './epoch.js';

/** A shard's fence, as far as a reader wants to know; see scripts.ts. */
export interface FenceFields {
  readonly epoch: number;
  readonly dataset: string;
  readonly logEpoch: number;
  readonly lastSequence: number;
  readonly config: string;
  readonly format: number;
  readonly shards: number;
}

/** A committed snapshot. */
export interface IndexFields {
  readonly key: string;
  readonly dataset: string;
  readonly epoch: number;
  readonly generation: number;
  readonly startSequence: number;
  readonly startCrc: number;
  readonly chunks: number;
  readonly count: number;
  readonly crc: number;
}

/** Of an index in Redis. */
export const INDEX_FIELDS = [
  'key',
  'dataset',
  'epoch',
  'generation',
  'startSeq',
  'startCrc',
  'chunks',
  'count',
  'crc',
] as const;

export function readFence(fields: Readonly<Record<string, string>>): FenceFields {
  const number = (name: string) => {
    const value = Number(fields[name] ?? 0);
    return Number.isSafeInteger(value) && value >= 0 ? value : 0;
  };
  return {
    epoch: readEpoch(fields.epoch),
    dataset: fields.dataset ?? '',
    logEpoch: readEpoch(fields.logEpoch),
    lastSequence: number('lastSeq'),
    config: fields.config ?? '',
    format: number('format'),
    shards: number('shards'),
  };
}

/** @returns Null where there is none, and where a number is none. */
export function readIndex(fields: Readonly<Record<string, string>>): IndexFields | null {
  if (fields.key === undefined) return null;
  const number = (name: string) => Number(fields[name] ?? Number.NaN);
  const index = {
    key: fields.key,
    dataset: fields.dataset ?? '',
    epoch: number('epoch'),
    generation: number('generation'),
    startSequence: number('startSeq'),
    startCrc: number('startCrc'),
    chunks: number('chunks'),
    count: number('count'),
    crc: number('crc'),
  };
  return Object.values(index).some((value) => Number.isNaN(value)) ? null : index;
}
