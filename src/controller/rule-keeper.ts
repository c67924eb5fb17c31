import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises';
import type { GatewayController } from './gateway.js';
import { joined, type RuleSet } from './reconcile.js';

/** Rules that are repaired between two bursts. */
const TOGETHER = 256;
const DIRECTION = 1n << 31n;
/** How long the lcore is given to take decisions that fill the ring, ms; then the rest waits as for room in the NIC. */
const PATIENCE_MS = 100;

export type Repair = 'stale' | 'missing';

/** What became of rules that were to be repaired; the others were not due any more. */
export interface Repaired {
  readonly done: number;
  /** Constant ones that the NIC refused. */
  readonly failed: number;
}

/** What an engine does about its rules in the NICs when whoever compares them, or resets a port, asks it to. */
export interface RuleKeeping {
  /** The rules that it should have at a port; those under way are left out. */
  ownRules(port: number): Promise<RuleSet>;
  /** Destroys rules that are none of its own, or gives up and asks for anew what the NIC has lost. Each is looked at again first. */
  repair(port: number, what: Repair, rules: RuleSet): Promise<Repaired>;
  /** The port is to be reset: its rules are gone, and nothing is asked of it until then. */
  closePort(port: number): Promise<void>;
  /** The port has been reset: its sessions get their rules again. @returns How many sessions had some. */
  portReopened(port: number): Promise<number>;
}

/** An engine and its lcore. Works in portions between which packets are served. */
export class RuleKeeper implements RuleKeeping {
  /** By port: sessions whose rules went with it when it was closed, as contexts. */
  private readonly losers = new Map<number, Set<bigint>>();
  /** By port: how often it was closed. What was listed before is nobody's handle any more. */
  private readonly closings = new Map<number, number>();

  constructor(
    private readonly controller: GatewayController,
    private readonly isRunning: () => boolean,
  ) {}

  async ownRules(port: number): Promise<RuleSet> {
    const { dataplane, engine } = this.controller;
    const parts: RuleSet[] = [];
    for (let row = 0; (row === 0 || row < engine.sessions.highWater) && this.isRunning(); ) {
      const { next, rules } = dataplane.ownRules(port, row);
      if (rules.length > 0) parts.push(rules);
      row = next;
      await turn();
    }
    return joined(parts);
  }

  async repair(port: number, what: Repair, rules: RuleSet): Promise<Repaired> {
    const { dataplane } = this.controller;
    const closings = this.closings.get(port);
    const sessions = new Set<bigint>();
    let done = 0;
    let failed = 0;
    for (let at = 0; at < rules.length && this.isRunning() && this.closings.get(port) === closings; ) {
      const some = rules.subarray(at, at + TOGETHER * 2);
      dataplane.repairRules(port, what, some).forEach((isDone, i) => {
        if (isDone) done++;
        const context = some[2 * i + 1];
        if (isDone && what === 'missing' && context !== 0n) {
          this.lost(context);
          sessions.add(context & ~DIRECTION);
        }
        // A constant rule is nobody else's: what cannot be made is missed. The rest was not due any more.
        if (!isDone && what === 'missing' && context === 0n) failed++;
      });
      at += TOGETHER * 2;
      await turn();
    }
    await this.offloadAgain(sessions);
    return { done, failed };
  }

  async closePort(port: number): Promise<void> {
    this.closings.set(port, (this.closings.get(port) ?? 0) + 1);
    const sessions = this.losers.get(port) ?? new Set();
    for (const context of this.controller.dataplane.closePort(port)) {
      this.lost(context);
      sessions.add(context & ~DIRECTION);
    }
    this.losers.set(port, sessions);
  }

  async portReopened(port: number): Promise<number> {
    const sessions = this.losers.get(port) ?? new Set();
    this.losers.delete(port);
    void this.offloadAgain(sessions);
    return sessions.size;
  }

  /** They had their places: they need not wait until room is looked for. @param sessions As contexts. */
  private async offloadAgain(sessions: ReadonlySet<bigint>): Promise<void> {
    const { controller } = this;
    let asked = 0;
    for (const context of sessions) {
      for (let waited = 0; controller.roomForDecisions() === 0; waited++) {
        if (waited === PATIENCE_MS || !this.isRunning()) return;
        await pause(1);
      }
      controller.offload(this.rowOf(context), generationOf(context));
      if (++asked % TOGETHER === 0) await turn();
      if (!this.isRunning()) return;
    }
  }

  private lost(context: bigint): void {
    this.controller.onRuleLost(this.rowOf(context), generationOf(context), (context & DIRECTION) === 0n ? 0 : 1);
  }

  private rowOf(context: bigint): number {
    return shownRowOf(context) - this.controller.engine.sessions.firstRow;
  }
}

/** Row of a rule's session, of all engines' rows together. */
export const shownRowOf = (context: bigint): number => Number(context & (DIRECTION - 1n));
const generationOf = (context: bigint): number => Number(context >> 32n);
