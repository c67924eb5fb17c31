import type { ValidatedConfig } from '../../src/config/types.js';
import { ICMP, TCP, UDP } from './ipv4.js';
import { KNOWN } from './known.js';
import { deadline, type TcpConnection } from './tcp.js';
import type { Context, Endpoint, Side } from './topology.js';

export type SessionClass = 'vpc-to-vpc' | 'vpc-to-external' | 'external-to-vpc' | 'site-to-site' | 'hairpin';

export interface Tuple {
  readonly protocol: number;
  readonly source: number;
  readonly sourcePort: number;
  readonly destination: number;
  readonly destinationPort: number;
}

/** An inside endpoint with its public one (RFC 4787 section 2.1). */
export interface Mapping {
  readonly side: Side;
  /** Peering: the destination VPC; external: -1. */
  readonly scope: number;
  readonly vpc: number;
  readonly protocol: number;
  readonly inside: Endpoint;
  readonly public: Endpoint;
  /** The remote end that the mapping is for; null: any (endpoint-independent). */
  readonly remote: Endpoint | null;
  readonly sessions: Set<Session>;
}

export interface Session {
  readonly sessionClass: SessionClass;
  /** Whose limits it counts against, and whose name the dump shows. */
  readonly vpc: number;
  readonly insideAddress: number;
  readonly forwardContext: Context;
  readonly forward: Tuple;
  readonly reverseContext: Context;
  /** The forward packets' tuple as sent on. */
  readonly translated: Tuple;
  readonly sourceMapping: Mapping | null;
  readonly destinationMapping: Mapping | null;
  /** Whose packets refresh it, when it is not TCP. */
  readonly refreshedBy: 'forward' | 'reverse';
  readonly tcp: TcpConnection | null;
  /** Seconds of the last refreshing packet. */
  last: number;
  readonly packets: { forward: number; reverse: number };
  readonly bytes: { forward: number; reverse: number };
  /** Outer UDP source port of each direction once seen (RFC 7348: the same within a flow). */
  readonly entropy: { forward: number | null; reverse: number | null };
  /** A packet that refreshes nothing came after the last one that did. */
  unheeded: boolean;
  /** The TCP connection ended, or is ending, by RST. */
  reset: boolean;
}

export const tupleKey = (context: Context, t: Tuple) =>
  `${context} ${t.protocol} ${t.source}:${t.sourcePort} ${t.destination}:${t.destinationPort}`;

/** The tuple of replies. */
export const reversed = (t: Tuple): Tuple => ({
  protocol: t.protocol,
  source: t.destination,
  sourcePort: t.destinationPort,
  destination: t.source,
  destinationPort: t.sourcePort,
});

/** RFC protocols without ports share an address when their remotes differ: the remote then stands in the key. */
export const hasPorts = (protocol: number) => protocol === TCP || protocol === UDP || protocol === ICMP;

function ownerKey(side: Side, scope: number, protocol: number, end: Endpoint, remote: Endpoint | null): string {
  const towards = remote === null ? '' : ` towards ${remote.address}:${remote.port}`;
  return `${side} ${scope} ${protocol} ${end.address}:${hasPorts(protocol) ? end.port : 0}${towards}`;
}

const pairKey = ({ side, scope, vpc }: { side: Side; scope: number; vpc: number }, address: number) =>
  `${side} ${scope} ${vpc} ${address}`;

/** Sessions, mappings and resting endpoints. */
export class State {
  /** How many endpoints that are reused per destination rest at once: memory is bounded by `nat.maxSessions` (DESIGN invariant 5). */
  restingPerRemote = Infinity;
  /** The gateway clock, whole seconds. */
  second = 0;
  readonly sessions = new Map<string, { session: Session; direction: 'forward' | 'reverse' }>();
  readonly live = new Set<Session>();
  readonly mappings = new Map<string, Mapping>();
  /** By owner key: the second from which the endpoint is free again. */
  readonly resting = new Map<string, { until: number; side: Side; scope: number; protocol: number; end: Endpoint }>();
  /** By side, scope, VPC and address: the public address that a host was given last, as long as it has sessions. */
  private readonly pairs = new Map<string, number>();
  /** The last ones that ended, for packets that come late. */
  readonly dead: Session[] = [];

  find(context: Context, tuple: Tuple) {
    return this.sessions.get(tupleKey(context, tuple)) ?? null;
  }

  add(session: Session): void {
    this.live.add(session);
    const reverse = tupleKey(session.reverseContext, reversed(session.translated));
    const forward = tupleKey(session.forwardContext, session.forward);
    if (this.sessions.has(reverse) || this.sessions.has(forward)) throw new Error(`two sessions share ${reverse}`);
    this.sessions.set(reverse, { session, direction: 'reverse' });
    this.sessions.set(forward, { session, direction: 'forward' });
    session.sourceMapping?.sessions.add(session);
    session.destinationMapping?.sessions.add(session);
  }

