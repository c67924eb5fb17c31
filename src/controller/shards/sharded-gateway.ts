import { join } from 'node:path';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { Logger } from 'pino';
import type { ValidatedConfig } from '../../config/types.js';
import type { ReviewReport } from '../../nat/session-review.js';
import type { BlockDealer } from '../../nat/shards/block-dealer.js';
import type { ShardMail } from '../../nat/shards/messages.js';
import { Router } from '../../nat/shards/router.js';
import { BlockOwners, rowsOfShard, type ShardMemory, SharedRemotes } from '../../nat/shards/shared-state.js';
import { Topology } from '../../nat/topology.js';
import type { Dataplane, NativeBinding, TapFilter } from '../../native/binding.js';
import { LIVE_SIZES, openPorts, type TargetOf, targetOfPorts, watchTemplates } from '../live-ports.js';
import { nativePorts } from '../native-ports.js';
import { NicRules } from '../nic-rules.js';
import { type CaptureEnd, capturePackets, tapOf } from '../packet-capture.js';
import type { RepairReport } from '../rule-repair.js';
import { TemplateRegistry } from '../templates.js';
import type { EngineAnswer, EngineRequest, FromShard, ShardMeasures } from './messages.js';
import { RemoteRules } from './remote-rules.js';
import { ShardLead } from './shard-lead.js';
import { configOfShard } from './shard-seeds.js';
import { setUpShards, shardOptions } from './shard-setup.js';
import { ShardThread } from './shard-thread.js';
import { SharedConfig } from './shared-config.js';
import { ruleCountMemory, SharedRuleCount } from './shared-rule-count.js';
import { sumMeasures } from './sum-measures.js';

/** How often constant rules that a NIC refused are tried again. */
const LOOK_MS = 1000;
/** How often it is looked whether a NIC has failed. */
const NIC_LOOK_MS = 100;
/** How often it is asked what sessions have of older configurations, while some have. */
const LEFT_OVER_MS = 10_000;
/** In a built tree. */
const WORKER = 'dist/src/controller/shards/worker.js';

/**
 * A gateway on live ports with several shards: each has a worker thread with a NAT engine beside an lcore
 * (docs/decisions/0017-shards.md). This is the control thread's part: ports, constant rules, dealing, and whoever asks.
 */
export class ShardedGateway {
  readonly memory: ShardMemory;
  readonly nicRules: SharedRuleCount;
  /** Rejected when a shard ends and was not to: then nothing works any more. */
  readonly failed: Promise<never>;
  private fail: (fault: Error) => void = () => undefined;
  private readonly dataplane: Dataplane;
  private readonly templates: TemplateRegistry;
  private readonly threads: ShardThread[];
  private readonly dealer: BlockDealer;
  private readonly shared: SharedConfig;
  private readonly rules: NicRules;
  private readonly lead: ShardLead;
  private looks: NodeJS.Timeout | null = null;
  private nicLooks: NodeJS.Timeout | null = null;
  private leftOverLooks: NodeJS.Timeout | null = null;
  private isClosed = false;

  /**
   * Starts EAL (once a process), opens the ports and makes the workers.
   *
   * @param shards          2..MOST_SHARDS.
   * @param wantsPrecedence As EnginePlace has it.
   * @throws NativeError @throws RangeError for an unknown target, or what several shards cannot do
   */
  constructor(
    config: ValidatedConfig,
    private readonly binding: NativeBinding,
    root: string,
    targetOf: TargetOf,
    log: Logger,
    shards: number,
    wantsPrecedence = true,
  ) {
    this.failed = new Promise((_, reject) => {
      this.fail = reject;
    });
    // Whoever waits for it comes later.
    this.failed.catch(() => undefined);
    const devices = openPorts(config, binding, root, shards);
    this.dataplane = new binding.Dataplane({
      ports: nativePorts(config, devices),
      underlay: config.underlay,
      maxSessions: rowsOfShard(config.nat.maxSessions, shards),
      ...LIVE_SIZES,
      mssClamp: config.nat.mssClampBytes ?? 0,
      offloads: config.offload.mode !== 'never',
      replay: false,
      shards: shardOptions(config, shards),
    });
    const mail: ShardMail = {
      toDealer: (message) => this.dealer.receive(message),
      toEngine: (shard, message) => this.threads[shard].send({ kind: 'mail', message }),
    };
    const { memory, dealer, seeds } = setUpShards(config, shards, this.dataplane, mail);
    this.memory = memory;
    this.dealer = dealer;
    this.shared = new SharedConfig(config, memory.limits, dealer);
    const target = targetOfPorts(config, binding, devices, targetOf);
    this.templates = new TemplateRegistry(config, this.dataplane, config.offload.mode === 'never' ? null : target);
    watchTemplates(this.templates, log);
    this.templates.installStaticRules();
    log.info({ target: target ?? 'none', shards, ...this.templates.probeDirections() }, 'offload target');
    const counted = ruleCountMemory();
    this.nicRules = new SharedRuleCount(counted);
    const peers = channels(shards);
    this.threads = peers.map((ports, index) => {
      const start = {
        config: configOfShard(config, seeds.engines[index]),
        root,
        shardOf: this.dataplane.id,
        index,
        shards,
        wantsPrecedence,
        limits: this.memory.limits,
        nicRules: counted,
        target,
        nic: this.templates.known,
        level: log.level,
        peers: ports,
      };
      const transfer = ports.filter((port) => port !== null);
      const onDeath = (fault: Error) => this.fail(deathOf(index, fault));
      return new ShardThread(join(root, WORKER), start, transfer, (said) => this.onTold(index, said), onDeath);
    });
    this.rules = new NicRules({
      dataplane: this.dataplane,
      keepers: this.threads.map((thread) => new RemoteRules(thread)),
      rowsOfEach: rowsOfShard(config.nat.maxSessions, shards),
      config: () => this.config,
      isRunning: () => !this.isClosed,
      log,
    });
    this.lead = new ShardLead(this.threads, this.shared, (steering) => this.dataplane.steerBy(steering));
  }

