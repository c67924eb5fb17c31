import { parseIpv4 } from '../../src/config/address.js';
import { brokenFrame } from './broken-frames.js';
import { Builder, type PacketOptions } from './builder.js';
import { callBack, callCaller, converse, ofSession } from './conversations.js';
import { meetsLeftOver } from './follow-reload.js';
import { fragmentGroup } from './fragment-groups.js';
import { type Arrival, type GatewayModel, tupleOf } from './gateway-model.js';
import { GRE, ICMP, Icmp, Packet, TCP, Tcp, UDP } from './ipv4.js';
import { KNOWN } from './known.js';
import { localFrame } from './local-frames.js';
import { Random } from './random.js';
import { HOSTS } from './scenario.js';
import { type Mapping, reversed, type Session, sessionDeadline, type Tuple } from './state.js';
import { type Context, OUTSIDE, peerContext } from './topology.js';

export const WEIGHTS = {
  out: 14,
  follow: 40,
  late: 4,
  inward: 8,
  inwardStatic: 5,
  inwardRandom: 2,
  hairpin: 6,
  peer: 10,
  fromPeer: 6,
  bypass: 3,
  privateDestination: 1,
  error: 10,
  fragments: 6,
  local: 4,
  broken: 4,
  expiring: 4,
  big: 9,
  fill: 4,
  converse: 12,
  callBack: 10,
  reconfigure: 6,
  callCaller: 5,
} as const;
export type Kind = keyof typeof WEIGHTS;

/** One operation: what it becomes depends on the state it meets, so that a shorter sequence still means something. */
export interface Operation {
  readonly kind: Kind;
  readonly delayMicros: number;
  readonly seed: number;
}

export function randomOperation(random: Random, weights: Readonly<Record<Kind, number>>): Operation {
  return { kind: random.weighted(weights), delayMicros: randomDelay(random), seed: random.u32() };
}

/** From milliseconds to beyond every timeout; at times exactly to the second, where timers are due. */
function randomDelay(random: Random): number {
  switch (random.weighted({ millis: 60, second: 20, seconds: 12, whole: 5, long: 3 })) {
    case 'millis':
      return random.int(1, 200) * 1000 + random.int(10, 900);
    case 'second':
      return random.int(200_000, 2_000_000);
    case 'seconds':
      return random.int(2_000_000, 12_000_000);
    case 'whole':
      return -random.int(1, 6);
    default:
      return random.int(12_000_000, 90_000_000);
  }
}

export const REMOTES = ['198.51.100.7', '198.51.100.8', '192.0.2.200'].map((text) => parseIpv4(text) as number);
const HOST_PORTS = [1000, 1000, 1001, 1002, 8080, 0, 65535];
const REMOTE_PORTS = [53, 80, 443];
const PROTOCOLS = [UDP, UDP, UDP, TCP, TCP, TCP, ICMP, GRE];

/** Turns an operation into frames for the state as the model knows it; none when the operation has no meaning now. */
export class Generator {
  readonly random: Random;
  readonly builder: Builder;
  private micros: number;

  constructor(
    readonly model: GatewayModel,
    operation: Operation,
    micros: number,
  ) {
    this.random = new Random(operation.seed);
    this.builder = new Builder(model, this.random, operation.seed);
    this.micros = micros;
  }

  frames(kind: Kind): Arrival[] {
    return this.anyFrames(kind).filter(
      ({ what, micros }) => what.kind !== 'packet' || !this.isKnownFault(what, micros),
    );
  }

  /** Whether an open fault (known.ts) makes what a packet leads to unforeseeable. */
  private isKnownFault({ context, packet }: { context: Context; packet: Buffer }, micros: number): boolean {
    const { opener, state, config } = this.model;
    const { source, destination, isFragment } = new Packet(packet);
    const session = isFragment ? null : (state.find(context, tupleOf(new Packet(packet)))?.session ?? null);
    // It may end before the packet comes.
    const isNew = session === null || sessionDeadline(session, config) <= Math.floor(micros / 1e6);
    return (
      (isNew && meetsLeftOver(this.model, context, source, destination)) ||
      (KNOWN['F-M5'] === 'open' && opener.waiters.isWaiting(context, packet)) ||
      (KNOWN['F-M7'] === 'open' && opener.isUnaskedReply(context, packet))
    );
  }

