import type { RuleSet } from '../reconcile.js';
import type { Repair, Repaired, RuleKeeping } from '../rule-keeper.js';
import type { ShardThread } from './shard-thread.js';

/** An engine's rules, by way of its thread. Whatever is asked fails with what the thread has ended with. */
export class RemoteRules implements RuleKeeping {
  constructor(private readonly thread: Pick<ShardThread, 'lead'>) {}

  ownRules(port: number): Promise<RuleSet> {
    return this.thread.lead({ step: 'own-rules', port });
  }

  async repair(port: number, what: Repair, rules: RuleSet): Promise<Repaired> {
    if (rules.length === 0) return { done: 0, failed: 0 };
    return this.thread.lead({ step: 'repair', port, what, rules });
  }

  async closePort(port: number): Promise<void> {
    await this.thread.lead<null>({ step: 'close-port', port });
  }

  portReopened(port: number): Promise<number> {
    return this.thread.lead({ step: 'port-reopened', port });
  }
}
