import type { MappingTable } from './mapping-table.js';
import { hasPorts } from './mapping-table.js';
import type { BindingSide, Topology } from './topology.js';

/** The private endpoint behind a public one. One object is used again for every look-up. */
export interface BoundEndpoint {
  vpc: number;
  address: number;
  port: number;
  /** Row of the dynamic mapping, or -1 for a static binding. */
  mapping: number;
}

/** Public endpoints that lead to a private host: static bindings first, then live dynamic mappings. */
export class Bindings {
  readonly found: BoundEndpoint = { vpc: 0, address: 0, port: 0, mapping: -1 };

  constructor(
    protected readonly topology: Topology,
    protected readonly mappings: MappingTable,
  ) {}

  /**
   * @param address u32 or i32: the same 32 bits.
   * @param scope 0 on the external side; n+1 where VPC n looks at a peering address.
   * @returns Whether the endpoint is bound; then `found` says to whom.
   */
  resolve(side: BindingSide, scope: number, protocol: number, address: number, port: number): boolean {
    const binding = this.topology[side].byPublic(protocol, address, port);
    if (binding !== null) {
      this.found.vpc = binding.vpc;
      this.found.address = binding.private.first + ((address >>> 0) - binding.public.first);
      this.found.port = binding.privatePort ?? port;
      this.found.mapping = -1;
      return true;
    }
    const mapping = hasPorts(protocol) ? this.mappings.byPublic(scope, protocol, address, port) : -1;
    if (mapping < 0) return false;
    this.found.vpc = this.mappings.vpc(mapping);
    this.found.address = this.mappings.insideAddress(mapping);
    this.found.port = this.mappings.insidePort(mapping);
    this.found.mapping = mapping;
    return true;
  }
}
