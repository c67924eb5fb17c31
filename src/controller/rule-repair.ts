import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises';
import type { Dataplane } from '../native/binding.js';
import type { GatewayController } from './gateway.js';
import { type RuleSet, reconcile } from './reconcile.js';

/** Rules that are repaired between two bursts. */
const TOGETHER = 256;
const DIRECTION = 1n << 31n;
/** How long the lcore is given to take decisions that fill the ring, ms; then the rest waits as for room in the NIC. */
const PATIENCE_MS = 100;

/** What was found at one port, and mended. */
export interface RepairReport {
  /** Rules of the NIC; null: its driver does not tell. */
  readonly installed: number | null;
  /** That nobody accounted for: destroyed. */
  readonly stale: number;
  /** That the NIC had lost: they are put in again, a session's as there is room. */
  readonly missing: number;
  /** Neither could be done. */
  readonly failed: number;
}

/**
 * Compares the rules of every NIC with those that there should be, and makes them so. In portions between which packets
 * are served: what should be there is read first, so that what is not found afterwards is gone, and each repair looks
 * again whether it is due.
 *
 * @param recovered Ports whose NICs have lost all of their rules: known even where the driver does not tell what it has.
 */
export async function repairRules(
  controller: GatewayController,
  isRunning: () => boolean,
  recovered: ReadonlySet<number> = new Set(),
): Promise<readonly RepairReport[]> {
  const reports: RepairReport[] = [];
  for (const { index } of controller.config.ports) {
    if (isRunning()) reports.push(await repairPort(controller, index, isRunning, recovered.has(index)));
  }
  return reports;
}

async function repairPort(
  controller: GatewayController,
  port: number,
  isRunning: () => boolean,
  hasRecovered: boolean,
): Promise<RepairReport> {
  const { dataplane } = controller;
  const desired = await ownRules(controller, port, isRunning);
  const told = isRunning() ? await installedRules(dataplane, port, isRunning) : null;
  const installed = told ?? (hasRecovered && isRunning() ? new BigUint64Array() : null);
  if (installed === null) return { installed: null, stale: 0, missing: 0, failed: 0 };
  const { stale, missing } = reconcile(desired, installed);
  let failed = 0;
  const sessions = new Set<bigint>();
  const apply = async (what: 'stale' | 'missing', rules: RuleSet): Promise<number> => {
    let done = 0;
    for (let at = 0; at < rules.length && isRunning(); at += TOGETHER * 2) {
      const some = rules.subarray(at, at + TOGETHER * 2);
      dataplane.repairRules(port, what, some).forEach((isDone, i) => {
        if (isDone) done++;
        const context = some[2 * i + 1];
        if (isDone && what === 'missing' && context !== 0n) {
          lost(controller, context);
          sessions.add(context & ~DIRECTION);
        }
        // A constant rule is nobody else's: what cannot be made is missed. The rest was not due any more.
        if (!isDone && what === 'missing' && context === 0n) failed++;
      });
      await turn();
    }
    return done;
  };
  // First what stands in the way: a stale rule may have the key of one that is missing.
  const destroyed = await apply('stale', stale);
  const missed = await apply('missing', missing);
  await offloadAgain(controller, sessions, isRunning);
  return { installed: installed.length / 2, stale: destroyed, missing: missed, failed };
}

/** A NIC has lost these rules, by their contexts. @returns The sessions that had them, as contexts. */
export function loseRules(controller: GatewayController, contexts: BigUint64Array): ReadonlySet<bigint> {
  const sessions = new Set<bigint>();
  for (const context of contexts) {
    lost(controller, context);
    sessions.add(context & ~DIRECTION);
  }
  return sessions;
}

/** They had their places: they need not wait until room is looked for. @param sessions As contexts. */
export async function offloadAgain(
  controller: GatewayController,
  sessions: ReadonlySet<bigint>,
  isRunning: () => boolean,
): Promise<void> {
  let asked = 0;
  for (const context of sessions) {
    for (let waited = 0; controller.roomForDecisions() === 0; waited++) {
      if (waited === PATIENCE_MS || !isRunning()) return;
      await pause(1);
    }
    controller.offload(rowOf(context), generationOf(context));
    if (++asked % TOGETHER === 0) await turn();
    if (!isRunning()) return;
  }
}

const rowOf = (context: bigint): number => Number(context & (DIRECTION - 1n));
const generationOf = (context: bigint): number => Number(context >> 32n);

function lost(controller: GatewayController, context: bigint): void {
  controller.onRuleLost(rowOf(context), generationOf(context), (context & DIRECTION) === 0n ? 0 : 1);
}

async function ownRules(controller: GatewayController, port: number, isRunning: () => boolean): Promise<RuleSet> {
  const { dataplane, engine } = controller;
  const parts: RuleSet[] = [];
  for (let row = 0; (row === 0 || row < engine.sessions.highWater) && isRunning(); ) {
    const { next, rules } = dataplane.ownRules(port, row);
    if (rules.length > 0) parts.push(rules);
    row = next;
    await turn();
  }
  return joined(parts);
}

async function installedRules(dataplane: Dataplane, port: number, isRunning: () => boolean): Promise<RuleSet | null> {
  const parts: RuleSet[] = [];
  for (let cursor: bigint | null = 0n; cursor !== null && isRunning(); ) {
    const found = dataplane.installedRules(port, cursor);
    if (found === null) return null;
    if (found.rules.length > 0) parts.push(found.rules);
    cursor = found.next;
    await turn();
  }
  return joined(parts);
}

function joined(parts: readonly RuleSet[]): RuleSet {
  const all = new BigUint64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