  /** Ends a session; mappings that nobody uses any more go, and their endpoints rest. */
  end(session: Session, second: number, reuseDelay: number): void {
    this.live.delete(session);
    this.sessions.delete(tupleKey(session.reverseContext, reversed(session.translated)));
    this.sessions.delete(tupleKey(session.forwardContext, session.forward));
    for (const mapping of [session.sourceMapping, session.destinationMapping]) {
      if (mapping === null) continue;
      mapping.sessions.delete(session);
      // Those whom the inside never answered keep nothing alive (RFC 4787 REQ-6).
      if ([...mapping.sessions].every((other) => isUnansweredStranger(other, mapping))) {
        for (const other of [...mapping.sessions]) if (this.live.has(other)) this.end(other, second, reuseDelay);
      }
      if (mapping.sessions.size > 0 || !this.mappings.delete(this.keyOf(mapping))) continue;
      const { side, scope, protocol, public: end } = mapping;
      // What has no ports has nothing to rest (RFC 6888 REQ-8 speaks of ports).
      const rests = hasPorts(protocol) && (mapping.remote === null || KNOWN['F-C4'] === 'fixed');
      this.resting.delete(this.keyOf(mapping));
      if (reuseDelay > 0 && rests)
        this.resting.set(this.keyOf(mapping), { until: second + reuseDelay, side, scope, protocol, end });
    }
    this.boundRests();
    this.forgetPairs(session);
    this.dead.push(session);
    if (this.dead.length > 12) this.dead.shift();
  }

  /** VPCs have other indexes from now on; those that are gone have no sessions left. */
  renumber(now: (context: Context) => Context): void {
    const mappings = new Map<Mapping, Mapping>();
    for (const mapping of this.mappings.values()) {
      const scope = mapping.scope < 0 ? mapping.scope : now(mapping.scope);
      mappings.set(mapping, { ...mapping, vpc: now(mapping.vpc), scope, sessions: new Set() });
    }
    const moved = (session: Session): Session => ({
      ...session,
      vpc: now(session.vpc),
      forwardContext: now(session.forwardContext),
      reverseContext: now(session.reverseContext),
      sourceMapping: session.sourceMapping && (mappings.get(session.sourceMapping) ?? null),
      destinationMapping: session.destinationMapping && (mappings.get(session.destinationMapping) ?? null),
    });
    const isGone = (context: Context) => context >= 0 && now(context) < 0;
    const live = [...this.live];
    const dead = this.dead.filter((s) => !isGone(s.forwardContext) && !isGone(s.reverseContext) && !isGone(s.vpc));
    this.live.clear();
    this.sessions.clear();
    this.mappings.clear();
    this.dead.splice(0, Infinity, ...dead.map(moved));
    for (const mapping of mappings.values()) this.mappings.set(this.keyOf(mapping), mapping);
    for (const session of live) this.add(moved(session));
    const pairs = [...this.pairs];
    this.pairs.clear();
    for (const [key, address] of pairs) {
      const [side, scope, vpc, host] = key.split(' ');
      const [scopeNow, vpcNow] = [Number(scope), Number(vpc)].map((index) => (index < 0 ? index : now(index)));
      this.pairs.set(`${side} ${scopeNow} ${vpcNow} ${host}`, address);
    }
  }

  private boundRests(): void {
    const perRemote = [...this.resting.keys()].filter((key) => key.includes(' towards '));
    for (const key of perRemote.slice(0, Math.max(0, perRemote.length - this.restingPerRemote)))
      this.resting.delete(key);
  }

  private forgetPairs({ vpc, insideAddress }: Session): void {
    for (const other of this.live) if (other.vpc === vpc && other.insideAddress === insideAddress) return;
    for (const key of this.pairs.keys()) if (key.endsWith(` ${vpc} ${insideAddress}`)) this.pairs.delete(key);
  }

  /** The address of a host's last mapping on a side. */
  wasPaired(of: { side: Side; scope: number; vpc: number; inside: Endpoint }): number | null {
    return this.pairs.get(pairKey(of, of.inside.address)) ?? null;
  }

  keyOf(mapping: Mapping): string {
    return ownerKey(mapping.side, mapping.scope, mapping.protocol, mapping.public, mapping.remote);
  }

  owner(side: Side, scope: number, protocol: number, end: Endpoint, remote: Endpoint | null): Mapping | null {
    return this.mappings.get(ownerKey(side, scope, protocol, end, remote)) ?? null;
  }

  isResting(
    side: Side,
    scope: number,
    protocol: number,
    end: Endpoint,
    remote: Endpoint | null,
    second: number,
  ): boolean {
    const rest = this.resting.get(ownerKey(side, scope, protocol, end, remote));
    return rest !== undefined && rest.until > second;
  }

  /** Whether the endpoint had an owner before, and its rest is over. */
  hasRested(side: Side, scope: number, protocol: number, end: Endpoint, remote: Endpoint | null): boolean {
    return this.resting.has(ownerKey(side, scope, protocol, end, remote));
  }

  /** DESIGN invariant 1 is kept here: an endpoint that has an owner gets no second. */
  addMapping(mapping: Mapping): void {
    const key = this.keyOf(mapping);
    if (this.mappings.has(key)) throw new Error(`endpoint ${key} has an owner`);
    this.mappings.set(key, mapping);
    this.pairs.set(pairKey(mapping, mapping.inside.address), mapping.public.address);
  }
}

/** Whether the outside opened the session through this mapping and has had no answer. */
function isUnansweredStranger(session: Session, mapping: Mapping): boolean {
  const { sessionClass, destinationMapping, packets } = session;
  return sessionClass === 'external-to-vpc' && destinationMapping === mapping && packets.reverse === 0;
}

/** Whole second at which a session ends unless something refreshes it. */
export function sessionDeadline(session: Session, config: ValidatedConfig): number {
  const t = config.nat.timeouts;
  const protocol = session.forward.protocol;
  if (session.tcp !== null) {
    return deadline(session.tcp, { established: t.tcpEstablishedSeconds, transitory: t.tcpTransitorySeconds });
  }
  return session.last + (protocol === UDP ? t.udpSeconds : protocol === ICMP ? t.icmpSeconds : t.otherSeconds);
}
