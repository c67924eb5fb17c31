import type { PacketOptions } from './builder.js';
import type { Arrival } from './gateway-model.js';
import { ICMP, Icmp, TCP, Tcp, UDP } from './ipv4.js';
import type { Generator } from './operations.js';
import { reversed, type Session, type Tuple } from './state.js';
import { OUTSIDE } from './topology.js';

/** A packet of a session, in either direction unless one is given. */
export function ofSession(
  g: Generator,
  session: Session | null,
  options: PacketOptions = {},
  from?: 'forward' | 'reverse',
): Arrival[] {
  if (session === null) return [];
  const { random } = g;
  const direction = from ?? random.pick(['forward', 'reverse'] as const);
  const context = direction === 'forward' ? session.forwardContext : session.reverseContext;
  const t = direction === 'forward' ? session.forward : reversed(session.translated);
  const checksum = random.pick(['right', 'right', 'right', 'wrong', 'zero'] as const);
  const tcpFlags = session.tcp === null ? 0 : (options.tcpFlags ?? flagsFor(g, session, direction));
  // A wrong checksum on a segment that moves the state: whether it counts is open.
  const moves = (tcpFlags & (Tcp.syn | Tcp.fin | Tcp.rst)) !== 0;
  const icmpType = direction === 'forward' ? Icmp.echo : Icmp.echoReply;
  const transportChecksum = moves ? 'right' : checksum;
  return [
    g.builder.arrival(context, g.builder.packet(t, { tcpFlags, icmpType, transportChecksum, ...options }), g.next()),
  ];
}

/** A TCP connection goes on as connections do, so that its late states are reached. */
export function converse(g: Generator): Arrival[] {
  const session = g.pick([...g.model.state.live].filter(({ tcp }) => tcp !== null).slice(-4));
  if (session === null || session.tcp === null) return [];
  const { phase, finished, reopener } = session.tcp;
  const { syn, ack, fin } = Tcp;
  if (phase === 'opening') return ofSession(g, session, { tcpFlags: syn | ack }, 'reverse');
  if (phase === 'reopening')
    return ofSession(g, session, { tcpFlags: syn | ack }, reopener === 'forward' ? 'reverse' : 'forward');
  if (phase !== 'established') return ofSession(g, session, { tcpFlags: syn });
  const unfinished = finished.forward
    ? 'reverse'
    : finished.reverse
      ? 'forward'
      : g.random.pick(['forward', 'reverse'] as const);
  return ofSession(g, session, { tcpFlags: fin | ack }, unfinished);
}

/** The inside calls back one whose SYN waits. */
export function callBack(g: Generator): Arrival[] {
  const waiter = g.model.opener.waiters.next();
  if (waiter === null || waiter.context !== OUTSIDE) return [];
  const { mapping, packet } = waiter;
  const t: Tuple = {
    protocol: TCP,
    source: mapping.inside.address,
    sourcePort: mapping.inside.port,
    destination: packet.source,
    destinationPort: packet.sourcePort,
  };
  return [g.builder.arrival(mapping.vpc, g.builder.packet(t, { tcpFlags: Tcp.syn }), g.next())];
}

function flagsFor(g: Generator, session: Session, direction: 'forward' | 'reverse'): number {
  const { random } = g;
  const { syn, ack, fin, rst, psh } = Tcp;
  if (random.chance(0.02)) return random.pick([syn | fin, syn | rst | ack]);
  switch (session.tcp?.phase) {
    case 'opening':
      if (direction === 'reverse') return random.pick([syn | ack, syn | ack, syn | ack, syn, rst | ack, ack]);
      return random.pick([syn, syn, ack, rst, fin | ack]);
    case 'established':
      return random.pick([ack, ack | psh, ack, ack | psh, ack, fin | ack, fin | ack, rst, syn, syn | ack]);
    case 'reopening':
      return random.pick([syn | ack, syn, ack, rst]);
    default:
      return random.pick([ack, fin | ack, rst, syn, syn, syn | ack]);
  }
}

/** One whom a host inside has called calls back, from another port: filtering knows it by its public address. */
export function callCaller(g: Generator): Arrival[] {
  const calls = [...g.model.state.live].filter(
    (s) => s.sourceMapping !== null && s.reverseContext >= 0 && s.forward.protocol !== ICMP,
  );
  const session = g.pick(calls);
  const caller = session?.sourceMapping;
  if (session == null || caller == null || (caller.protocol !== TCP && caller.protocol !== UDP)) return [];
  const { reverseContext, translated } = session;
  return g.newOf(caller.protocol, reverseContext, translated.destination, caller.public.address, caller.public.port, {
    tcpFlags: Tcp.syn,
  });
}
