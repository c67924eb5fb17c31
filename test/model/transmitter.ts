import { formatIpv4 } from '../../src/config/address.js';
import { reassembled } from './fragment-table.js';
import type { Seen } from './frames.js';
import { egressOf, type GatewayModel, translatedBy } from './gateway-model.js';
import { checksumsAreRight, equalPackets, ICMP, Icmp, Packet, UDP, withTransportChecksum } from './ipv4.js';
import { KNOWN } from './known.js';
import type { Session } from './state.js';
import { Disagreement, describePacket } from './step.js';
import { type Context, OUTSIDE, peerOf } from './topology.js';

/** Where a packet leaves to. */
export interface Egress {
  readonly context: Context;
  /** The host's packet's destination: its route is taken. */
  readonly destination: number;
}

export interface ErrorToSend {
  readonly type: number;
  readonly code: number;
  /** Fragmentation needed: the next hop's MTU. */
  readonly mtu?: number;
  /** Source, when it is not the gateway's address on that side. */
  readonly source?: number;
  /** Microseconds at which it leaves, when that is not now. */
  readonly optional?: boolean;
}

/** Predicts frames and claims them. */
export class Transmitter {
  constructor(private readonly model: GatewayModel) {}

  /** A packet of a session goes on its way: translated, TTL one less, checksums as right or wrong as they came. */
  forward(session: Session, direction: 'forward' | 'reverse', packet: Packet, text: string): void {
    const egress = egressOf(session, direction);
    const wanted = translatedBy(session, direction, packet);
    const expected = `${text} as ${describePacket(wanted)} towards ${contextName(egress.context)}`;
    if (wanted.length > this.model.topology.mtuTowards(egress.context))
      return this.inFragments(egress, wanted, expected);
    const seen = this.model.step.claim(this.model.micros, expected, (frame) => this.fault(frame, egress, wanted));
    this.noteChecksum(packet);
    const zeros = KNOWN['F-M8'] === 'open' && seen.payload.subarray(20).every((byte) => byte === 0);
    if (checksumsAreRight(packet.bytes) && !checksumsAreRight(seen.payload) && !zeros) {
      throw new Disagreement(`a checksum left wrong: ${describePacket(seen.payload)}`);
    }
    this.judgeEntropy(session, direction, seen);
  }

  private noteChecksum(packet: Packet): void {
    if (packet.isFragment) return;
    const { outcomes } = this.model;
    if (packet.protocol === UDP && packet.transport.readUInt16BE(6) === 0) outcomes.add('checksum:none-kept');
    else if (!checksumsAreRight(packet.bytes)) outcomes.add('checksum:wrong-carried');
  }

  private judgeEntropy(session: Session, direction: 'forward' | 'reverse', seen: Seen): void {
    if (seen.tunnel === null || new Packet(seen.payload).isFragment) return;
    const before = session.entropy[direction];
    if (before !== null && before !== seen.tunnel.entropy) {
      throw new Disagreement(`outer UDP source ${seen.tunnel.entropy} is not the flow's ${before}`);
    }
    session.entropy[direction] = seen.tunnel.entropy;
  }

  /** A packet above the egress MTU without DF leaves in pieces that make it again (RFC 791 section 3.2). */
  private inFragments(egress: Egress, wanted: Buffer, expected: string): void {
    const pieces: Buffer[] = [];
    const { step, micros } = this.model;
    const { id } = new Packet(wanted);
    for (;;) {
      const seen = step.claimIfThere(micros, (frame) => {
        const wrong = this.fault(frame, egress, null);
        if (wrong !== null) return wrong;
        const piece = new Packet(frame.payload);
        return piece.isFragment && piece.id === id ? null : 'is no fragment of it';
      });
      if (seen === null) break;
      pieces.push(seen.payload);
    }
    const whole = reassembled(pieces);
    if (whole === null || !equalPackets(wanted, whole)) {
      throw new Disagreement(`expected the fragments of ${expected}; got\n${pieces.map(describePacket).join('\n')}`);
    }
    this.model.outcomes.add('made:fragments');
  }

