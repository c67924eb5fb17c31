import type { PacketOptions } from './builder.js';
import type { Arrival } from './gateway-model.js';
import { encodeIpv4, GRE, ICMP, Icmp, Packet, TCP, Tcp, UDP } from './ipv4.js';
import { type Generator, ip, REMOTES } from './operations.js';
import { HOSTS } from './scenario.js';
import { reversed, type Tuple } from './state.js';
import type { Context } from './topology.js';

/** A datagram in two or three pieces: in order, out of order, without its first, or with a first that comes far too late. */
export function fragmentGroup(g: Generator): Arrival[] {
  const { random, builder } = g;
  const datagram = wholeDatagram(g);
  if (datagram === null) return [];
  const { context, packet } = datagram;
  const pieces = fragmentsOf(packet, random.pick([24, 32, 48]));
  const arrive = (piece: Buffer, gapMicros?: number) => builder.arrival(context, piece, g.next(gapMicros));
  switch (random.weighted({ order: 3, shuffled: 5, lost: 2, late: 1, between: 2 })) {
    case 'order':
      return pieces.map((piece) => arrive(piece));
    case 'shuffled': {
      const order = pieces.map((piece) => ({ piece, rank: random.u32() })).sort((a, b) => a.rank - b.rank);
      return order.map(({ piece }) => arrive(piece, random.pick([700, 400_000])));
    }
    case 'lost':
      return pieces.slice(1).map((piece) => arrive(piece));
    case 'late':
      return [...pieces.slice(1).map((piece) => arrive(piece, 200_000_000)), arrive(pieces[0])];
    default: {
      // Other packets come between the pieces.
      const [first, ...rest] = pieces;
      return [
        ...rest.map((piece) => arrive(piece)),
        ...g.ofSession(g.liveSession(), { tcpFlags: Tcp.ack }),
        arrive(first),
        ...g.ofSession(g.liveSession(), { tcpFlags: Tcp.ack }),
      ];
    }
  }
}

function wholeDatagram(g: Generator): { context: Context; packet: Buffer } | null {
  const { random } = g;
  const options: PacketOptions = {
    size: random.int(60, 110),
    dontFragment: false,
    options: Buffer.alloc(0),
    tcpFlags: Tcp.ack | Tcp.psh,
    transportChecksum: random.pick(['right', 'right', 'wrong', 'zero']),
  };
  const session = random.chance(0.75) ? g.liveSession() : null;
  if (session === null) {
    const protocol = random.pick([UDP, UDP, ICMP, GRE, TCP]);
    const destination = random.pick([random.pick(REMOTES), ip('203.0.113.10'), ip('100.64.2.9')]);
    const t = g.tuple(protocol, ip(random.pick(HOSTS.red)), destination, 1000, 53);
    return { context: 0, packet: g.builder.packet(t, options) };
  }
  const forward = random.chance(0.5);
  const t: Tuple = forward ? session.forward : reversed(session.translated);
  const icmpType = forward ? Icmp.echo : Icmp.echoReply;
  return {
    context: forward ? session.forwardContext : session.reverseContext,
    packet: g.builder.packet(t, { ...options, icmpType }),
  };
}

/** @param bytes Of transport in each piece, a multiple of 8. */
export function fragmentsOf(whole: Buffer, bytes: number): Buffer[] {
  const packet = new Packet(whole);
  const { source, destination, protocol, ttl, id, transport } = packet;
  const pieces: Buffer[] = [];
  for (let at = 0; at < transport.length; at += bytes) {
    const payload = transport.subarray(at, at + bytes);
    const moreFragments = at + bytes < transport.length;
    pieces.push(
      encodeIpv4({ source, destination, protocol, ttl, id, payload, moreFragments, fragmentOffset: at, tos: whole[1] }),
    );
  }
  return pieces;
}
