import { DropReason, NO_VNI } from '../native/records.js';
import { type Classification, contextOf } from './classify.js';
import { egressOf } from './egress.js';
import type { MissedPacket } from './packet.js';
import { OUTSIDE_CONTEXT } from './session-table.js';
import type { DecisionSink } from './sink.js';
import type { Topology } from './topology.js';

/** What the gateway says in its own name: ICMP errors, echo replies, ARP. */
export class OwnAnswers {
  /** @param isStillUsed Whether live mappings have an external address that the configuration no longer names. */
  constructor(
    private readonly topology: Topology,
    private readonly sink: DecisionSink,
    private readonly isStillUsed: (address: number) => boolean,
  ) {}

  /** Sends an ICMP error to where the packet came from, from the gateway's address on that side. */
  tellSender(
    packet: MissedPacket,
    c: Classification,
    reason: DropReason,
    icmpType: number,
    icmpCode: number,
    mtu: number,
  ): void {
    const context = contextOf(c);
    // A frame from a VPC or peer gateway that left the configuration meanwhile: nobody to tell.
    const isNobodys = context === OUTSIDE_CONTEXT && packet.port === this.topology.config.fabricPort;
    const back = isNobodys ? null : this.topology.ways.find(context, packet.source);
    if (back === null) return this.sink.drop(packet.hold, reason);
    const own =
      context === OUTSIDE_CONTEXT
        ? (this.topology.externalPort?.address?.address ?? 0)
        : ((c.sourceVpc >= 0 ? this.topology.config.vpcs[c.sourceVpc].gatewayAddress : null) ??
          this.topology.config.underlay.vtep);
    this.sink.icmpError(packet.hold, reason, icmpType, icmpCode, mtu, own, back, 0, 0);
  }

  answerPing(packet: MissedPacket, c: Classification): void {
    const { ways } = this.topology;
    const context = contextOf(c);
    const back = ways.find(context, packet.source);
    if (back === null) this.sink.drop(packet.hold, ways.whyNone(context, packet.source));
    else this.sink.echoReply(packet.hold, back);
  }

  /** ARP requests for addresses of ours are answered; others are consumed in silence. */
  answerArp(packet: MissedPacket): void {
    const { config } = this.topology;
    const inVpc = packet.port === config.fabricPort ? this.topology.localVpcByVni(packet.vni) : -1;
    const port = config.ports[packet.port];
    let ours: boolean;
    if (inVpc >= 0) ours = config.vpcs[inVpc].gatewayAddress === packet.destination;
    else if (packet.port === config.fabricPort) {
      ours = packet.vni === 0xffffffff && packet.destination === config.underlay.vtep;
    } else {
      const { destination } = packet;
      ours =
        this.topology.isOwnOutside(destination) ||
        this.topology.isExternal(destination) ||
        this.isStillUsed(destination);
    }
    if (!ours) return this.sink.drop(packet.hold, DropReason.local);
    const back = inVpc >= 0 ? this.topology.ways.find(inVpc, packet.source) : egressOf(packet.port, NO_VNI, 0, 0, 0);
    if (back === null) return this.sink.drop(packet.hold, DropReason.local);
    this.sink.arpReply(packet.hold, port.mac, back);
  }

  /**
   * Asks for the MACs that a packet's way lacks; the packet is lost, its repetition will not be.
   *
   * @param destination Translated, u32 host order.
   */
  askForWay(packet: MissedPacket, c: Classification, destination: number): void {
    const { config } = this.topology;
    const nextHop = this.topology.externalPort?.nextHop;
    if (nextHop && this.topology.nextHopMac() === null) this.sink.arpRequest(config.externalPort, nextHop.address);
    for (const [vpc, address] of [
      [c.sourceVpc, packet.source],
      [c.peer < 0 ? c.destinationVpc : -1, destination],
    ]) {
      const route = vpc >= 0 ? this.topology.route(vpc, address) : null;
      if (route !== null && this.topology.neighbourMac(route.vtep) === null) {
        this.sink.arpRequest(config.fabricPort, route.vtep);
      }
    }
  }
}
