import { AddressMap } from './address-map.js';
import type { PoolCount } from './pool-use.js';
import type { PortGate } from './port-gate.js';
import type { PortAllocator } from './port-set.js';

/** The ports of one public address, protocol and scope. They outlive the pool that the address was in. */
export interface AddressPorts<Pool> {
  readonly scope: number;
  readonly protocol: number;
  readonly address: number;
  readonly ports: PortAllocator;
  /** What of them this gateway of a pair owns; null: all. */
  readonly gate: PortGate | null;
  /** Whether a static binding has the whole address. */
  isReserved: boolean;
  count: PoolCount;
  /** The pool that gives them out; null after a change of configuration, until one does again. */
  pool: Pool | null;
}

/** Ports by scope, protocol and address. */
export class PortSets<Pool> {
  readonly all: AddressPorts<Pool>[] = [];
  /** By scope * 4 + a number of the protocol: index in `all` by address. */
  private readonly byAddress: AddressMap[] = [];

  get(scope: number, protocol: number, address: number): AddressPorts<Pool> | undefined {
    const sets = this.byAddress[scope * 4 + protocolNumber(protocol)];
    const index = sets === undefined ? -1 : sets.get(address);
    return index < 0 ? undefined : this.all[index];
  }

  add(set: AddressPorts<Pool>): void {
    const at = set.scope * 4 + protocolNumber(set.protocol);
    while (this.byAddress.length <= at) this.byAddress.push(new AddressMap());
    this.byAddress[at].set(set.address, this.all.length);
    this.all.push(set);
  }
}

/** @returns A number for an address's ports: below 2^53. */
export function keyOf(scope: number, protocol: number, address: number): number {
  return (scope * 4 + protocolNumber(protocol)) * 0x1_0000_0000 + (address >>> 0);
}

/** Protocols with ports are 1, 6 and 17: two bits tell them apart. */
function protocolNumber(protocol: number): number {
  return protocol === 6 ? 1 : protocol === 17 ? 2 : 0;
}
