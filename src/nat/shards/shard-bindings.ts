import { DropReason } from '../../native/records.js';
import { Bindings } from '../bindings.js';
import { hasPorts, type MappingTable } from '../mapping-table.js';
import type { BindingSide, Topology } from '../topology.js';
import type { Shard } from './shard.js';

/** Bindings of one of several engines: it knows when an endpoint is another's, and what that one has said of it. */
export class ShardBindings extends Bindings {
  constructor(
    topology: Topology,
    mappings: MappingTable,
    private readonly shard: Shard,
  ) {
    super(topology, mappings);
  }

  override resolve(side: BindingSide, scope: number, protocol: number, address: number, port: number): boolean {
    if (super.resolve(side, scope, protocol, address, port)) return true;
    if (side !== 'external' || !hasPorts(protocol)) return false;
    const end = this.shard.known.destination;
    if (end !== null) {
      if (end.answer.reason !== DropReason.none) return false;
      this.found.vpc = end.answer.vpc;
      this.found.address = end.answer.insideAddress;
      this.found.port = end.answer.insidePort;
      this.found.mapping = end.row;
      return true;
    }
    const owner = this.shard.blocks.of(protocol, address >>> 0, port);
    if (owner !== this.shard.index) this.shard.foreignEnd = owner;
    return false;
  }
}