  /** @param wanted The host's packet; null: any. */
  fault(seen: Seen, egress: Egress, wanted: Buffer | null): string | null {
    const { config, topology } = this.model;
    const { context, destination } = egress;
    if (seen.type !== 0x0800) return 'is not IPv4';
    if (context === OUTSIDE) {
      if (seen.port !== config.externalPort || seen.tunnel !== null) return 'left on the wrong side';
      if (seen.destinationMac !== config.ports[seen.port].nextHop?.mac) return 'did not go to the next hop';
    } else {
      if (seen.port !== config.fabricPort || seen.tunnel === null) return 'left on the wrong side';
      const peer = peerOf(context);
      const way =
        peer >= 0
          ? { ...config.peerGateways[peer] }
          : { ...(topology.route(context, destination) ?? { vtep: -1, mac: -1 }), vni: topology.vpc(context).vni };
      if (seen.tunnel.vni !== way.vni) return `has not the VNI ${way.vni}`;
      if (seen.tunnel.vtep !== way.vtep) return `did not go to the VTEP ${formatIpv4(way.vtep)}`;
      if (seen.destinationMac !== topology.vtepMac(way.vtep)) return 'has not the MAC of the VTEP';
      if (seen.tunnel.innerDestinationMac !== way.mac) return 'has another inner destination MAC than the route';
    }
    if (wanted === null || equalPackets(wanted, seen.payload)) return null;
    return `is not\n    ${describePacket(wanted)}\n    got    ${seen.payload.toString('hex')}\n    wanted ${wanted.toString('hex')}`;
  }

  /** The gateway answers a ping of an address of its own. */
  echoReply(context: Context, request: Packet): void {
    const { step, micros, outcomes } = this.model;
    const bytes = Buffer.from(request.bytes);
    const reply = new Packet(bytes);
    bytes.writeUInt32BE(request.destination, 12);
    bytes.writeUInt32BE(request.source, 16);
    reply.transport[0] = Icmp.echoReply;
    withTransportChecksum(bytes);
    step.claim(micros, `an echo reply to ${describePacket(request.bytes)}`, (seen) => {
      const wrong = this.fault(seen, { context, destination: request.source }, null);
      if (wrong !== null) return wrong;
      const got = new Packet(seen.payload);
      if (got.source !== reply.source || got.destination !== reply.destination) return 'has other addresses';
      if (got.ttl < 2) return `has TTL ${got.ttl}`;
      return equalPayload(reply, got) ? null : 'has another payload';
    });
    outcomes.add(`local:ping:${context === OUTSIDE ? 'outside' : 'vpc'}`);
  }

  /**
   * The gateway tells the sender of a packet that it was not forwarded.
   *
   * @param context Where the packet came from, and the answer goes.
   * @param micros  When it leaves; absent: now.
   * @returns Whether an error left.
   */
  error(context: Context, about: Packet, error: ErrorToSend, micros = this.model.micros): boolean {
    if (!mayBeAnswered(about)) return false;
    const { step, topology } = this.model;
    const source = error.source ?? topology.ownAddress(context);
    const expected = `ICMP ${error.type}/${error.code} from ${formatIpv4(source)} about ${describePacket(about.bytes)} to ${contextName(context)}`;
    const fault = (seen: Seen): string | null => {
      const wrong = this.fault(seen, { context, destination: about.source }, null);
      if (wrong !== null) return wrong;
      const got = new Packet(seen.payload);
      if (got.protocol !== ICMP || got.transport[0] !== error.type || got.transport[1] !== error.code)
        return 'is not it';
      if (got.source !== source || got.destination !== about.source) return 'has other addresses';
      if (got.ttl < 2) return `has TTL ${got.ttl}`;
      if (!checksumsAreRight(seen.payload)) return 'has a wrong checksum';
      if (got.transport.readUInt32BE(4) !== (error.mtu ?? 0))
        return `says ${got.transport.readUInt32BE(4)}, not ${error.mtu ?? 0}`;
      const quote = got.quoted.bytes;
      // RFC 792: header and 64 bits at least; RFC 1812 section 4.3.2.3: no more than 576 bytes in all.
      if (quote.length < Math.min(about.bytes.length, about.headerLength + 8)) return 'quotes too little';
      if (got.totalLength > 576) return `is ${got.totalLength} bytes long`;
      if (!about.bytes.subarray(0, quote.length).equals(quote)) return 'quotes another packet';
      return null;
    };
    if (error.optional) return step.claimIfThere(micros, fault) !== null;
    step.claim(micros, expected, fault);
    return true;
  }
}

/** RFC 1122 section 3.2.2: what no ICMP error is sent about. */
export function mayBeAnswered(packet: Packet): boolean {
  return (
    !packet.isIcmpError && packet.fragmentOffset === 0 && packet.destination < 0xe0000000 && packet.source < 0xe0000000
  );
}

function equalPayload(wanted: Packet, got: Packet): boolean {
  const bytes = Buffer.from(got.bytes);
  // Only the transport counts: TOS, id and TTL of an answer are its maker's.
  return wanted.transport.equals(new Packet(bytes).transport);
}

export function contextName(context: Context): string {
  return context === OUTSIDE ? 'the outside' : context >= 0 ? `VPC ${context}` : `peer gateway ${peerOf(context)}`;
}
