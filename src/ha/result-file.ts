import { replaceFile } from './durable-file.js';
import type { MonitorResult } from './status.js';

/**
 * ha_monitor_result.json, for a monitor that watches it. Written at changes, one write at a time; changes that come
 * meanwhile are in the next one.
 */
export class ResultFile {
  private sequence = 0;
  private waiting: Omit<MonitorResult, 'seq'> | null = null;
  private writing: Promise<void> | null = null;
  /** What the last write should have written, when it failed. */
  private failed: Omit<MonitorResult, 'seq'> | null = null;
  /** Why the last write failed; null: it did not. */
  fault: string | null = null;

  constructor(private readonly path: string | null) {}

  put(result: Omit<MonitorResult, 'seq'>): void {
    if (this.path === null) return;
    this.waiting = result;
    this.writing ??= this.write(this.path).finally(() => {
      this.writing = null;
    });
  }

  /** Writes again what could not be written: the disk may have room by now. */
  retry(): void {
    if (this.failed !== null) this.put(this.failed);
  }

  /** @returns Once what was put is on disk, or has failed to get there. */
  async settled(): Promise<void> {
    while (this.writing !== null) await this.writing;
  }

  private async write(path: string): Promise<void> {
    while (this.waiting !== null) {
      const { waiting } = this;
      const result: MonitorResult = { ...waiting, seq: ++this.sequence };
      this.waiting = null;
      try {
        await replaceFile(path, `${JSON.stringify(result, null, 2)}\n`);
        this.fault = null;
        this.failed = null;
      } catch (error) {
        this.fault = (error as Error).message;
        this.failed = waiting;
      }
    }
  }
}
