import type { ValidatedConfig } from '../../../src/config/types.js';
import { hasPorts } from '../../../src/nat/mapping-table.js';
import type { MissedPacket } from '../../../src/nat/packet.js';
import { OUTSIDE_CONTEXT } from '../../../src/nat/session-table.js';
import { type BlockOwners, homeOf, homeOfPair, type SharedRemotes } from '../../../src/nat/shards/shared-state.js';
import type { Topology } from '../../../src/nat/topology.js';

/** Which shard looks a packet up: what lcores would do, by the table of docs/decisions/0017-shards.md. */
export class Router {
  constructor(
    private readonly config: ValidatedConfig,
    private readonly topology: Topology,
    private readonly shards: number,
    private readonly blocks: BlockOwners,
    private readonly remotes: SharedRemotes,
  ) {}

  shardOf(packet: MissedPacket): number {
    const { topology } = this;
    const { source, destination } = packet;
    if (packet.port !== this.config.fabricPort) {
      const end = this.ofPublicEnd(OUTSIDE_CONTEXT, packet);
      return end >= 0 ? end : homeOf(destination, this.shards);
    }
    const behind = topology.peeringOwner(destination);
    if (topology.isPeerVni(packet.vni)) return this.ofPair(topology.peeringOwner(source), behind);
    const vpc = topology.localVpcByVni(packet.vni);
    if (vpc < 0) return 0;
    const own = homeOf(source, this.shards);
    const end = this.ofPublicEnd(vpc, packet);
    // A hairpin, from either of its ends.
    if (end >= 0) return Math.min(own, end);
    return behind >= 0 ? this.ofPair(vpc, behind) : own;
  }

  /** The host behind a static binding, else the block's shard, else that of the session which the remote tells. */
  private ofPublicEnd(context: number, { protocol, source, destination, destinationPort }: MissedPacket): number {
    const binding = this.topology.external.byPublic(protocol, destination, destinationPort);
    if (binding !== null) {
      return homeOf(binding.private.first + (destination - binding.public.first), this.shards);
    }
    if (hasPorts(protocol)) return this.blocks.of(protocol, destination, destinationPort);
    return this.remotes.of(context, protocol, source, destination);
  }

  private ofPair(a: number, b: number): number {
    return a < 0 || b < 0 ? 0 : homeOfPair(a, b, this.shards);
  }
}
