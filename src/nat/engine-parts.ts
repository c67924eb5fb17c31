import type { ValidatedConfig, Vpc } from '../config/types.js';
import { alignConfig } from './alignment.js';
import { Bindings } from './bindings.js';
import { HostTable } from './host-table.js';
import { RateLimit } from './limits.js';
import { MappingTable } from './mapping-table.js';
import type { NatLog } from './nat-log.js';
import { OwnAnswers } from './own-answers.js';
import { PublicPools } from './public-pools.js';
import { Random } from './random.js';
import { referredParts } from './referred-parts.js';
import { RemoteFilter } from './remote-filter.js';
import { RestingTuples } from './resting-tuples.js';
import { SessionJudge } from './session-judge.js';
import { SessionTable } from './session-table.js';
import { SessionTally } from './session-tally.js';
import type { NativeRows } from './session-timers.js';
import { Shard, type ShardSeat } from './shards/shard.js';
import { ShardBindings } from './shards/shard-bindings.js';
import { ShardFilter } from './shards/shard-filter.js';
import { ShardPools } from './shards/shard-pools.js';
import { ShardSources } from './shards/shard-sources.js';
import type { DecisionSink } from './sink.js';
import { SourceTranslation } from './source-translation.js';
import { Strangers } from './strangers.js';
import type { TableMemory } from './table-memory.js';
import { TimerWheel } from './timer-wheel.js';
import { Topology } from './topology.js';

/**
 * What opening, ends and adoption of sessions share: the tables, which live as long as the engine, and what is made from
 * the configuration, which changes with it.
 */
export class EngineParts {
  /** Which one of several engines this is; null: it is alone. */
  readonly shard: Shard | null;
  readonly sessions: SessionTable;
  readonly mappings: MappingTable;
  readonly hosts: HostTable;
  readonly tally: SessionTally;
  readonly pools: PublicPools;
  readonly wheel: TimerWheel;
  readonly strangers = new Strangers();
  readonly filter: RemoteFilter;
  /** Live sessions by VPC. */
  readonly sessionsOfVpc: number[];
  private readonly resting: RestingTuples;
  /** Told of each row whose session opens, changes its state or ends. */
  changed: { mark(row: number): void } | null = null;

  // Of the configuration as it is now.
  config: ValidatedConfig;
  /** Whether the log is told of each session. */
  logsSessions: boolean;
  topology: Topology;
  bindings: Bindings;
  sources: SourceTranslation;
  judge: SessionJudge;
  answers: OwnAnswers;
  rates: readonly RateLimit[];
  /** By VPC: whether its configuration limits sessions in any way. */
  isLimited: readonly boolean[];

  constructor(
    config: ValidatedConfig,
    readonly rows: NativeRows,
    readonly sink: DecisionSink,
    readonly log: NatLog,
    memory: TableMemory,
    seat: ShardSeat | null = null,
  ) {
    this.shard = seat === null ? null : new Shard(seat, config);
    const capacity = this.shard?.rows ?? config.nat.maxSessions;
    this.config = config;
    this.logsSessions = config.nat.log === 'sessions';
    this.topology = new Topology(config);
    this.sessions = new SessionTable(capacity, memory, capacity * (this.shard?.index ?? 0));
    this.mappings = new MappingTable(capacity, memory);
    // A session holds at most two hosts: the inside one for its limits, the same in a peering scope for its pairing.
    this.hosts = new HostTable(capacity * 2);
    const random = new Random(config.nat.seed);
    if (this.shard === null) {
      this.pools = new PublicPools(config, this.topology, this.hosts, random, log);
    } else {
      this.shard.pools = new ShardPools(this.shard, config, this.topology, this.hosts, random, log);
      this.pools = this.shard.pools;
    }
    this.resting = new RestingTuples(capacity);
    const { filtering } = config.nat;
    this.filter = this.shard === null ? new RemoteFilter(filtering) : new ShardFilter(filtering, this.shard);
    this.wheel = new TimerWheel(capacity, memory);
    this.tally = new SessionTally(config.vpcs);
    this.rates = config.vpcs.map(({ limits }) => new RateLimit(limits.newSessionsPerSecond));
    this.isLimited = config.vpcs.map(hasLimits);
    this.sessionsOfVpc = config.vpcs.map(() => 0);
    this.bindings = this.newBindings();
    this.sources = this.newSources();
    this.judge = this.newJudge();
    this.answers = this.newAnswers();
  }

  /**
   * Follows another configuration; VPCs and peer gateways that are still referred to stand in it as retired ones.
   *
   * @returns The topology of before.
   */
  follow(config: ValidatedConfig): Topology {
    const used = referredParts(this.config, this.sessions, this.mappings);
    const aligned = alignConfig(
      this.config,
      config,
      (vpc) => !used.vpcs.has(vpc),
      (peer) => !used.peers.has(peer),
    );
    return this.followAligned(aligned);
  }

  /** The same with one that is aligned already. @see alignConfig */
  followAligned(aligned: ValidatedConfig): Topology {
    const previous = this.topology;
    this.rates = aligned.vpcs.map(({ index, limits }) => {
      const rate = this.rates[index];
      const same = rate !== undefined && rate.perSecond === limits.newSessionsPerSecond;
      return same ? rate : new RateLimit(limits.newSessionsPerSecond);
    });
    this.isLimited = aligned.vpcs.map(hasLimits);
    while (this.sessionsOfVpc.length < aligned.vpcs.length) this.sessionsOfVpc.push(0);
    this.tally.follow(aligned.vpcs);
    this.config = aligned;
    this.logsSessions = aligned.nat.log === 'sessions';
    this.topology = new Topology(aligned);
    this.topology.adoptLearned(previous);
    this.pools.reconfigure(aligned, this.topology, this.mappings);
    this.bindings = this.newBindings();
    this.sources = this.newSources();
    this.judge = this.newJudge();
    this.answers = this.newAnswers();
    this.filter.follow(aligned.nat.filtering, this.sessions);
    return previous;
  }

  private newBindings(): Bindings {
    const { topology, mappings, shard } = this;
    return shard === null ? new Bindings(topology, mappings) : new ShardBindings(topology, mappings, shard);
  }

  private newSources(): SourceTranslation {
    const alone = this.config.nat.mapping === 'address-and-port-dependent';
    const { topology, mappings, hosts, pools, sessions, resting, shard } = this;
    return shard === null
      ? new SourceTranslation(topology, mappings, hosts, pools, sessions, alone, resting)
      : new ShardSources(shard, topology, mappings, hosts, pools, sessions, alone, resting);
  }

  private newJudge(): SessionJudge {
    return new SessionJudge(this.topology, this.bindings, this.mappings, this.pools, this.sessions);
  }

  private newAnswers(): OwnAnswers {
    return new OwnAnswers(this.topology, this.sink, (address) => this.pools.isStillUsed(address, this.mappings));
  }
}

function hasLimits({ limits }: Vpc): boolean {
  const { sessions, sessionsPerAddress, newSessionsPerSecond } = limits;
  return [sessions, sessionsPerAddress, newSessionsPerSecond].some((limit) => limit !== Number.POSITIVE_INFINITY);
}