  private anyFrames(kind: Kind): Arrival[] {
    const { random } = this;
    switch (kind) {
      case 'out':
        return this.opening();
      case 'fill':
        return this.fill();
      case 'follow':
        return this.ofSession(this.liveSession());
      case 'late':
        return this.ofSession(this.pick(this.model.state.dead));
      case 'inward':
        return this.toMapping(this.pick(this.mappings('external', -1)), OUTSIDE);
      case 'inwardStatic':
        return this.inwardStatic();
      case 'inwardRandom':
        return this.inwardRandom();
      case 'hairpin':
        return this.hairpin();
      case 'peer':
        return this.peer();
      case 'fromPeer':
        return this.fromPeer();
      case 'bypass':
        return this.green() < 0 ? [] : this.new(this.green(), random.pick(HOSTS.green), ip('192.0.2.5'));
      case 'privateDestination':
        return this.new(0, random.pick(HOSTS.red), ip(random.pick(['10.0.1.99', '10.0.2.99', '10.0.3.3', '10.9.0.4'])));
      case 'error':
        return this.icmpError();
      case 'fragments':
        return fragmentGroup(this);
      case 'local':
        return localFrame(this);
      case 'broken':
        return brokenFrame(this);
      case 'expiring':
        return this.expiring();
      case 'big':
        return this.big();
      case 'converse':
        return converse(this);
      case 'reconfigure': {
        // A packet that means the same under every configuration: the clock goes on with it.
        const t = this.tuple(UDP, REMOTES[0], ip('203.0.113.77'), 53, 53);
        return [this.builder.arrival(OUTSIDE, this.builder.packet(t), this.next() + 5)];
      }
      case 'callCaller':
        return callCaller(this);
      case 'callBack':
        return callBack(this);
    }
  }

  /** The next time, and the one after it a little later. */
  next(gapMicros = 700): number {
    const now = this.micros;
    this.micros += gapMicros;
    return now;
  }

  pick<T>(choices: Iterable<T>): T | null {
    const all = [...choices];
    return all.length === 0 ? null : this.random.pick(all);
  }

  /** The VPC that comes and goes with the configuration; -1: gone. */
  private green(): number {
    return this.model.config.vpcs.findIndex(({ name }) => name === 'green');
  }

  /** Recent sessions are likelier: conversations go on. */
  liveSession(): Session | null {
    const live = [...this.model.state.live];
    return this.random.chance(0.6) ? this.pick(live.slice(-3)) : this.pick(live);
  }

  private mappings(side: string, scope: number): Mapping[] {
    return [...this.model.state.mappings.values()].filter((m) => m.side === side && m.scope === scope);
  }

  /** A packet that no session need know, with a protocol of its own. */
  new(context: Context, source: string | number, destination: number, options: PacketOptions = {}): Arrival[] {
    const { random } = this;
    return this.newOf(random.pick(PROTOCOLS), context, source, destination, random.pick(REMOTE_PORTS), options);
  }

  newOf(
    protocol: number,
    context: Context,
    source: string | number,
    destination: number,
    destinationPort: number,
    options: PacketOptions = {},
  ): Arrival[] {
    const from = typeof source === 'string' ? ip(source) : source;
    const t = this.tuple(protocol, from, destination, this.random.pick(HOST_PORTS), destinationPort);
    return [this.builder.arrival(context, this.builder.packet(t, { ...this.opens(), ...options }), this.next())];
  }

  tuple(protocol: number, source: number, destination: number, sourcePort: number, destinationPort: number): Tuple {
    if (protocol === ICMP) return { protocol, source, destination, sourcePort, destinationPort: sourcePort };
    const ports =
      protocol === TCP || protocol === UDP ? { sourcePort, destinationPort } : { sourcePort: 0, destinationPort: 0 };
    return { protocol, source, destination, ...ports };
  }

  /** Mostly a bare SYN, at times with ECN's flags; else what opens nothing. */
  private opens(): PacketOptions {
    const { random } = this;
    const tcpFlags = random.chance(0.85)
      ? random.pick([Tcp.syn, Tcp.syn, Tcp.syn | Tcp.ece | Tcp.cwr])
      : random.pick([Tcp.ack, Tcp.syn | Tcp.ack, Tcp.rst, Tcp.fin | Tcp.ack, Tcp.syn | Tcp.fin]);
    return { tcpFlags, transportChecksum: random.pick(['right', 'right', 'right', 'zero']) };
  }

  opening(options: PacketOptions = {}): Arrival[] {
    const vpc = this.random.pick([0, 0, 0, 1, 1, this.green()]);
    if (vpc < 0) return [];
    const host = this.random.pick(HOSTS[this.model.config.vpcs[vpc].name] ?? HOSTS.red);
    return this.new(vpc, host, this.random.pick(REMOTES), options);
  }

  /** One host opens many sessions at once: pools, limits and tables fill up. */
  private fill(): Arrival[] {
    const { random } = this;
    const vpc = random.pick([0, 0, 1]);
    const host = ip(random.pick(HOSTS[vpc === 0 ? 'red' : 'blue']));
    const protocol = random.pick([UDP, TCP, ICMP]);
    const count = random.int(4, 12);
    const peering = random.chance(0.3);
    return Array.from({ length: count }, (_, n) => {
      const destination = peering ? ip(vpc === 0 ? '100.64.9.9' : '100.64.1.5') : random.pick(REMOTES);
      const t = this.tuple(protocol, host, destination, 5000 + n, random.pick(REMOTE_PORTS));
      return this.builder.arrival(
        vpc,
        this.builder.packet(t, { tcpFlags: Tcp.syn }),
        this.next(random.pick([700, 300_000])),
      );
    });
  }

