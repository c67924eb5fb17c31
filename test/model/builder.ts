import { BROADCAST, type Encapsulation, encodeArp, ethernet, vxlan } from './frames.js';
import type { Arrival, GatewayModel } from './gateway-model.js';
import { encodeIpv4, GRE, ICMP, Icmp, type Ipv4, TCP, Tcp, UDP, withTransportChecksum } from './ipv4.js';
import type { Random } from './random.js';
import type { Tuple } from './state.js';
import { describePacket } from './step.js';
import { type Context, OUTSIDE, peerOf } from './topology.js';

export const HOST_MAC = 0x02000000aa01;

export interface PacketOptions extends Partial<Ipv4> {
  readonly tcpFlags?: number;
  /** ICMP type of an echo packet. */
  readonly icmpType?: number;
  /** Payload bytes after the transport header. */
  readonly size?: number;
  readonly transportChecksum?: 'right' | 'wrong' | 'zero';
}

/** Makes packets and the frames that bring them, as hosts and neighbours send them. */
export class Builder {
  private identification: number;

  constructor(
    private readonly model: GatewayModel,
    private readonly random: Random,
    seed: number,
  ) {
    this.identification = seed & 0xffff;
  }

  /** A whole packet with a tuple; what the options leave out is random. */
  packet(t: Tuple, options: PacketOptions = {}): Buffer {
    const { random } = this;
    const data = Buffer.alloc(options.size ?? random.pick([0, 1, 8, 33]), random.int(0, 255));
    const bytes = encodeIpv4({
      ttl: random.pick([2, 3, 64, 255]),
      tos: random.chance(0.2) ? random.int(0, 255) : 0,
      id: this.nextIdentification(),
      dontFragment: random.chance(0.5),
      ...(random.chance(0.05) ? { options: Buffer.from([1, 1, 1, 0]) } : {}),
      ...options,
      source: t.source,
      destination: t.destination,
      protocol: t.protocol,
      payload: Buffer.concat([this.transport(t, options, data.length), data]),
    });
    return this.withChecksum(bytes, t.protocol, options.transportChecksum ?? 'right');
  }

  nextIdentification(): number {
    this.identification = (this.identification % 0xffff) + 1;
    return this.identification;
  }

  private transport(t: Tuple, options: PacketOptions, dataLength: number): Buffer {
    const header = Buffer.alloc(t.protocol === TCP ? 20 : t.protocol === GRE ? 4 : 8);
    if (t.protocol === TCP || t.protocol === UDP) {
      header.writeUInt16BE(t.sourcePort, 0);
      header.writeUInt16BE(t.destinationPort, 2);
    }
    if (t.protocol === UDP) header.writeUInt16BE(8 + dataLength, 4);
    else if (t.protocol === TCP) {
      header.writeUInt32BE(this.random.u32(), 4);
      header[12] = 0x50;
      header[13] = options.tcpFlags ?? Tcp.ack;
      header.writeUInt16BE(8192, 14);
    } else if (t.protocol === ICMP) {
      header[0] = options.icmpType ?? Icmp.echo;
      header.writeUInt16BE(t.sourcePort, 4);
      header.writeUInt16BE(this.random.int(0, 9), 6);
    }
    return header;
  }

  private withChecksum(bytes: Buffer, protocol: number, kind: 'right' | 'wrong' | 'zero'): Buffer {
    withTransportChecksum(bytes);
    if (kind === 'right' || (protocol !== UDP && protocol !== TCP)) return bytes;
    const at = (bytes[0] & 15) * 4 + (protocol === UDP ? 6 : 16);
    const right = bytes.readUInt16BE(at);
    // One and all ones are both zero: neither may come out of a change.
    const wrong = (right ^ 0x0110) & 0xffff || 0x0101;
    if (kind === 'wrong') bytes.writeUInt16BE(wrong === 0xffff ? 0x0101 : wrong, at);
    else if (protocol === UDP) bytes.writeUInt16BE(0, at);
    return bytes;
  }

