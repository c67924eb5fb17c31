import { createHash, randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { MirrorSettings, ValidatedConfig } from '../config/types.js';
import type { LiveGateway } from '../controller/live.js';
import { mirrorConfigHash, sharedDocument } from '../mirror/config-ranks.js';
import { redisConnector } from '../mirror/connect.js';
import { Deferral } from '../mirror/deferral.js';
import { EngineSink } from '../mirror/engine-sink.js';
import { EngineSource } from '../mirror/engine-source.js';
import { openMirrorReplay } from '../mirror/replay.js';
import type { MirrorReplay, MirrorWriter, RedisConnector } from '../mirror/types.js';
import { DEFAULT_SHARDS, openMirrorWriter } from '../mirror/writer.js';
import type { MirrorSides } from './pair-sessions.js';
import { PortReserve } from './port-reserve.js';

/** The NAT engine of a pair's member, as what the mirror is written from and replayed into, one after the other. */
export class PairMirror implements MirrorSides {
  readonly redis: RedisConnector;
  readonly ports: PortReserve;
  private readonly group: string;
  private readonly settings: MirrorSettings;
  private readonly source: EngineSource;
  private readonly deferral: Deferral | null;
  private sink: EngineSink | null = null;
  private lastWriter: MirrorWriter | null = null;
  private lastReplay: MirrorReplay | null = null;

  /** @param gateway One whose configuration has mirror and ha. */
  constructor(
    private readonly gateway: LiveGateway,
    private readonly node: string,
    private readonly log: Logger,
    /** Of the pair. */
    secret = '',
  ) {
    const { mirror, ha, name } = gateway.config;
    if (mirror === null) throw new RangeError('a configuration without a mirror');
    this.settings = mirror;
    this.group = ha?.group ?? name;
    this.redis = redisConnector(mirror.redis);
    const { engine, rows } = gateway.controller;
    const { mode } = mirror;
    const gate = mode === 'async' ? null : gateway.controller.gateSessions(() => gateway.nowSeconds());
    this.deferral = mode === 'async' || gate === null ? null : new Deferral(gate, mode, true);
    this.source = new EngineSource(engine, rows, () => gateway.nowSeconds(), DEFAULT_SHARDS);
    this.ports = new PortReserve({
      grants: engine.ownPortsByBlocks(seedOf(`${this.group} ${secret}`)),
      mode: mirror.mode,
      nat: () => engine.config.nat,
      toMirror: (block) => inScope(block, (vpc) => engine.config.vpcs[vpc].vni),
      fromMirror: (block) => inScope(block, (vni) => engine.config.vpcs.findIndex((vpc) => vpc.vni === vni)),
      log,
    });
  }

  /** What both gateways of the pair must agree on, as a hash. */
  get configHash(): string {
    return mirrorConfigHash(this.gateway.config);
  }

  writer(): MirrorWriter {
    this.lastWriter = openMirrorWriter({
      redis: this.redis,
      group: this.group,
      writerId: `${this.node} ${randomUUID()}`,
      configHash: this.configHash,
      about: JSON.stringify(sharedDocument(this.gateway.config)),
      source: this.source,
      shards: DEFAULT_SHARDS,
      mode: this.settings.mode,
      expectsStandby: true,
      log: this.log,
    });
    return this.lastWriter;
  }

  replay(): MirrorReplay {
    this.deferral?.end();
    const { controller } = this.gateway;
    this.sink = new EngineSink(
      controller.engine,
      () => this.gateway.nowSeconds(),
      () => controller.roomForDecisions(),
    );
    this.lastReplay = openMirrorReplay({
      redis: this.redis,
      group: this.group,
      nodeId: this.node,
      configHash: this.configHash,
      sink: this.sink,
      shards: DEFAULT_SHARDS,
      ...(this.settings.mode === 'defer-closed' ? { publishMs: 1 } : {}),
      log: this.log,
    });
    return this.lastReplay;
  }

  decide(): void {
    if (this.lastWriter !== null) this.deferral?.begin(this.lastWriter);
    this.gateway.controller.engine.takeOver(this.gateway.nowSeconds());
  }

  /** The engine follows another configuration, as of now. */
  reconfigured(config: ValidatedConfig): void {
    this.source.reconfigured();
    this.sink?.reconfigured();
    this.lastWriter?.reconfigure(mirrorConfigHash(config), JSON.stringify(sharedDocument(config)));
    this.lastReplay?.reconfigure(mirrorConfigHash(config));
  }

  /** Of the writer: GET /v1/mirror. */
  status(): unknown {
    return this.lastWriter?.status() ?? null;
  }
}

/** @returns u32 */
function seedOf(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32LE(0);
}

/** A block whose scope names the VPC otherwise: by its VNI or its index. Null: there is none. */
function inScope<T extends { readonly scope: number }>(block: T, nameOf: (vpc: number) => number): T | null {
  if (block.scope === 0) return block;
  const name = nameOf(block.scope - 1);
  return name < 0 ? null : { ...block, scope: name + 1 };
}
