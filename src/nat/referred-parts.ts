import type { ValidatedConfig } from '../config/types.js';
import { isRetired } from './alignment.js';
import type { MappingTable } from './mapping-table.js';
import { emptyFacts, OUTSIDE_CONTEXT, peerOfContext, type SessionTable } from './session-table.js';

/**
 * Indexes of VPCs and peer gateways that sessions still refer to. Looked for only when the configuration has retired
 * ones, whose places others could take; else empty.
 */
export function referredParts(
  config: ValidatedConfig,
  sessions: SessionTable,
  mappings: MappingTable,
): { readonly vpcs: ReadonlySet<number>; readonly peers: ReadonlySet<number> } {
  const vpcs = new Set<number>();
  const peers = new Set<number>();
  if (!config.vpcs.some(isRetired) && !config.peerGateways.some(isRetired)) return { vpcs, peers };
  const facts = emptyFacts();
  for (const row of sessions.rowsInUse()) {
    sessions.read(row, facts);
    for (const context of [facts.forwardContext, facts.reverseContext]) {
      const peer = peerOfContext(context);
      if (peer >= 0) peers.add(peer);
      else if (context !== OUTSIDE_CONTEXT) vpcs.add(context);
    }
    vpcs.add(facts.vpc).add(facts.destinationVpc);
    for (const mapping of [facts.sourceMapping, facts.destinationMapping]) {
      if (mapping >= 0) vpcs.add(mappings.vpc(mapping)).add(mappings.scope(mapping) - 1);
    }
  }
  return { vpcs, peers };
}