  /** An ICMP error of `from` that quotes a packet. @param quoteBytes At most; 28 is the least (RFC 792). */
  error(from: number, to: number, type: number, code: number, quoted: Buffer, quoteBytes: number): Buffer {
    const header = Buffer.alloc(8);
    header[0] = type;
    header[1] = code;
    if (type === 3 && code === 4) header.writeUInt16BE(1300, 6);
    const payload = Buffer.concat([header, quoted.subarray(0, quoteBytes)]);
    const id = this.nextIdentification();
    return withTransportChecksum(encodeIpv4({ source: from, destination: to, protocol: ICMP, payload, id }));
  }

  /** A host's packet on its way to the gateway. */
  arrival(context: Context, packet: Buffer, micros: number, note = ''): Arrival {
    return {
      ...this.frame(context, packet),
      micros,
      text: `${describePacket(packet)} from ${name(context)}${note}`,
      what: { kind: 'packet', context, packet },
    };
  }

  frame(context: Context, payload: Buffer, changes: Partial<Encapsulation> = {}): { port: number; bytes: Buffer } {
    const { config } = this.model;
    if (context === OUTSIDE) return { port: config.externalPort, bytes: this.external(payload) };
    return { port: config.fabricPort, bytes: vxlan({ ...this.tunnel(context, payload), ...changes }, payload) };
  }

  external(payload: Buffer, { type = 0x0800, destination = -1, vlan = -1 } = {}): Buffer {
    const port = this.model.config.ports[this.model.config.externalPort];
    const tag = vlan === -1 ? port.vlan : vlan;
    return ethernet(destination === -1 ? port.mac : destination, port.nextHop?.mac ?? 0, type, payload, tag);
  }

  private tunnel(context: Context, inner: Buffer): Encapsulation {
    const { config, topology } = this.model;
    const peer = peerOf(context);
    const source = inner.length >= 20 ? inner.readUInt32BE(12) : 0;
    const gateway = config.peerGateways[peer];
    const route = peer >= 0 ? null : (topology.route(context, source) ?? topology.vpc(context).routes[0]);
    const outerSource = peer >= 0 ? gateway.vtep : (route?.vtep ?? 0);
    return {
      outerDestinationMac: config.underlay.mac,
      outerSourceMac: topology.vtepMac(outerSource) ?? HOST_MAC,
      outerSource,
      outerDestination: config.underlay.vtep,
      udpPort: config.underlay.udpPort,
      vni: peer >= 0 ? gateway.vni : topology.vpc(context).vni,
      innerDestinationMac: config.underlay.mac,
      innerSourceMac: route?.mac ?? HOST_MAC,
    };
  }

  /** An ARP request in a VPC or outside. */
  arp(context: Context, sender: number, target: number): { port: number; bytes: Buffer; reply: Buffer } {
    const { config, topology } = this.model;
    const request = encodeArp({ operation: 1, senderMac: HOST_MAC, sender, targetMac: 0, target });
    const answers = (mac: number) =>
      encodeArp({ operation: 2, senderMac: mac, sender: target, targetMac: HOST_MAC, target: sender });
    if (context === OUTSIDE) {
      const port = config.ports[config.externalPort];
      const bytes = ethernet(BROADCAST, HOST_MAC, 0x0806, request, port.vlan);
      return {
        port: port.index,
        bytes,
        reply: ethernet(HOST_MAC, port.mac, 0x0806, answers(port.mac), port.vlan),
      };
    }
    const route = topology.route(context, sender);
    const tunnel = this.tunnel(
      context,
      encodeIpv4({ source: sender, destination: 0, protocol: 0, payload: Buffer.alloc(0) }),
    );
    const bytes = vxlan(
      { ...tunnel, innerDestinationMac: BROADCAST, innerSourceMac: HOST_MAC, innerType: 0x0806 },
      request,
    );
    const reply = answers(config.underlay.mac);
    return { port: config.fabricPort, bytes, reply: route === null ? Buffer.alloc(0) : reply };
  }
}

const name = (context: Context) =>
  context === OUTSIDE ? 'outside' : context >= 0 ? `VPC ${context}` : `peer gateway ${peerOf(context)}`;
