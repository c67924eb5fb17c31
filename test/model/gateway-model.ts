import type { ValidatedConfig } from '../../src/config/types.js';
import { followReload, isLeftOver } from './follow-reload.js';
import { FragmentTable } from './fragment-table.js';
import { answerIcmpError } from './icmp-errors.js';
import { ICMP, Icmp, Packet, type Rewrite, rewritten, TCP, Tcp, UDP } from './ipv4.js';
import { KNOWN } from './known.js';
import { Limits } from './limits.js';
import { claimLocalAnswer } from './local-answers.js';
import { Opener } from './opener.js';
import type { Outcomes } from './outcomes.js';
import type { Reload } from './reload.js';
import { type Session, State, sessionDeadline, type Tuple } from './state.js';
import { Step } from './step.js';
import type { Observed, PortFrame } from './subject.js';
import { segment } from './tcp.js';
import { type Context, OUTSIDE, Topology } from './topology.js';
import { type Egress, Transmitter } from './transmitter.js';

/** A frame that goes in, and what it is to the model. */
export interface Arrival extends PortFrame {
  readonly text: string;
  readonly what: /** An IPv4 packet of a host, right in all that lies below it. */
    | { readonly kind: 'packet'; readonly context: Context; readonly packet: Buffer }
    /** A frame that cannot be served whatever the state is. */
    | { readonly kind: 'refused'; readonly reasons: readonly string[] }
    /** ARP, or a ping on the underlay: consumed, and answered with this or not at all. */
    | { readonly kind: 'local'; readonly reply: Buffer | null; readonly outcome: string }
    /** ARP for the gateway's address in a VPC: answered there. `reply` is the ARP payload. */
    | { readonly kind: 'vpc-arp'; readonly context: Context; readonly sender: number; readonly reply: Buffer }
    /** A neighbour pings the VTEP: the transport of the answer, and whom it goes to. */
    | {
        readonly kind: 'underlay-ping';
        readonly from: number;
        readonly to: number;
        readonly mac: number;
        readonly transport: Buffer;
      };
}

/** How a packet fared: the session that took it, or the reasons of which one was counted. */
export type Fate =
  | { readonly session: Session; readonly direction: 'forward' | 'reverse' }
  | { readonly refused: readonly string[] };

export const protocolName = (protocol: number) =>
  protocol === UDP ? 'udp' : protocol === TCP ? 'tcp' : protocol === ICMP ? 'icmp' : 'other';

export function tupleOf(packet: Packet): Tuple {
  const { protocol, source, sourcePort, destination, destinationPort } = packet;
  return { protocol, source, sourcePort, destination, destinationPort };
}

/**
 * The gateway as the contract and the RFCs describe it, one packet at a time. It walks over what the gateway under test
 * did, follows the choices that are the gateway's to make, and predicts the rest. @throws Disagreement
 */
export class GatewayModel {
  readonly state = new State();
  readonly limits: Limits;
  readonly transmitter: Transmitter;
  readonly opener: Opener;
  readonly fragments: FragmentTable;
  /** Counted at the latest when all is drained. */
  readonly owed: string[][] = [];
  /** Endpoints that a static binding was given while a dynamic mapping had them. */
  readonly takenOver = new Set<string>();
  /** Mappings that an earlier configuration would not have made; by their key. */
  readonly onceLeftOver = new Set<string>();
  topology: Topology;
  step!: Step;
  micros = 0;

  constructor(
    public config: ValidatedConfig,
    readonly outcomes: Outcomes,
  ) {
    this.topology = new Topology(config);
    this.state.restingPerRemote = config.nat.maxSessions;
    this.limits = new Limits(this.topology, this.state);
    this.transmitter = new Transmitter(this);
    this.opener = new Opener(this);
    this.fragments = new FragmentTable(this);
  }

  /** Judges one step of the gateway. */
  judge(arrivals: readonly Arrival[], observed: Observed, reload: Reload | null): void {
    this.step = new Step(this.config, observed, this.owed);
    if (reload !== null) {
      // After the timers of its time, before the packets of it.
      this.runTimers(reload.micros);
      followReload(this, reload.config);
      this.opener.waiters.followReload();
      this.outcomes.add(`reconfigured:${reload.text}`);
    }
    for (const arrival of arrivals) {
      this.runTimers(arrival.micros);
      this.receive(arrival);
    }
    this.fragments.close();
    this.step.finish();
  }

