import { createHash } from 'node:crypto';
import { BatchReader } from '../../src/mirror/batch.js';
import { DirtyRows } from '../../src/mirror/dirty-rows.js';
import { ReplayShard } from '../../src/mirror/replay-shard.js';
import { APPEND, type Script } from '../../src/mirror/scripts.js';
import { ShardLog } from '../../src/mirror/shard-log.js';
import { ShardWriter } from '../../src/mirror/shard-writer.js';
import { StandbyWatch } from '../../src/mirror/standby-watch.js';

/**
 * Negative controls: each takes one protection away, so that the test of its fault must fail. They return what puts it
 * back.
 */
type Restore = () => void;

function override<T extends object>(target: T, replacements: Record<string, unknown>): Restore {
  const before = Object.fromEntries(
    Object.keys(replacements).map((name) => [name, Object.getOwnPropertyDescriptor(target, name)]),
  );
  for (const [name, value] of Object.entries(replacements)) {
    Object.defineProperty(target, name, { value, configurable: true, writable: true });
  }
  return () => {
    for (const [name, descriptor] of Object.entries(before)) {
      if (descriptor !== undefined) Object.defineProperty(target, name, descriptor);
    }
  };
}

function scripted(script: Script, text: string): Restore {
  return override(script, { text, sha: createHash('sha1').update(text).digest('hex') });
}

/** For each batch of a command, with `fence`, `log`, `sequence` and `blob` of it. */
const eachBatch = (what: string) => `
  local replies = {}
  for i = 1, #KEYS / 2 do
    local fence, log, sequence, blob = KEYS[2 * i - 1], KEYS[2 * i], ARGV[3 * i], ARGV[3 * i + 1]
    ${what}
    replies[i] = {'OK'}
  end
  return replies`;

/** Appends whatever comes, under ids of the server's. */
export const appendsBlindly = () => scripted(APPEND, eachBatch(`redis.call('XADD', log, '*', 'b', blob)`));

/** Appends under explicit ids without asking the fence, and nobody looks whether Redis still has what it had. */
export function appendsUnfenced(): Restore {
  const restores = [
    scripted(
      APPEND,
      eachBatch(`redis.pcall('XADD', log, ARGV[1] .. '-' .. sequence, 'b', blob)
                 redis.call('HSET', fence, 'lastSeq', sequence)`),
    ),
    override(ShardWriter.prototype, { judge: () => undefined }),
  ];
  return () => {
    for (const restore of restores) restore();
  };
}

/** An error counts as an acknowledgement. */
export const takesErrorsForSuccess = () =>
  override(ShardLog.prototype, {
    postpone(this: { confirm(sequence: number): void }, batch: { sequence: number }) {
      this.confirm(batch.sequence);
    },
  });

/** Follows the log wherever it goes on: no sequence, no chain. */
export const skipsGaps = () =>
  override(ReplayShard.prototype, {
    take(this: { reader: BatchReader; position: unknown; applyRecords(): void }, _id: string, blob: Buffer) {
      if (this.reader.open(blob) !== null) return true;
      this.applyRecords();
      this.position = { epoch: this.reader.head.epoch, sequence: this.reader.head.sequence };
      return true;
    },
  });

/** Loads what there is of a snapshot. */
export const loadsHalves = () =>
  override(ReplayShard.prototype, {
    async loadChunks(
      this: { reader: BatchReader; applyRecords(): void },
      connection: { hmgetBuffer(key: string, ...fields: string[]): Promise<(Buffer | null)[]> },
      index: { key: string; chunks: number },
    ) {
      for (let chunk = 0; chunk < index.chunks; chunk++) {
        const [blob] = await connection.hmgetBuffer(index.key, String(chunk));
        if (blob !== null && this.reader.open(blob) === null) this.applyRecords();
      }
      return null;
    },
  });

/** Takes any configuration for its own. */
export const ignoresConfigurations = () => override(ReplayShard.prototype, { isCompatible: () => true });

/** Ends of sessions are not told. */
export const tellsNoEnds = () => override(DirtyRows.prototype, { isKnown: () => false });

/** Whatever a blob is, its checksum is right. */
export function believesChecksums(): Restore {
  const open = BatchReader.prototype.open;
  return override(BatchReader.prototype, {
    open(this: BatchReader, blob: Buffer) {
      const fault = open.call(this, blob);
      return fault === 'checksum' ? null : fault;
    },
  });
}

/** A hole in the log is not reported once the snapshot before it has been loaded again, nor heard of in between. */
export function keepsHolesToItself(): Restore {
  const restores = [
    override(ReplayShard.prototype, { needsSnapshot: false }),
    override(StandbyWatch.prototype, { isBroken: () => false }),
  ];
  return () => {
    for (const restore of restores) restore();
  };
}

/** Only the standby that is farthest is asked what it lacks. */
export const hearsOneStandby = () =>
  override(StandbyWatch.prototype, {
    isBroken(this: { present: { broken: readonly number[] } | null }, { shard }: { shard: number }) {
      return this.present?.broken.includes(shard) ?? false;
    },
  });
