import type { GateKeeper, SessionGate } from '../controller/session-gate.js';
import type { MirrorMode, MirrorWriter } from './types.js';

/** How long a first packet waits for Redis before it goes without, ms. */
const OPEN_PATIENCE_MS = 20;
/** How long it waits for the standby before it is dropped, ms: its sender will repeat it. */
const CLOSED_PATIENCE_MS = 200;

/**
 * Lets first packets go once the mirror knows of their sessions: `defer-open` when Redis has acknowledged the record,
 * `defer-closed` when the standby has applied it; without a standby (a gateway alone) Redis has to do.
 */
export class Deferral {
  private readonly keeper: GateKeeper;
  private readonly awaitsStandby: boolean;
  /** By shard: what waits for the standby, in the order of sequences. */
  private acknowledged: { readonly sequence: number; readonly row: number; readonly generation: number }[][] = [];
  private applied: number[] = [];

  constructor(
    private readonly gate: SessionGate,
    mode: Exclude<MirrorMode, 'async'>,
    hasStandby: boolean,
  ) {
    const letsGo = mode === 'defer-open';
    const patienceMs = letsGo ? OPEN_PATIENCE_MS : CLOSED_PATIENCE_MS;
    this.keeper = { patienceMs, letsGo };
    this.awaitsStandby = mode === 'defer-closed' && hasStandby;
  }

  /** New sessions wait for this writer from now on. */
  begin(writer: MirrorWriter): void {
    this.acknowledged = [];
    this.applied = [];
    this.gate.keepBy(this.keeper);
    writer.onAcknowledged = (rows, count, shard, sequence, generations) => {
      for (let i = 0; i < count; i++) this.onAcknowledged(rows[i], generations[i] >>> 0, shard, sequence);
    };
    if (this.awaitsStandby) writer.onApplied = (shard, sequence) => this.onApplied(shard, sequence);
  }

  /** Another gateway decides: nothing new comes, and what waits is dropped. */
  end(): void {
    this.gate.keepBy(null);
  }

  private onAcknowledged(row: number, generation: number, shard: number, sequence: number): void {
    if (!this.awaitsStandby || sequence <= (this.applied[shard] ?? 0)) return this.gate.admit(row, generation);
    this.acknowledged[shard] ??= [];
    this.acknowledged[shard].push({ sequence, row, generation });
  }

  private onApplied(shard: number, sequence: number): void {
    this.applied[shard] = sequence;
    const waiting = this.acknowledged[shard] ?? [];
    let count = 0;
    while (count < waiting.length && waiting[count].sequence <= sequence) {
      this.gate.admit(waiting[count].row, waiting[count].generation);
      count++;
    }
    if (count > 0) waiting.splice(0, count);
  }
}
