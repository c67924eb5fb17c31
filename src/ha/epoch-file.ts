import { readFileSync } from 'node:fs';
import { isEpoch } from '../mirror/epoch.js';
import { monotonicMs } from './clock.js';
import { replaceFile } from './durable-file.js';
import { EpochTimes } from './epoch-times.js';

/**
 * The highest epoch that this node has seen, on disk. A Redis that has forgotten (emptied, restarted from an old dump,
 * failed over to a lagging replica) would otherwise give an epoch out twice.
 */
export class EpochFile {
  readonly times = new EpochTimes(monotonicMs);
  private highest: number;
  /** The highest one that is on disk. */
  private kept: number;
  private writing: Promise<void> = Promise.resolve();
  /** Why the last write failed; null: it did not. */
  fault: string | null = null;

  /** @param path Null: kept in memory alone. @throws Error EPOCH_FILE when the file is there and not one of ours */
  constructor(
    private readonly path: string | null,
    private readonly group: string,
  ) {
    this.highest = path === null ? 0 : read(path, group);
    this.kept = this.highest;
    this.times.see(this.highest);
  }

  get epoch(): number {
    return this.highest;
  }

  /**
   * Remembers an epoch if it is the highest, and one at all.
   *
   * @returns Once it is on disk. @throws The file system's error; in memory the epoch counts all the same.
   */
  async seen(epoch: number): Promise<void> {
    if (!isEpoch(epoch) || epoch <= this.highest) return;
    this.highest = epoch;
    this.times.see(epoch);
    await this.keep();
  }

  /** Writes again what could not be written: the disk may have room by now. */
  retry(): void {
    if (this.fault !== null) this.keep().catch(() => undefined); // It is in `fault`.
  }

  private async keep(): Promise<void> {
    const { path, group } = this;
    if (path === null) return;
    // One after the other: an older epoch must not be renamed over a newer one.
    const written = this.writing.then(async () => {
      const epoch = this.highest;
      if (epoch <= this.kept) return;
      try {
        await replaceFile(path, `${JSON.stringify({ group, epoch })}\n`);
        this.kept = epoch;
        this.fault = null;
      } catch (error) {
        this.fault = (error as Error).message;
        throw error;
      }
    });
    this.writing = written.catch(() => undefined);
    await written;
  }
}

function read(path: string, group: string): number {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
  const refuse = (why: string) =>
    Object.assign(new Error(`${path}: ${why} (remove it only when the gateway of this pair is known to be down)`), {
      code: 'EPOCH_FILE',
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refuse('is not JSON');
  }
  const { group: named, epoch } = (value ?? {}) as { group?: unknown; epoch?: unknown };
  if (named !== group) throw refuse(`belongs to group ${JSON.stringify(named)}, not "${group}"`);
  if (!isEpoch(epoch)) throw refuse('has no epoch');
  return epoch;
}