  ofSession(session: Session | null, options: PacketOptions = {}): Arrival[] {
    return ofSession(this, session, options);
  }

  /** From some remote, old or new, to the public end of a mapping. */
  private toMapping(mapping: Mapping | null, context: Context): Arrival[] {
    if (mapping === null) return [];
    const { random } = this;
    const [session] = mapping.sessions;
    const known = session.sourceMapping === mapping ? session.translated.destination : session.forward.source;
    const from = random.chance(0.5) ? known : random.pick(REMOTES);
    return this.toEndpoint(mapping.protocol, context, from, mapping.public.address, mapping.public.port);
  }

  private toEndpoint(protocol: number, context: Context, from: number, to: number, port: number): Arrival[] {
    const { random } = this;
    const t = this.tuple(protocol, from, to, protocol === ICMP ? port : random.pick([53, 80, 5555, 5556]), port);
    const icmpType = random.chance(0.8) ? Icmp.echo : Icmp.echoReply;
    return [this.builder.arrival(context, this.builder.packet(t, { ...this.opens(), icmpType }), this.next())];
  }

  private inwardStatic(): Arrival[] {
    const { random } = this;
    const forms = this.model.config.staticBindings.filter((form) => form.side === 'external' && form.protocol !== null);
    const last = forms[forms.length - 1];
    if (last !== undefined && last.protocol !== null && random.chance(0.3)) {
      return this.toEndpoint(last.protocol, OUTSIDE, random.pick(REMOTES), last.public.first, last.publicPort ?? 0);
    }
    const [address, port, protocol] = random.pick([
      ['203.0.113.10', random.pick([80, 22]), random.pick(PROTOCOLS)],
      ['203.0.113.11', random.pick([80, 80, 81]), random.pick([TCP, TCP, UDP, ICMP])],
      ['203.0.113.16', 2001, UDP],
      ['203.0.113.21', random.pick([80, 22]), random.pick(PROTOCOLS)],
      ['203.0.113.22', 80, random.pick(PROTOCOLS)],
    ] as const);
    return this.toEndpoint(protocol, OUTSIDE, random.pick(REMOTES), ip(address), port);
  }

  private inwardRandom(): Arrival[] {
    const to = ip(this.random.pick(['203.0.113.16', '203.0.113.17', '203.0.113.40', '203.0.113.77', '192.0.2.5']));
    return this.toEndpoint(
      this.random.pick(PROTOCOLS),
      OUTSIDE,
      this.random.pick(REMOTES),
      to,
      this.random.int(2000, 2006),
    );
  }

  private hairpin(): Arrival[] {
    const { random } = this;
    const vpc = random.pick([0, 0, 1, this.green()]);
    if (vpc < 0) return [];
    const host = random.pick(HOSTS[this.model.config.vpcs[vpc].name]);
    const target = random.weighted({ mapping: 5, fixed: 4, pool: 1, peering: 3 });
    if (target === 'mapping') {
      const mapping = this.pick(this.mappings('external', -1));
      if (mapping === null || mapping.protocol === GRE) return [];
      return this.newOf(mapping.protocol, vpc, host, mapping.public.address, mapping.public.port);
    }
    if (target === 'peering') {
      const mapping = this.pick(this.mappings('peering', vpc).filter((m) => m.vpc === vpc && m.protocol !== GRE));
      if (mapping !== null && random.chance(0.5)) {
        return this.newOf(mapping.protocol, vpc, host, mapping.public.address, mapping.public.port);
      }
      const [address, port] =
        vpc === 0
          ? random.pick([
              ['100.64.1.5', 80],
              ['100.64.1.0', 4001],
            ] as const)
          : (['100.64.2.9', 80] as const);
      return this.newOf(random.pick(PROTOCOLS), vpc, host, ip(address), port);
    }
    const fixed = [
      ['203.0.113.10', 80],
      ['203.0.113.11', 80],
      ['203.0.113.16', 2001],
      ['203.0.113.21', 80],
      ['203.0.113.23', 80],
    ] as const;
    const [address, port] = target === 'fixed' ? random.pick(fixed) : (['203.0.113.17', 2002] as const);
    return this.newOf(random.pick(PROTOCOLS), vpc, host, ip(address), port);
  }

