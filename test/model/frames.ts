import type { ValidatedConfig } from '../../src/config/types.js';
import { checksum } from './checksum.js';
import { encodeIpv4, Packet, UDP } from './ipv4.js';

export const VXLAN_BYTES = 50;
export const BROADCAST = 0xffffffffffff;

export function mac(value: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUIntBE(value, 0, 6);
  return bytes;
}

export function ethernet(
  destination: number,
  source: number,
  type: number,
  payload: Buffer,
  vlan: number | null = null,
): Buffer {
  const header = Buffer.alloc(vlan === null ? 14 : 18);
  mac(destination).copy(header, 0);
  mac(source).copy(header, 6);
  if (vlan !== null) {
    header.writeUInt16BE(0x8100, 12);
    header.writeUInt16BE(vlan, 14);
  }
  header.writeUInt16BE(type, header.length - 2);
  return Buffer.concat([header, payload]);
}

export interface Encapsulation {
  readonly outerDestinationMac: number;
  readonly outerSourceMac: number;
  readonly outerSource: number;
  readonly outerDestination: number;
  readonly udpPort: number;
  readonly vni: number;
  readonly flags?: number;
  readonly innerDestinationMac: number;
  readonly innerSourceMac: number;
  readonly innerType?: number;
  readonly outerMoreFragments?: boolean;
}

/** A frame of an underlay neighbour: RFC 7348 section 5. */
export function vxlan(e: Encapsulation, inner: Buffer): Buffer {
  const frame = ethernet(e.innerDestinationMac, e.innerSourceMac, e.innerType ?? 0x0800, inner);
  const udp = Buffer.alloc(16);
  udp.writeUInt16BE(50000, 0);
  udp.writeUInt16BE(e.udpPort, 2);
  udp.writeUInt16BE(16 + frame.length, 4);
  udp[8] = e.flags ?? 8;
  udp.writeUIntBE(e.vni, 12, 3);
  const outer = encodeIpv4({
    source: e.outerSource,
    destination: e.outerDestination,
    protocol: UDP,
    payload: Buffer.concat([udp, frame]),
    dontFragment: e.outerMoreFragments !== true,
    moreFragments: e.outerMoreFragments === true,
  });
  return ethernet(e.outerDestinationMac, e.outerSourceMac, 0x0800, outer);
}

export interface Arp {
  readonly operation: number;
  readonly senderMac: number;
  readonly sender: number;
  readonly targetMac: number;
  readonly target: number;
}

export function encodeArp(arp: Arp): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16BE(1, 0);
  bytes.writeUInt16BE(0x0800, 2);
  bytes[4] = 6;
  bytes[5] = 4;
  bytes.writeUInt16BE(arp.operation, 6);
  mac(arp.senderMac).copy(bytes, 8);
  bytes.writeUInt32BE(arp.sender, 14);
  mac(arp.targetMac).copy(bytes, 18);
  bytes.writeUInt32BE(arp.target, 24);
  return bytes;
}

/** A frame that left the gateway, taken apart; the parts that are never free are already checked. */
export interface Seen {
  readonly port: number;
  readonly micros: number;
  readonly bytes: Buffer;
  readonly destinationMac: number;
  /** Ethernet type of the innermost frame. */
  readonly type: number;
  /** The host's own packet, or ARP; without padding when it is IPv4. */
  readonly payload: Buffer;
  readonly tunnel: {
    readonly vni: number;
    readonly vtep: number;
    readonly entropy: number;
    readonly innerDestinationMac: number;
  } | null;
  /** What no frame of the gateway may have: wrong MACs, outer header fields, lengths. */
  readonly faults: readonly string[];
}

/** Takes a transmitted frame apart and judges all of it that does not depend on what caused it. */
export function dissect(config: ValidatedConfig, port: number, micros: number, bytes: Buffer): Seen {
  const faults: string[] = [];
  const demand = (truth: boolean, text: string) => {
    if (!truth) faults.push(text);
  };
  const { role, mac: portMac, vlan, mtu } = config.ports[port];
  let at = 12;
  demand(bytes.readUIntBE(6, 6) === portMac, 'source MAC is not the port’s');
  const tagged = bytes.readUInt16BE(at) === 0x8100;
  demand(tagged === (vlan !== null), 'VLAN tag');
  if (tagged) {
    demand((bytes.readUInt16BE(at + 2) & 0xfff) === vlan, 'VLAN id');
    at += 4;
  }
  let type = bytes.readUInt16BE(at);
  let payload = bytes.subarray(at + 2);
  let tunnel: Seen['tunnel'] = null;
  if (type === 0x0800) {
    const outer = new Packet(payload);
    demand(outer.totalLength <= mtu, `IPv4 packet of ${outer.totalLength} bytes above the MTU ${mtu}`);
    if (
      role === 'fabric' &&
      outer.protocol === UDP &&
      outer.destinationPort === config.underlay.udpPort &&
      !outer.isFragment
    ) {
      demand(checksum(payload, 0, outer.headerLength) === 0, 'outer IPv4 checksum');
      demand(outer.headerLength === 20, 'outer options');
      demand(outer.totalLength === payload.length, 'outer length');
      demand(outer.ttl === 64, `outer TTL ${outer.ttl}`);
      demand(payload[1] === 0, `outer TOS ${payload[1]}`);
      demand(outer.dontFragment, 'outer DF');
      demand(outer.source === config.underlay.vtep, 'outer source');
      const udp = outer.transport;
      demand(udp.readUInt16BE(6) === 0, 'outer UDP checksum');
      demand(udp.readUInt16BE(4) === udp.length, 'outer UDP length');
      demand(udp[8] === 8 && udp.readUIntBE(9, 3) === 0 && udp[15] === 0, 'VXLAN flags or reserved bits');
      const entropy = outer.sourcePort;
      demand(entropy >= 49152, `outer UDP source ${entropy}`);
      const inner = udp.subarray(16);
      demand(inner.readUIntBE(6, 6) === config.underlay.mac, 'inner source MAC');
      tunnel = {
        vni: udp.readUIntBE(12, 3),
        vtep: outer.destination,
        entropy,
        innerDestinationMac: inner.readUIntBE(0, 6),
      };
      type = inner.readUInt16BE(12);
      payload = inner.subarray(14);
    }
  }
  if (type === 0x0800) {
    const length = new Packet(payload).totalLength;
    demand(length <= payload.length, 'IPv4 total length beyond the frame');
    payload = payload.subarray(0, length);
    demand(checksum(payload, 0, new Packet(payload).headerLength) === 0, 'IPv4 header checksum');
  }
  return { port, micros, bytes, destinationMac: bytes.readUIntBE(0, 6), type, payload, tunnel, faults };
}
