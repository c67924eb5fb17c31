import { writeMac } from '../config/address.js';

const ETHERNET_BYTES = 14;
const VLAN_BYTES = 4;
const IPV4_BYTES = 20;
const UDP_BYTES = 8;
const TCP_BYTES = 20;
const VXLAN_BYTES = 8;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_VLAN = 0x8100;
const TCP = 6;
const UDP = 17;
const TCP_ACK = 0x10; // RFC 9293 section 3.1
const VXLAN_I = 0x08; // RFC 7348 section 5
const TTL = 64;

/** A TCP or UDP packet in five numbers; addresses u32 host order. */
export interface ProbePacket {
  readonly protocol: 6 | 17;
  readonly source: number;
  readonly destination: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export interface Tunnel {
  readonly sourceMac: number;
  readonly gatewayMac: number;
  readonly source: number;
  readonly gateway: number;
  readonly udpPort: number;
  readonly vni: number;
  readonly innerSourceMac: number;
}

/** As a VPC's host would send it: in VXLAN, to the gateway. TCP: a bare ACK. UDP without a checksum (RFC 768). */
export function tunnelledFrame(tunnel: Tunnel, packet: ProbePacket): Uint8Array {
  const inner = ipv4Packet(packet);
  const vxlan = new Uint8Array(VXLAN_BYTES + ETHERNET_BYTES + inner.length);
  const view = new DataView(vxlan.buffer);
  view.setUint8(0, VXLAN_I);
  view.setUint32(4, tunnel.vni << 8);
  writeMac(view, VXLAN_BYTES, tunnel.gatewayMac);
  writeMac(view, VXLAN_BYTES + 6, tunnel.innerSourceMac);
  view.setUint16(VXLAN_BYTES + 12, ETHERTYPE_IPV4);
  vxlan.set(inner, VXLAN_BYTES + ETHERNET_BYTES);
  const outer = ipv4Packet(
    {
      protocol: UDP,
      source: tunnel.source,
      destination: tunnel.gateway,
      sourcePort: 49152,
      destinationPort: tunnel.udpPort,
    },
    vxlan,
  );
  return plainFrame(tunnel.sourceMac, tunnel.gatewayMac, null, outer);
}

/** As the outside's router would send it. */
export function externalFrame(
  sourceMac: number,
  gatewayMac: number,
  vlan: number | null,
  packet: ProbePacket,
): Uint8Array {
  return plainFrame(sourceMac, gatewayMac, vlan, ipv4Packet(packet));
}

/** What is in a frame, in VXLAN or plain; null when it is neither TCP nor UDP over IPv4. */
export function readFrame(frame: Uint8Array, vxlanUdpPort: number): ProbePacket | null {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const packet = readEthernet(view, 0);
  if (packet === null || packet.protocol !== UDP || packet.destinationPort !== vxlanUdpPort) return packet;
  return readEthernet(view, ETHERNET_BYTES + IPV4_BYTES + UDP_BYTES + VXLAN_BYTES) ?? packet;
}

function readEthernet(view: DataView, start: number): ProbePacket | null {
  if (start + ETHERNET_BYTES + VLAN_BYTES > view.byteLength) return null;
  const tagged = view.getUint16(start + 12) === ETHERTYPE_VLAN;
  const at = start + ETHERNET_BYTES + (tagged ? VLAN_BYTES : 0);
  if (view.getUint16(at - 2) !== ETHERTYPE_IPV4 || at + IPV4_BYTES + 4 > view.byteLength) return null;
  const protocol = view.getUint8(at + 9);
  const transport = at + (view.getUint8(at) & 0xf) * 4;
  if ((protocol !== TCP && protocol !== UDP) || transport + 4 > view.byteLength) return null;
  return {
    protocol,
    source: view.getUint32(at + 12),
    destination: view.getUint32(at + 16),
    sourcePort: view.getUint16(transport),
    destinationPort: view.getUint16(transport + 2),
  };
}

function plainFrame(sourceMac: number, destinationMac: number, vlan: number | null, packet: Uint8Array): Uint8Array {
  const header = ETHERNET_BYTES + (vlan === null ? 0 : VLAN_BYTES);
  const frame = new Uint8Array(header + packet.length);
  const view = new DataView(frame.buffer);
  writeMac(view, 0, destinationMac);
  writeMac(view, 6, sourceMac);
  if (vlan !== null) {
    view.setUint16(12, ETHERTYPE_VLAN);
    view.setUint16(14, vlan);
  }
  view.setUint16(header - 2, ETHERTYPE_IPV4);
  frame.set(packet, header);
  return frame;
}

function ipv4Packet(packet: ProbePacket, payload = new Uint8Array()): Uint8Array {
  const transport = packet.protocol === TCP ? TCP_BYTES : UDP_BYTES;
  const bytes = new Uint8Array(IPV4_BYTES + transport + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, 0x45);
  view.setUint16(2, bytes.length);
  view.setUint8(8, TTL);
  view.setUint8(9, packet.protocol);
  view.setUint32(12, packet.source);
  view.setUint32(16, packet.destination);
  view.setUint16(10, checksum(view, 0, IPV4_BYTES, 0));
  view.setUint16(IPV4_BYTES, packet.sourcePort);
  view.setUint16(IPV4_BYTES + 2, packet.destinationPort);
  if (packet.protocol === UDP) {
    view.setUint16(IPV4_BYTES + 4, UDP_BYTES + payload.length);
  } else {
    view.setUint8(IPV4_BYTES + 12, (TCP_BYTES / 4) << 4);
    view.setUint8(IPV4_BYTES + 13, TCP_ACK);
    const pseudo = sumOf(view, 12, 8) + TCP + TCP_BYTES; // RFC 9293 section 3.1
    view.setUint16(IPV4_BYTES + 16, checksum(view, IPV4_BYTES, TCP_BYTES, pseudo));
  }
  bytes.set(payload, IPV4_BYTES + transport);
  return bytes;
}

function sumOf(view: DataView, at: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i += 2) sum += view.getUint16(at + i);
  return sum;
}

/** RFC 1071, over an even number of bytes. */
function checksum(view: DataView, at: number, length: number, initial: number): number {
  let sum = initial + sumOf(view, at, length);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