  /** To a peering address of another VPC: bound or not, peered or not, here or behind another gateway. */
  private peer(): Arrival[] {
    const { random } = this;
    const vpc = random.pick([0, 0, 1, 1, this.green()]);
    if (vpc < 0) return [];
    const host = random.pick(HOSTS[this.model.config.vpcs[vpc].name]);
    const mapping = this.pick(this.mappings('peering', vpc).filter((m) => m.vpc !== vpc && m.protocol !== GRE));
    if (mapping !== null && random.chance(0.4)) {
      return this.newOf(mapping.protocol, vpc, host, mapping.public.address, mapping.public.port);
    }
    const [address, port] = random.pick([
      ['100.64.2.9', 80],
      ['100.64.2.9', 80],
      ['100.64.1.5', 22],
      ['100.64.1.0', 4001],
      ['100.64.2.5', 4002],
      ['100.64.9.9', 80],
      ['100.64.9.1', 80],
      ['100.64.8.1', 53],
    ] as const);
    return this.newOf(random.pick(PROTOCOLS), vpc, host, ip(address), port);
  }

  private fromPeer(): Arrival[] {
    const { random } = this;
    const gateway = random.pick([0, 0, 1]);
    const source = ip(
      random.pick(
        gateway === 0 ? ['100.64.9.9', '100.64.9.1', '100.64.9.2', '100.64.8.1'] : ['100.64.8.1', '100.64.77.1'],
      ),
    );
    const scope = this.model.topology.peeringOwner(source);
    const mapping = this.pick(this.mappings('peering', scope));
    if (mapping !== null && random.chance(0.6)) {
      return this.toEndpoint(
        mapping.protocol,
        peerContext(gateway),
        source,
        mapping.public.address,
        mapping.public.port,
      );
    }
    const [to, port] = random.pick([
      ['100.64.2.9', 80],
      ['100.64.1.5', 22],
      ['100.64.1.0', 4001],
      ['100.64.1.0', 4002],
    ] as const);
    return this.toEndpoint(random.pick(PROTOCOLS), peerContext(gateway), source, ip(to), port);
  }

  /** TTL 1 or 0, of a session or not. */
  private expiring(): Arrival[] {
    const { random } = this;
    const options = { ttl: random.pick([1, 1, 1, 0]) };
    const session = random.chance(0.6) ? this.liveSession() : null;
    return session === null ? this.opening(options) : this.ofSession(session, options);
  }

  /** Near the largest that fits, with and without DF. */
  private big(): Arrival[] {
    const { random, model } = this;
    const session = this.liveSession();
    if (session === null || session.tcp?.phase === 'opening') return [];
    // That a first packet which is too big opens a session, or does not, nobody says.
    if (sessionDeadline(session, model.config) * 1e6 <= this.micros) return [];
    const largest = Math.min(model.topology.mtuTowards(0), model.topology.mtuTowards(OUTSIDE));
    const size = largest - 28 - (session.tcp === null ? 0 : 12) + random.pick([-1, 0, 1, 9, 20]);
    return this.ofSession(session, {
      size,
      tcpFlags: Tcp.ack,
      dontFragment: random.chance(0.6),
      options: Buffer.alloc(0),
    });
  }

  /** About a packet of a session, live or dead, from who received it or from a router on its way. */
  private icmpError(): Arrival[] {
    const { random, builder } = this;
    const session = random.chance(0.85) ? this.liveSession() : this.pick(this.model.state.dead);
    if (session === null) return [];
    const aboutForward = random.chance(0.6);
    const t = aboutForward ? session.translated : reversed(session.forward);
    const context = aboutForward ? session.reverseContext : session.forwardContext;
    const icmpType = aboutForward ? Icmp.echo : Icmp.echoReply;
    const quoted = builder.packet(t, { icmpType, size: random.pick([0, 8, 40]), tcpFlags: Tcp.ack, ttl: 9 });
    const router =
      context === OUTSIDE
        ? '192.0.2.99'
        : context === 0
          ? '10.0.1.77'
          : context === 1
            ? '10.0.2.77'
            : context === this.green() && context >= 0
              ? '10.0.3.77'
              : null;
    const stranger = context >= 0 && random.chance(0.05) ? '10.99.0.1' : null;
    const speaker = stranger ?? (random.chance(0.5) ? router : null);
    const from = speaker === null ? t.destination : ip(speaker);
    // Of what somebody else has sent: another host, an address that is nobody's, the gateway's own.
    const to = random.chance(0.85)
      ? t.source
      : random.pick([(t.source ^ 1) >>> 0, ip('198.51.100.77'), ip('203.0.113.1')]);
    const [type, code] = random.pick([
      [3, 3],
      [3, 1],
      [3, 4],
      [11, 0],
      [12, 0],
    ] as const);
    const header = (quoted[0] & 15) * 4;
    const error = builder.error(from, to, type, code, quoted, random.pick([header + 8, header + 20, 548]));
    return [builder.arrival(context, error, this.next())];
  }
}

export const ip = (text: string): number => parseIpv4(text) as number;
