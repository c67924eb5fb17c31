import type { ValidatedConfig } from '../../config/types.js';
import type { EngineParts } from '../engine-parts.js';
import { RangeTable } from '../range-table.js';
import { referredParts } from '../referred-parts.js';
import { emptyFacts } from '../session-table.js';
import type { Topology } from '../topology.js';
import type { LeftOver, LeftPeering, ShardChange, ShardHoldings } from './following.js';
import type { HairpinEnds } from './hairpin-ends.js';
import type { Shard } from './shard.js';
import type { ShardOpening } from './shard-opening.js';
import { SharedLimits } from './shared-limits.js';

/** How one of several engines follows another configuration, together with the others: see following.ts. */
export class ShardFollowing {
  /** @param review Begins the walk over all sessions. */
  constructor(
    private readonly parts: EngineParts,
    private readonly shard: Shard,
    private readonly opening: ShardOpening,
    private readonly hairpins: HairpinEnds,
    private readonly review: (previous: Topology) => void,
  ) {}

  /** What there is that a new configuration must leave here. */
  holdings(): ShardHoldings {
    const { config, sessions, mappings } = this.parts;
    const { vpcs, peers } = referredParts(config, sessions, mappings);
    return { ports: this.shard.pools.heldPorts(mappings), vpcs: [...vpcs], peers: [...peers] };
  }

  /** New packets meet the configuration from now on. Others may not have it yet: nothing is decided until all have. */
  follow({ config, limits, dealt }: ShardChange): LeftOver {
    const { parts, shard } = this;
    // What waits is looked up by the new meaning, which may be another shard's.
    this.opening.retryAll();
    shard.limits = new SharedLimits(limits, config.nat.maxSessions);
    shard.pools.ports.follow(dealt);
    const previous = parts.followAligned(seededAs(parts.config, config));
    this.count();
    shard.pools.ports.askAgain();
    this.hairpins.followOffers();
    this.review(previous);
    return this.leftOver();
  }

  /** What sessions have here that the configuration would look up elsewhere. */
  leftOver(): LeftOver {
    const { parts, shard } = this;
    const { topology, mappings, config } = parts;
    const pooled = new RangeTable(
      config.externalPools.flatMap(({ ranges }, value) => ranges.map((range) => ({ ...range, value }))),
    );
    const addresses = new Set<number>();
    const peering: LeftPeering[] = [];
    for (const row of mappings.rowsInUse()) {
      if (shard.guests.has(row)) continue;
      const [scope, protocol] = [mappings.scope(row), mappings.protocol(row)];
      const [address, port, vpc] = [mappings.publicAddress(row), mappings.publicPort(row), mappings.vpc(row)];
      if (scope > 0) {
        const isOurs = topology.peeringOwner(address) === vpc;
        if (!isOurs) peering.push({ shard: shard.index, scope, protocol, address, port, vpc });
      } else if (pooled.find(address) < 0 || topology.external.byPublic(protocol, address, port) !== null) {
        addresses.add(address);
      }
    }
    return { addresses: [...addresses], peering };
  }

  /** What is left over in all shards. */
  know(leftOver: LeftOver): void {
    this.shard.know(leftOver);
  }

  /** Sessions are counted for the limits of the new configuration. */
  private count(): void {
    const { sessions, config } = this.parts;
    const facts = emptyFacts();
    for (const row of sessions.rowsInUse()) {
      sessions.read(row, facts);
      const inside = facts.insideInitiated ? facts.forwardSource : facts.translatedDestination;
      this.shard.limits.count(config.vpcs[facts.vpc], inside);
    }
  }
}

/** Each engine gives out ports by chances of its own. */
function seededAs({ nat: { seed } }: ValidatedConfig, config: ValidatedConfig): ValidatedConfig {
  return { ...config, nat: { ...config.nat, seed } };
}
