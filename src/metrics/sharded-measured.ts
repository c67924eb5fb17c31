import type { ShardedGateway } from '../controller/shards/sharded-gateway.js';
import type { Measured } from './gateway-metrics.js';

/** @returns What the shards of a gateway have counted together. */
export async function measureShards(gateway: ShardedGateway): Promise<Measured> {
  const { sessions, pools, mappings, statistics, evictions, ruleRetries, installFailures } = await gateway.measure();
  const { config, nicRules } = gateway;
  return {
    config,
    engine: {
      tally: { counts: () => sessions },
      poolUse: pools,
      sessions: { capacity: config.nat.maxSessions },
      mappings: { count: mappings },
    },
    dataplane: { statistics: () => statistics },
    nicRulesWanted: nicRules.wanted,
    nicRulesMost: nicRules.most,
    evictions,
    ruleRetries,
    installFailures: new Map(installFailures),
  };
}
