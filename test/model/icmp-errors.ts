import { type Fate, type GatewayModel, tupleOf } from './gateway-model.js';
import { equalPackets, Packet, type Rewrite, rewrittenError } from './ipv4.js';
import { KNOWN } from './known.js';
import { reversed, type Session } from './state.js';
import { describePacket } from './step.js';
import { type Context, OUTSIDE } from './topology.js';

/**
 * An ICMP error about a packet of a session goes back to the one who sent that packet; both packets, the outer and the
 * quoted one, are translated (RFC 5508 sections 4.2 and 4.3). It refreshes nothing and ends nothing (RFC 4787 REQ-12).
 */
export function answerIcmpError(model: GatewayModel, context: Context, packet: Packet, text: string): Fate {
  const quoted = packet.quoted;
  // The quoted packet is as its receiver's side saw it: reversed it is a packet of the session from that side.
  const session = model.state.find(context, reversed(tupleOf(quoted)));
  // It is for the one who sent the quoted packet, and for nobody else.
  const found = packet.destination === tupleOf(quoted).source ? session : null;
  if (session !== null && found === null) model.outcomes.add('icmp-error:misaddressed');
  if (packet.ttl <= 1) {
    const reason = model.step.drop(found === null ? ['ttl-expired', 'icmp-error-unknown'] : ['ttl-expired'], text);
    return { refused: [reason] };
  }
  if (found === null) {
    // A datagram of fewer than 8 bytes is quoted whole; see known.ts.
    const short = KNOWN['F-M2'] === 'open' && quoted.transport.length < 8 ? ['malformed'] : [];
    const unbound =
      context === OUTSIDE
        ? ['no-binding', 'not-for-us']
        : ['no-binding', 'no-peering', 'private-destination', 'not-for-us'];
    const reason = model.step.drop(['icmp-error-unknown', ...unbound, ...short], text);
    model.outcomes.add(`icmp-error:unknown:${context === OUTSIDE ? 'outside' : context >= 0 ? 'vpc' : 'peer'}`);
    return { refused: [reason] };
  }
  if (KNOWN['F-M2'] === 'open' && quoted.transport.length < 8) {
    return { refused: [model.step.drop(['malformed'], text)] };
  }
  const { direction } = found;
  const { outer, embedded, towards, receiver } = translation(found.session, direction, context);
  const wanted = rewrittenError(packet.bytes, outer, embedded);
  model.step.claim(model.micros, `${text} as ${describePacket(wanted)}`, (seen) => {
    const wrong = model.transmitter.fault(seen, { context: towards, destination: receiver }, null);
    if (wrong !== null) return wrong;
    if (equalPackets(wanted, seen.payload)) return null;
    const got = new Packet(seen.payload);
    return `is not what was wanted\n    got    ${got.bytes.toString('hex')}\n    wanted ${wanted.toString('hex')}`;
  });
  model.outcomes.add(
    `icmp-error:${found.session.sessionClass}:${direction === 'reverse' ? 'about-forward' : 'about-reverse'}`,
  );
  return { refused: [] };
}

/**
 * @param direction The direction in which the error travels.
 * @returns What becomes of the outer addresses and of the quoted tuple.
 */
function translation(session: Session, direction: 'forward' | 'reverse', context: Context) {
  const { forward, translated } = session;
  if (direction === 'reverse') {
    // About a forward packet: quoted as sent on, restored to what the initiator sent.
    const embedded: Rewrite = {
      source: forward.source,
      sourcePort: forward.sourcePort,
      destination: forward.destination,
      destinationPort: forward.destinationPort,
    };
    // A VPC's routers hide behind the address that their host is known by; a router outside keeps its own.
    const hides = context >= 0 && forward.destination !== translated.destination;
    const source = hides ? { source: forward.destination } : {};
    const outer: Rewrite = { ...source, destination: forward.source };
    return { outer, embedded, towards: session.forwardContext, receiver: forward.source };
  }
  const embedded: Rewrite = {
    source: translated.destination,
    sourcePort: translated.destinationPort,
    destination: translated.source,
    destinationPort: translated.sourcePort,
  };
  const hides = context >= 0 && forward.source !== translated.source;
  const source = hides ? { source: translated.source } : {};
  const outer: Rewrite = { ...source, destination: translated.destination };
  return { outer, embedded, towards: session.reverseContext, receiver: translated.destination };
}