  /** The configuration as it is now; VPCs and peer gateways that left it stand in it as retired ones. */
  get config(): ValidatedConfig {
    return this.shared.config;
  }

  /** Whose packets of the configuration as it is are, and of what lives of older ones. */
  get router(): Router {
    const { config, memory, shards, shared } = this;
    const [blocks, remotes] = [new BlockOwners(memory.blocks), new SharedRemotes(memory.remotes)];
    return new Router(config, new Topology(config), shards, blocks, remotes, shared.leftOver);
  }

  /**
   * Follows another configuration, all engines at once.
   *
   * @param config One that immutableChanges() finds nothing in.
   * @returns What became of the sessions; null when the gateway was closed meanwhile. @throws RangeError, and the old one stays
   */
  reconfigure(config: ValidatedConfig): Promise<ReviewReport | null> {
    return this.lead.reconfigure(config);
  }

  get shards(): number {
    return this.threads.length;
  }

  /** Rows of each shard's sessions: a flow's number tells whose it is. */
  get rowsOfShard(): number {
    return rowsOfShard(this.config.nat.maxSessions, this.shards);
  }

  /** @returns Once all lcores run. @throws Error SHARD with what a worker ended with */
  async start(): Promise<void> {
    await this.all((thread) => thread.ready);
    // A frame may be handed to a shard whose lcore is a moment later: it waits in a ring.
    await this.all((thread) => thread.start());
    this.looks = setInterval(() => this.look(), LOOK_MS);
    // An engine that ends meanwhile is told by its thread.
    const lookAtNics = () => this.rules.look(performance.now()).catch(() => undefined);
    this.nicLooks = setInterval(() => void lookAtNics(), NIC_LOOK_MS);
    const lookAtLeftOver = () => this.lead.lookAtLeftOver().catch(() => undefined);
    this.leftOverLooks = setInterval(() => void lookAtLeftOver(), LEFT_OVER_MS);
  }

  /** Ends the workers, removes the NIC's rules and closes the ports. Can be called twice. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    if (this.looks !== null) clearInterval(this.looks);
    if (this.nicLooks !== null) clearInterval(this.nicLooks);
    if (this.leftOverLooks !== null) clearInterval(this.leftOverLooks);
    await Promise.all(this.threads.map((thread) => thread.close()));
    this.dataplane.close();
  }

  /** What one engine answers. */
  ask(shard: number, request: EngineRequest): Promise<EngineAnswer> {
    return this.threads[shard].ask(request);
  }

  /** What all of them count, together. */
  async measure(): Promise<ShardMeasures> {
    return sumMeasures(await this.measureEach());
  }

  /** By shard. */
  measureEach(): Promise<ShardMeasures[]> {
    return Promise.all(this.threads.map((thread) => thread.measure()));
  }

  /** Makes the NICs' rules those that there should be. @returns By port index, what was found; null: somebody else does it already. @throws Error What an engine has ended with */
  reconcile(): Promise<readonly RepairReport[] | null> {
    return this.rules.reconcile();
  }

  /** Packets of all shards as a pcapng file; one capture at a time. @param isWanted Asked now and then. */
  capture(filter: TapFilter, end: CaptureEnd, isWanted: () => boolean): AsyncGenerator<Buffer> {
    const isOpen = () => !this.isClosed;
    return capturePackets(
      tapOf(this.dataplane, isOpen),
      this.config,
      filter,
      end,
      () => this.nowMs(),
      () => isOpen() && isWanted(),
    );
  }

  /** Gateway clock, milliseconds. */
  nowMs(): number {
    const [seconds, nanoseconds] = this.binding.now();
    return seconds * 1000 + Math.floor(nanoseconds / 1e6);
  }

  private all(what: (thread: ShardThread) => Promise<void>): Promise<unknown> {
    return Promise.all(
      this.threads.map((thread, index) =>
        what(thread).catch((fault: Error) => {
          throw deathOf(index, fault);
        }),
      ),
    );
  }

  private onTold(index: number, said: FromShard): void {
    if (this.isClosed) return;
    if (said.kind === 'mail') this.dealer.receive(said.message);
    if (said.kind !== 'neighbour') return;
    this.threads.forEach((thread, other) => {
      if (other !== index) thread.send(said);
    });
  }

  private look(): void {
    const before = this.templates.constantRulesLacking;
    if (before > 0) {
      this.templates.installMissingRules();
      if (this.templates.constantRulesLacking !== before) {
        for (const thread of this.threads) thread.send({ kind: 'nic', nic: this.templates.known });
      }
    }
  }
}

/** @returns By shard, its ends of channels to all others; null for itself. */
function channels(shards: number): (MessagePort | null)[][] {
  const ends: (MessagePort | null)[][] = Array.from({ length: shards }, () => new Array(shards).fill(null));
  for (let one = 0; one < shards; one++) {
    for (let other = one + 1; other < shards; other++) {
      const { port1, port2 } = new MessageChannel();
      ends[one][other] = port1;
      ends[other][one] = port2;
    }
  }
  return ends;
}

function deathOf(index: number, fault: Error): Error {
  return Object.assign(new Error(`shard ${index} has ended: ${fault.stack ?? fault.message}`), { code: 'SHARD' });
}
