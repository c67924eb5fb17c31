import type { FlowArguments } from '../native/records.js';

/**
 * Match+action lists: what the NAT engine says a NIC, or the software table, shall do with the packets of one direction
 * of a session. A list is immutable. Written by hand as JSON (schemas/flow-list.schema.json) or made by src/nat/shapes.ts.
 */

/** Name of a per-flow value; see FlowArguments in schemas/records.json. */
export type ArgumentName = Exclude<keyof typeof FlowArguments, 'size'>;

/** A constant (MACs as 48-bit numbers, IPv4 as u32 host order), or the flow's argument of that name. */
export type Value = number | { readonly argument: ArgumentName };

/**
 * A matched field: exact, under a mask, or a range of the field's bits under `mask` (absent: all of them), both ends
 * included. Masks and ranges are of constant values only.
 */
export type MatchValue =
  | Value
  | { readonly value: number; readonly mask: number }
  | { readonly first: number; readonly last: number; readonly mask?: number };

/**
 * A header that must be there, and what its fields must hold; fields not named may hold anything.
 *
 * `eth.etherType` is the two bytes after the addresses (a tag's 0x8100 included); a following item implies it. `vid`
 * is the tag's low 12 bits. `fragmentOffset` is the 16-bit word of flags and offset, `versionIhl` the first byte.
 * `udp` followed by `vxlan` implies the underlay's VXLAN port. L4 items match no fragment, a first one neither.
 */
export type MatchItem =
  | {
      readonly type: 'eth';
      readonly source?: MatchValue;
      readonly destination?: MatchValue;
      readonly etherType?: MatchValue;
    }
  | { readonly type: 'vlan'; readonly vid?: MatchValue }
  | {
      readonly type: 'ipv4';
      readonly source?: MatchValue;
      readonly destination?: MatchValue;
      readonly protocol?: MatchValue;
      readonly ttl?: MatchValue;
      readonly fragmentOffset?: MatchValue;
      readonly versionIhl?: MatchValue;
    }
  | { readonly type: 'ipv6' }
  | { readonly type: 'udp'; readonly source?: MatchValue; readonly destination?: MatchValue }
  | {
      readonly type: 'tcp';
      readonly source?: MatchValue;
      readonly destination?: MatchValue;
      readonly flags?: MatchValue;
    }
  | {
      readonly type: 'icmp';
      readonly icmpType?: MatchValue;
      readonly icmpCode?: MatchValue;
      readonly identifier?: MatchValue;
    }
  | { readonly type: 'vxlan'; readonly vni?: MatchValue }
  /** Integrity of a layer's IPv4 header checksum; layer 1 outermost, 2 inner. */
  | { readonly type: 'integrity'; readonly layer: 1 | 2; readonly ipv4ChecksumOk: boolean };

export type Action =
  | { readonly type: 'pop-vxlan' }
  | {
      readonly type: 'push-vxlan';
      readonly sourceMac: Value;
      readonly destinationMac: Value;
      readonly source: Value;
      readonly destination: Value;
      readonly udpSourcePort: Value;
      readonly udpDestinationPort: Value;
      readonly vni: Value;
    }
  | { readonly type: 'set-vni'; readonly vni: Value }
  | { readonly type: 'pop-vlan' }
  | { readonly type: 'push-vlan'; readonly vid: Value }
  | { readonly type: 'set-ethernet'; readonly source?: Value; readonly destination?: Value }
  | { readonly type: 'set-ipv4'; readonly source?: Value; readonly destination?: Value }
  | { readonly type: 'set-l4'; readonly protocol: 'tcp' | 'udp'; readonly source?: Value; readonly destination?: Value }
  | { readonly type: 'set-icmp-identifier'; readonly identifier: Value }
  | { readonly type: 'decrement-ttl' }
  /** The IPv4 and L4 checksums are right after the rewrites (incrementally: a wrong one stays wrong). */
  | { readonly type: 'checksum' }
  | { readonly type: 'count' }
  | { readonly type: 'age'; readonly seconds: Value }
  | { readonly type: 'mark'; readonly id: Value }
  | { readonly type: 'output'; readonly port: number }
  | { readonly type: 'punt'; readonly port: number }
  | { readonly type: 'drop' }
  | { readonly type: 'jump'; readonly group: number };

/** One direction. `ingress` is the gateway port (index) on whose wire the packets arrive. */
export interface FlowList {
  readonly name: string;
  readonly ingress: number;
  /** Headers from the outermost inwards; what follows `vxlan` is the inner frame. */
  readonly match: readonly MatchItem[];
  /** In order; each acts on the outermost header of its kind at that point. */
  readonly actions: readonly Action[];
}
