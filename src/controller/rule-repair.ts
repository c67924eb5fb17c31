import { setImmediate as turn } from 'node:timers/promises';
import type { Dataplane } from '../native/binding.js';
import { joined, type RuleSet, reconcile } from './reconcile.js';
import { type Repair, type Repaired, type RuleKeeping, shownRowOf } from './rule-keeper.js';

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

/** Who has rules in the NICs. */
export interface RuleOwners {
  /** What the NICs say is read here. */
  readonly dataplane: Pick<Dataplane, 'installedRules'>;
  /** Each engine; constant rules are the first one's. */
  readonly keepers: readonly RuleKeeping[];
  /** Of each one's sessions. */
  readonly rowsOfEach: number;
}

/**
 * Compares the rules of a NIC with those that there should be, and makes them so. In portions between which packets
 * are served: what should be there is read first, so that what is not found afterwards is gone, and each repair looks
 * again whether it is due.
 *
 * @param hasRecovered The NIC has lost all of its rules: known even where the driver does not tell what it has.
 * @param goesOn       Asked now and then; false once the answer is of no use any more.
 */
export async function repairPort(
  owners: RuleOwners,
  port: number,
  hasRecovered: boolean,
  goesOn: () => boolean,
): Promise<RepairReport> {
  const { keepers, dataplane } = owners;
  const desired = joined(await Promise.all(keepers.map((keeper) => keeper.ownRules(port))));
  const told = goesOn() ? await installedRules(dataplane, port, goesOn) : null;
  const installed = told ?? (hasRecovered && goesOn() ? new BigUint64Array() : null);
  if (installed === null) return { installed: null, stale: 0, missing: 0, failed: 0 };
  const { stale, missing } = reconcile(desired, installed);
  const apply = async (what: Repair, rules: RuleSet): Promise<Repaired> => {
    if (!goesOn()) return { done: 0, failed: 0 };
    const each = byKeeper(owners, rules);
    const found = await Promise.all(keepers.map((keeper, i) => keeper.repair(port, what, each[i])));
    return found.reduce((sum, one) => ({ done: sum.done + one.done, failed: sum.failed + one.failed }));
  };
  // First what stands in the way, whoever has made it: a stale rule may have the key of one that is missing.
  const destroyed = await apply('stale', stale);
  const missed = await apply('missing', missing);
  return { installed: installed.length / 2, stale: destroyed.done, missing: missed.done, failed: missed.failed };
}

/** @returns By keeper, the rules of its rows. What is nobody's is the first one's to judge. */
function byKeeper({ keepers, rowsOfEach }: RuleOwners, rules: RuleSet): RuleSet[] {
  if (keepers.length === 1) return [rules];
  const parts: bigint[][] = keepers.map(() => []);
  for (let i = 0; i < rules.length; i += 2) {
    const index = Math.floor(shownRowOf(rules[i + 1]) / rowsOfEach);
    (parts[index] ?? parts[0]).push(rules[i], rules[i + 1]);
  }
  return parts.map((part) => BigUint64Array.from(part));
}

async function installedRules(
  dataplane: RuleOwners['dataplane'],
  port: number,
  goesOn: () => boolean,
): Promise<RuleSet | null> {
  const parts: RuleSet[] = [];
  for (let cursor: bigint | null = 0n; cursor !== null && goesOn(); ) {
    const found = dataplane.installedRules(port, cursor);
    if (found === null) return null;
    if (found.rules.length > 0) parts.push(found.rules);
    cursor = found.next;
    await turn();
  }
  return joined(parts);
}
