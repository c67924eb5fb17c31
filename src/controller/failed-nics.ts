import type { Logger } from 'pino';
import type { Dataplane } from '../native/binding.js';
import type { RuleKeeping } from './rule-keeper.js';

/** Repairs after a NIC has lost its rules: what was under way meanwhile is told by a later one. */
const RECOVERY_LOOKS = 3;
/** Between two attempts to reset a NIC, ms. */
const RESET_AGAIN_MS = 1000;

export interface FailedNicsOptions {
  readonly dataplane: Pick<Dataplane, 'recoveredPorts' | 'portsToReset' | 'reopenPort'>;
  /** Each engine. */
  readonly keepers: readonly RuleKeeping[];
  readonly isRunning: () => boolean;
  readonly nameOf: (port: number) => string;
  readonly log: Logger;
}

/**
 * NICs that have failed. One that recovered by itself (RTE_ETH_EVENT_RECOVERY_SUCCESS) has lost its rules. One that has
 * to be reset (RTE_ETH_EVENT_INTR_RESET; a virtual function whose physical one was reset) does nothing until its port is
 * closed by all engines, reset and opened again; the other ports go on meanwhile.
 */
export class FailedNics {
  private readonly recovered = new Set<number>();
  private looks = 0;
  /** By closed port, when it is to be reset. */
  private readonly dueMs = new Map<number, number>();
  private readonly closings = new Map<number, number>();
  private isLooking = false;

  constructor(private readonly options: FailedNicsOptions) {}

  /** Asked every now and then; does nothing while it is at it. @param nowMs Of a monotonic clock. @throws What an engine fails with */
  async look(nowMs: number): Promise<void> {
    const { dataplane, log, isRunning } = this.options;
    if (this.isLooking) return;
    this.isLooking = true;
    try {
      for (const { port, keepsRules } of dataplane.recoveredPorts()) {
        log.warn(
          { port: this.options.nameOf(port) },
          'the NIC has failed and recovered: rules that it lost are made anew',
        );
        if (!keepsRules) this.recovered.add(port);
        this.looks = RECOVERY_LOOKS;
      }
      for (const port of dataplane.portsToReset()) await this.close(port, nowMs);
      for (const [port, dueMs] of this.dueMs) if (dueMs <= nowMs && isRunning()) await this.reset(port, nowMs);
    } finally {
      this.isLooking = false;
    }
  }

  /** Whether rules are to be compared. Says so some times after each recovery. */
  takeLook(): boolean {
    if (this.looks === 0) return false;
    this.looks--;
    return true;
  }

  /** @returns Ports whose NICs have lost all of their rules since the last call. */
  takeRecovered(): ReadonlySet<number> {
    const taken = new Set(this.recovered);
    this.recovered.clear();
    return taken;
  }

  /** How often the port was closed: no handle of a rule outlives that. */
  closingsOf(port: number): number {
    return this.closings.get(port) ?? 0;
  }

  private async close(port: number, nowMs: number): Promise<void> {
    const { keepers, log, nameOf } = this.options;
    log.warn({ port: nameOf(port) }, 'the NIC asks to be reset: nothing passes the port until it is');
    this.closings.set(port, this.closingsOf(port) + 1);
    await Promise.all(keepers.map((keeper) => keeper.closePort(port)));
    this.dueMs.set(port, nowMs);
  }

  private async reset(port: number, nowMs: number): Promise<void> {
    const { dataplane, keepers, log, nameOf } = this.options;
    const name = nameOf(port);
    try {
      dataplane.reopenPort(port);
    } catch (error) {
      this.dueMs.set(port, nowMs + RESET_AGAIN_MS);
      log.error({ port: name, error: (error as Error).message }, 'the NIC could not be reset: tried again each second');
      return;
    }
    this.dueMs.delete(port);
    const sessions = await Promise.all(keepers.map((keeper) => keeper.portReopened(port)));
    const all = sessions.reduce((sum, one) => sum + one, 0);
    log.info({ port: name, sessions: all }, 'the NIC has been reset: its rules are made anew');
  }
}
