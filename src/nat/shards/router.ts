import type { ValidatedConfig } from '../../config/types.js';
import { hasPorts } from '../mapping-table.js';
import type { MissedPacket } from '../packet.js';
import { OUTSIDE_CONTEXT } from '../session-table.js';
import type { Topology } from '../topology.js';
import { type LeftOver, NOTHING_LEFT } from './following.js';
import { type BlockOwners, homeOf, homeOfPair, type SharedRemotes } from './shared-state.js';

/** What of a packet tells whose it is. */
export type LookedUp = Pick<MissedPacket, 'port' | 'vni' | 'protocol' | 'source' | 'destination' | 'destinationPort'>;

export interface Found {
  readonly shard: number;
  readonly by: string;
}

/** Which shard looks a packet up: what lcores would do, by the table of docs/decisions/0017-shards.md. */
export class Router {
  constructor(
    private readonly config: ValidatedConfig,
    private readonly topology: Topology,
    private readonly shards: number,
    private readonly blocks: BlockOwners,
    private readonly remotes: SharedRemotes,
    private readonly leftOver: LeftOver = NOTHING_LEFT,
  ) {}

  shardOf(packet: LookedUp): number {
    return this.lookUp(packet).shard;
  }

  /** @returns Whose a packet is, and by what. */
  lookUp(packet: LookedUp): Found {
    const { topology } = this;
    const { source, destination } = packet;
    if (packet.port !== this.config.fabricPort) {
      const end = this.ofPublicEnd(OUTSIDE_CONTEXT, packet);
      return end ?? { shard: homeOf(destination, this.shards), by: 'untranslated' };
    }
    const behind = topology.peeringOwner(destination);
    if (topology.isPeerVni(packet.vni))
      return { shard: this.ofPair(topology.peeringOwner(source), behind), by: 'peer-pair' };
    const vpc = topology.localVpcByVni(packet.vni);
    if (vpc < 0) return { shard: 0, by: 'nobody' };
    const own = homeOf(source, this.shards);
    const end = this.ofPublicEnd(vpc, packet);
    // A hairpin, from either of its ends.
    if (end !== null) return { shard: Math.min(own, end.shard), by: `hairpin-${end.by}` };
    if (behind >= 0) return { shard: this.ofPair(vpc, behind), by: 'pair' };
    return { shard: own, by: 'home' };
  }

  /** @returns Shards that may have a session of the packet, in the order in which they look: the one that decides is last. */
  stops(packet: LookedUp): number[] {
    const { topology, leftOver, shards } = this;
    const isOutside = packet.port !== this.config.fabricPort;
    const { source, destination } = packet;
    const vpc = isOutside ? -1 : topology.localVpcByVni(packet.vni);
    const isPeer = !isOutside && topology.isPeerVni(packet.vni);
    const former: number[] = [];
    if (leftOver.addresses.includes(destination) && (isOutside || vpc >= 0)) {
      const end = this.ofDynamicEnd(isOutside ? OUTSIDE_CONTEXT : vpc, packet);
      if (end !== null) former.push(isOutside ? end.shard : Math.min(homeOf(source, shards), end.shard));
    }
    const from = isPeer ? topology.peeringOwner(source) : vpc;
    for (const one of leftOver.peering)
      if (from >= 0 && one.address === destination) former.push(this.ofPair(from, one.vpc));
    const last = this.shardOf(packet);
    return [...new Set(former)].filter((shard) => shard !== last).concat(last);
  }

  /** Whether a packet is of a hairpin with an end in each of two shards. */
  isSplit(packet: MissedPacket): boolean {
    const vpc = packet.port === this.config.fabricPort ? this.topology.localVpcByVni(packet.vni) : -1;
    const end = vpc < 0 ? null : this.ofPublicEnd(vpc, packet);
    return end !== null && end.shard !== homeOf(packet.source, this.shards);
  }

  /** The host behind a static binding, else the block's shard, else that of the session which the remote tells. */
  private ofPublicEnd(context: number, packet: LookedUp): Found | null {
    const { protocol, destination, destinationPort } = packet;
    const binding = this.topology.external.byPublic(protocol, destination, destinationPort);
    if (binding !== null) {
      const host = binding.private.first + (destination - binding.public.first);
      return { shard: homeOf(host, this.shards), by: 'binding' };
    }
    // What sessions of an older configuration have at an address of theirs leads nobody else there.
    return this.topology.isExternal(destination) ? this.ofDynamicEnd(context, packet) : null;
  }

  private ofDynamicEnd(context: number, { protocol, source, destination, destinationPort }: LookedUp): Found | null {
    const by = hasPorts(protocol) ? 'block' : 'remote';
    const shard =
      by === 'block'
        ? this.blocks.of(protocol, destination, destinationPort)
        : this.remotes.of(context, protocol, source, destination);
    return shard < 0 ? null : { shard, by };
  }

  private ofPair(a: number, b: number): number {
    return a < 0 || b < 0 ? 0 : homeOfPair(a, b, this.shards);
  }
}
