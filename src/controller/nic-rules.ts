import type { Logger } from 'pino';
import type { ValidatedConfig } from '../config/types.js';
import type { Dataplane } from '../native/binding.js';
import { FailedNics } from './failed-nics.js';
import { type RepairReport, type RuleOwners, repairPort } from './rule-repair.js';

export interface NicRulesOptions extends RuleOwners {
  /** The one with the ports. */
  readonly dataplane: Dataplane;
  readonly config: () => ValidatedConfig;
  readonly isRunning: () => boolean;
  readonly log: Logger;
}

/** The rules of all NICs, held to what the engines say, and made anew when a NIC has failed. */
export class NicRules {
  private repairs = false;
  private readonly failedNics: FailedNics;

  constructor(private readonly options: NicRulesOptions) {
    const nameOf = (port: number) => options.config().ports[port].name;
    this.failedNics = new FailedNics({ ...options, nameOf });
  }

  /** Makes the NICs' rules those that there should be. @returns By port index, what was found; null: somebody else does it already. @throws What an engine fails with */
  async reconcile(): Promise<readonly RepairReport[] | null> {
    if (this.repairs) return null;
    this.repairs = true;
    try {
      const reports = await this.repairAll();
      const found = reports.reduce((sum, { stale, missing }) => sum + stale + missing, 0);
      if (found > 0) this.options.log.warn({ reports }, 'the rules of a NIC were not those that there should be');
      return reports;
    } finally {
      this.repairs = false;
    }
  }

  /** Asked every now and then. @param nowMs Of a monotonic clock. @throws What an engine fails with */
  async look(nowMs: number): Promise<void> {
    await this.failedNics.look(nowMs);
    if (!this.repairs && this.failedNics.takeLook()) await this.reconcile();
  }

  private async repairAll(): Promise<RepairReport[]> {
    const { options, failedNics } = this;
    const recovered = failedNics.takeRecovered();
    const reports: RepairReport[] = [];
    for (const { index } of options.config().ports) {
      if (!options.isRunning()) break;
      const closings = failedNics.closingsOf(index);
      const goesOn = () => options.isRunning() && failedNics.closingsOf(index) === closings;
      reports.push(await repairPort(options, index, recovered.has(index), goesOn));
    }
    return reports;
  }
}