  /** What is due at or before a time runs before it, each at its own time. */
  private runTimers(micros: number): void {
    for (;;) {
      let next: Session | null = null;
      let due = Infinity;
      for (const session of this.state.live) {
        const at = sessionDeadline(session, this.config);
        if (at < due) [next, due] = [session, at];
      }
      const waiter = this.opener.waiters.next();
      if (waiter !== null && waiter.due <= micros && waiter.due < due * 1e6) {
        this.setClock(waiter.due);
        this.opener.waiters.run(waiter);
      } else if (next !== null && due * 1e6 <= micros) {
        this.setClock(due * 1e6);
        this.expire(next, due);
      } else break;
    }
    this.setClock(micros);
  }

  private setClock(micros: number): void {
    this.micros = micros;
    this.state.second = Math.floor(micros / 1e6);
  }

  private expire(session: Session, second: number): void {
    this.state.end(session, second, this.config.nat.portReuseDelaySeconds);
    const { tcp, forward } = session;
    this.outcomes.add(`expired:${tcp === null ? protocolName(forward.protocol) : `tcp-${tcp.phase}`}`);
    if (session.unheeded) this.outcomes.add(`expired:despite-inbound:${protocolName(forward.protocol)}`);
  }

  private receive({ micros, what, text }: Arrival): void {
    if (what.kind === 'vpc-arp' || what.kind === 'underlay-ping') {
      this.step.drop(['local'], text);
      claimLocalAnswer(this, what, text);
    } else if (what.kind === 'refused') {
      this.outcomes.add(`dropped:${this.step.drop(what.reasons, text)}`);
    } else if (what.kind === 'local') {
      this.step.drop(['local'], text);
      this.outcomes.add(what.outcome);
      const { reply } = what;
      if (reply !== null) {
        this.step.claim(micros, `the answer to ${text}`, ({ bytes }) =>
          bytes.subarray(0, reply.length).equals(reply) ? null : 'is another frame',
        );
      }
    } else if (new Packet(what.packet).isFragment) {
      this.fragments.receive(what.context, what.packet, text);
    } else {
      this.packet(what.context, what.packet, text);
    }
  }

  /** A whole packet, or the first fragment of one. */
  packet(context: Context, raw: Buffer, text: string): Fate {
    const packet = new Packet(raw);
    const refusal = this.beforeNat(context, packet);
    if (refusal !== null) return this.refuse(refusal, text);
    if (packet.isIcmpError) return answerIcmpError(this, context, packet, text);
    const found = this.state.find(context, tupleOf(packet));
    // TTL is judged in the VPC before anything of NAT; outside, when it is clear that it would go on.
    if (KNOWN['F-M3'] === 'open' && packet.ttl <= 1 && found !== null && this.isUnboundReply(context, found)) {
      return this.refuse(['not-for-us'], text);
    }
    if (packet.ttl <= 1 && (context >= 0 || found !== null)) return this.outlived(context, packet, text);
    if (packet.ttl <= 1)
      return this.refuse(['ttl-expired', ...this.opener.reasonsUnbound(context, packet)], text, packet, context);
    if (found === null) return this.opener.open(context, packet, text);
    // An echo request to a dynamic identifier is dropped, also where an answer to it would pass.
    const asks = packet.protocol === ICMP && packet.transport[0] === Icmp.echo;
    const { sourceMapping } = found.session;
    if (asks && found.direction === 'reverse' && sourceMapping !== null) {
      // Of an address that a new configuration took away: by which name, nobody says.
      if (isLeftOver(this.topology, sourceMapping)) return this.refuse(['filtered', 'no-binding', 'not-for-us'], text);
      const perRemote = this.config.nat.mapping === 'address-and-port-dependent';
      return this.refuse(perRemote && KNOWN['F-M1'] === 'open' ? ['filtered', 'no-binding'] : ['filtered'], text);
    }
    return this.serve(found.session, found.direction, packet, text);
  }

  /** A reply of a session to an address that is not ours, or not any more. */
  private isUnboundReply(context: Context, { session, direction }: { session: Session; direction: string }): boolean {
    return context === OUTSIDE && direction === 'reverse' && !this.topology.isExternal(session.translated.source);
  }

  /** Lines 1 to 3 of the classification. */
  private beforeNat(context: Context, packet: Packet): readonly string[] | null {
    const { topology } = this;
    // A frame above its port's MTU is dropped on receipt, as a NIC does.
    if (packet.totalLength > topology.mtuTowards(context)) return ['too-big'];
    if (context >= 0 && !topology.inSubnets(context, packet.source)) return ['source-not-in-vpc'];
    const own =
      context >= 0
        ? topology.isOwnInVpc(context, packet.destination)
        : context === OUTSIDE && packet.destination === topology.externalAddress;
    if (!own) return null;
    if (packet.protocol !== ICMP || packet.transport[0] !== Icmp.echo) return ['not-for-us'];
    this.transmitter.echoReply(context, packet);
    return ['local'];
  }

