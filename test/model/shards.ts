import type { GatewayModel } from './gateway-model.js';
import { hasPorts, type Mapping, reversed, type Session, type Tuple, tupleKey } from './state.js';
import { Disagreement } from './step.js';
import { type Context, type Endpoint, OUTSIDE, peerOf } from './topology.js';

/** Numbers of shards that every sequence is judged for. */
const SHARDS = [2, 3, 4];

/**
 * Where docs/decisions/0017 has the packets of a gateway with several shards looked up, told from what every lcore of it
 * would know: the configuration, and whose the blocks of public ports are. The gateway under test has one shard: a mapping's
 * block counts as dealt to the shard of its host. Engines of several are judged in test/nat/shards.
 */
class Owners {
  constructor(
    private readonly model: GatewayModel,
    private readonly shards: number,
  ) {}

  /** @returns The shards that look a packet up, in their order; the first one decides when none knows it. */
  of(context: Context, { protocol, source, sourcePort, destination, destinationPort }: Tuple): number[] {
    const { topology } = this.model;
    const behind = this.vpcsBehind(destination);
    if (peerOf(context) >= 0) return behind.map((vpc) => this.ofPair(topology.peeringOwner(source), vpc));
    const ends = this.ofPublicEnd(
      protocol,
      { address: destination, port: destinationPort },
      { address: source, port: sourcePort },
    );
    // Hosts that are not translated are known outside by their address alone, as everywhere.
    if (context === OUTSIDE) return ends.length > 0 ? ends : [this.ofHost(destination)];
    const own = this.ofHost(source);
    // A hairpin, from either of its ends.
    if (ends.length > 0) return ends.map((other) => Math.min(own, other));
    if (behind.length > 0) return behind.map((vpc) => this.ofPair(context, vpc));
    return [own];
  }

  /** Whose a mapping is. */
  home({ side, scope, vpc, inside }: Mapping): number {
    return side === 'external' ? this.ofHost(inside.address) : this.ofPair(vpc, scope);
  }

  /** The VPCs that a peering address stands for: by the configuration, and by mappings that an older one made. */
  private vpcsBehind(address: number): number[] {
    const { topology, state } = this.model;
    const mappings = [...state.mappings.values()].filter(
      (one) => one.side === 'peering' && one.public.address === address,
    );
    const owner = topology.peeringOwner(address);
    return [...new Set([...(owner < 0 ? [] : [owner]), ...mappings.map(({ vpc }) => vpc)])];
  }

  /** The static binding's host, then whose the block is that the port lies in. */
  private ofPublicEnd(protocol: number, end: Endpoint, remote: Endpoint): number[] {
    const { topology, state } = this.model;
    const form = topology.staticByPublic('external', protocol, end.address, end.port);
    const fixed = form === null ? [] : [this.ofHost(form.address)];
    const there = [...state.mappings.values()].filter(
      ({ side, protocol: its, public: { address, port } }) =>
        side === 'external' && its === protocol && address === end.address && (!hasPorts(its) || port === end.port),
    );
    // One shard alone would have a port of several hosts; what has no ports is told apart by the remote.
    const mapping = there.length < 2 ? there[0] : there.find((one) => serves(one, remote));
    return mapping === undefined ? fixed : [...fixed, this.home(mapping)];
  }

  private ofHost(address: number): number {
    return this.hash(`${address}`);
  }

  private ofPair(a: number, b: number): number {
    return this.hash(
      [a, b]
        .map((vpc) => this.model.topology.vpc(vpc).name)
        .sort()
        .join(' '),
    );
  }

  private hash(text: string): number {
    let hash = 0x811c9dc5;
    for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
    return ((hash ^ (hash >>> 15)) >>> 0) % this.shards;
  }
}

/** Whether packets from that remote to the mapping belong to a session of it. */
function serves(mapping: Mapping, { address, port }: Endpoint): boolean {
  return [...mapping.sessions].some(({ forward, translated, sourceMapping }) => {
    if (sourceMapping !== mapping) return translated.source === address && translated.sourcePort === port;
    const isCalled = translated.destination === address && translated.destinationPort === port;
    // Where the remote is a host of ours, as it presents itself.
    return isCalled || (forward.destination === address && forward.destinationPort === port);
  });
}

/** Packets of both directions of each session are looked up where it was opened. */
export class ShardLaw {
  /** By a session's counters, which a reload leaves it: whose it was when it opened, for each of SHARDS. */
  private readonly opened = new WeakMap<Session['packets'], number[]>();

  constructor(private readonly model: GatewayModel) {}

  /** @throws Disagreement */
  judge(): void {
    const all = SHARDS.map((shards) => new Owners(this.model, shards));
    for (const session of this.model.state.live) {
      const forward = all.map((owners) => owners.of(session.forwardContext, session.forward));
      const reverse = all.map((owners) => owners.of(session.reverseContext, reversed(session.translated)));
      const opened = this.opened.get(session.packets) ?? forward.map(([first]) => first);
      this.opened.set(session.packets, opened);
      for (const [at, owner] of opened.entries()) {
        const text = `${session.sessionClass} ${tupleKey(session.forwardContext, session.forward)}`;
        if (!forward[at].includes(owner) || !reverse[at].includes(owner)) {
          throw new Disagreement(
            `of ${SHARDS[at]} shards ${owner} opened ${text}, and its packets are looked up in ${forward[at]} and ${reverse[at]}`,
          );
        }
        const mappings = [session.sourceMapping, session.destinationMapping].filter((mapping) => mapping !== null);
        const foreign = mappings.filter((mapping) => all[at].home(mapping) !== owner).length;
        // A hairpin alone has a mapping of another shard, and only one: the other is its owner's.
        if (foreign > (session.sessionClass === 'hairpin' ? 1 : 0))
          throw new Disagreement(`${foreign} mappings of ${text} are not of its shard, ${owner} of ${SHARDS[at]}`);
      }
    }
  }
}
