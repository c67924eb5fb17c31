import { type AppliedReport, readApplied } from './applied.js';
import type { StandbyFacts } from './protection.js';
import type { ShardWriter } from './shard-writer.js';

/** A standby whose report has not changed for so long is gone. */
const GONE_MS = 1000;

/**
 * What the writer knows of its standby, from `{G}:applied`. Of several the one that is farthest counts, and what any of
 * them cannot go on without is given to all.
 */
export class StandbyWatch {
  private readonly seen = new Map<string, { readonly beat: number; readonly atMs: number }>();
  private present: AppliedReport | null = null;
  private readonly broken = new Set<number>();
  /** By shard: when the standby was last at what Redis had then. */
  private readonly caughtUpMs: number[];
  /** By shard: sequence that Redis had at some time, and that time. */
  private readonly marks: { sequence: number; atMs: number }[];
  private readonly lastApplied: number[];

  constructor(
    private readonly expected: boolean,
    private readonly writers: readonly ShardWriter[],
    private readonly configHash: () => string,
    private readonly onApplied: (shard: number, sequence: number) => void,
  ) {
    this.caughtUpMs = writers.map(() => 0);
    this.marks = writers.map(() => ({ sequence: 0, atMs: 0 }));
    this.lastApplied = writers.map(() => 0);
  }

  /** @param fields Of `{G}:applied`. */
  update(fields: Readonly<Record<string, string>>, nowMs: number): void {
    let best: AppliedReport | null = null;
    this.broken.clear();
    for (const [node, text] of Object.entries(fields)) {
      const report = readApplied(text);
      if (report === null) continue;
      const before = this.seen.get(node);
      if (before === undefined || before.beat !== report.beat) this.seen.set(node, { beat: report.beat, atMs: nowMs });
      // A report that was there at first sight may be of a node that died long ago.
      else if (nowMs - before.atMs > GONE_MS) continue;
      if (before === undefined) continue;
      // One of another configuration cannot read a new snapshot either.
      if (report.config === this.configHash()) for (const shard of report.broken) this.broken.add(shard);
      if (best === null || sum(report) > sum(best)) best = report;
    }
    this.present = best;
    for (const writer of this.writers) this.follow(writer, nowMs);
  }

  /** @returns Sequence of the present dataset that the standby has applied, or null. */
  appliedOf(writer: ShardWriter): number | null {
    const report = this.present;
    const expectation = writer.expectation();
    if (report === null || expectation === null) return null;
    if (report.datasets[writer.shard] !== expectation.dataset) return null;
    return report.positions[writer.shard]?.sequence ?? null;
  }

  /** Whether a standby cannot go on in a shard of this dataset. */
  isBroken({ shard }: ShardWriter): boolean {
    return this.broken.has(shard);
  }

  facts(nowMs: number, lagLimitMs: number): StandbyFacts {
    return {
      expected: this.expected,
      present: this.present !== null,
      sameConfig: this.present?.config === this.configHash(),
      behind: this.writers.filter(({ shard }) => nowMs - this.caughtUpMs[shard] > lagLimitMs).map(({ shard }) => shard),
    };
  }

  private follow(writer: ShardWriter, nowMs: number): void {
    const { shard } = writer;
    const applied = this.appliedOf(writer);
    if (applied === null) return;
    const { sequence } = writer.acknowledged;
    if (applied >= sequence) this.caughtUpMs[shard] = nowMs;
    const mark = this.marks[shard];
    if (applied >= mark.sequence) {
      this.caughtUpMs[shard] = Math.max(this.caughtUpMs[shard], mark.atMs);
      this.marks[shard] = { sequence, atMs: nowMs };
    }
    if (applied !== this.lastApplied[shard]) {
      this.lastApplied[shard] = applied;
      this.onApplied(shard, applied);
    }
  }
}

function sum(report: AppliedReport): number {
  return report.positions.reduce((total, { sequence }) => total + sequence, 0);
}