  refuse(reasons: readonly string[], text: string, packet?: Packet, context?: Context): Fate {
    const reason = this.step.drop(reasons, text);
    this.outcomes.add(`dropped:${reason}`);
    // Whether an answer goes out is as open as the reason here.
    if (reason === 'ttl-expired' && packet !== undefined && context !== undefined) {
      this.transmitter.error(context, packet, { type: Icmp.timeExceeded, code: 0, optional: true });
    }
    return { refused: [reason] };
  }

  private outlived(context: Context, packet: Packet, text: string): Fate {
    const reason = this.step.drop(['ttl-expired'], text);
    // RFC 792: a gateway that finds zero discards and may notify; what it is told by 1 the contract says.
    const optional = packet.ttl === 0;
    if (this.transmitter.error(context, packet, { type: Icmp.timeExceeded, code: 0, optional })) {
      this.outcomes.add(`made:time-exceeded:${context === OUTSIDE ? 'outside' : 'vpc'}`);
    }
    return { refused: [reason] };
  }

  /** A packet of a live session. */
  serve(session: Session, direction: 'forward' | 'reverse', packet: Packet, text: string): Fate {
    const { tcp } = session;
    const egress = egressOf(session, direction);
    if (packet.totalLength > this.topology.mtuTowards(egress.context) && packet.dontFragment) {
      return this.tooBig(session, direction, packet, text);
    }
    if (tcp !== null && packet.fragmentOffset === 0) {
      const before = tcp.phase;
      const wasReset = session.reset;
      if (!segment(tcp, direction, packet.tcpFlags, this.state.second)) return this.refuse(['tcp-state'], text);
      if (tcp.phase === 'established' && before === 'opening') {
        this.outcomes.add(`established:${packet.tcpFlags & Tcp.ack ? 'syn-ack' : 'simultaneous'}`);
      }
      if (tcp.phase === 'established' && before === 'reopening') {
        this.outcomes.add(`revived:${wasReset ? 'after-rst' : 'after-fin'}`);
      }
      if (tcp.phase !== before) this.outcomes.add(`tcp:${tcp.phase}`);
      if (before === 'closed' || before === 'reset') this.outcomes.add(`tcp:passed-while-${before}`);
      session.reset = tcp.phase === 'reset' || (tcp.phase === 'reopening' && session.reset);
    }
    this.touched(session, direction);
    this.count(session, direction, packet);
    this.outcomes.add(`passed:${session.sessionClass}:${direction}`);
    this.transmitter.forward(session, direction, packet, text);
    return { session, direction };
  }

  /** Only the inside's packets refresh what is not TCP (RFC 4787 REQ-6). */
  touched(session: Session, direction: 'forward' | 'reverse'): void {
    if (session.tcp !== null) {
      if (session.tcp.phase === 'established') session.tcp.last = this.state.second;
      return;
    }
    if (direction === session.refreshedBy) {
      session.last = this.state.second;
      session.unheeded = false;
    } else session.unheeded = true;
  }

  count(session: Session, direction: 'forward' | 'reverse', packet: Packet): void {
    session.packets[direction]++;
    session.bytes[direction] += packet.totalLength;
  }

  private tooBig(session: Session, direction: 'forward' | 'reverse', packet: Packet, text: string): Fate {
    const egress = egressOf(session, direction);
    const context = direction === 'forward' ? session.forwardContext : session.reverseContext;
    const reason = this.step.drop(['too-big'], text);
    // It came from inside, and that is what keeps a mapping (RFC 4787 REQ-6); that it goes no further does not matter.
    if (session.tcp !== null) segment(session.tcp, direction, packet.tcpFlags, this.state.second);
    this.touched(session, direction);
    const mtu = this.topology.mtuTowards(egress.context);
    this.transmitter.error(context, packet, { type: Icmp.unreachable, code: 4, mtu });
    this.outcomes.add(`made:fragmentation-needed:${context === OUTSIDE ? 'outside' : 'vpc'}`);
    return { refused: [reason] };
  }
}

/** What a direction of a session does to its packets. */
export function egressOf(session: Session, direction: 'forward' | 'reverse'): Egress & { change: Rewrite } {
  const { forward, translated } = session;
  return direction === 'forward'
    ? {
        context: session.reverseContext,
        destination: translated.destination,
        change: {
          source: translated.source,
          sourcePort: translated.sourcePort,
          destination: translated.destination,
          destinationPort: translated.destinationPort,
        },
      }
    : {
        context: session.forwardContext,
        destination: forward.source,
        change: {
          source: forward.destination,
          sourcePort: forward.destinationPort,
          destination: forward.source,
          destinationPort: forward.sourcePort,
        },
      };
}

export function translatedBy(session: Session, direction: 'forward' | 'reverse', packet: Packet): Buffer {
  return rewritten(packet.bytes, egressOf(session, direction).change);
}
