import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { ValidatedConfig } from '../config/types.js';
import type { GatewayController } from '../controller/gateway.js';
import { mirrorConfigHash, sharedDocument } from './config-ranks.js';
import { redisConnector } from './connect.js';
import { Deferral } from './deferral.js';
import { EngineSource } from './engine-source.js';
import type { MirrorWriter } from './types.js';
import { DEFAULT_SHARDS, openMirrorWriter } from './writer.js';

/** What is told to Redis at most before a gateway that ends closes its connections, ms. */
const FAREWELL_MS = 500;

/** The writer of a running gateway, fed from its NAT engine. */
export class GatewayMirror {
  readonly writer: MirrorWriter;
  private readonly source: EngineSource;

  /**
   * Connects; nothing is written before the writer has begun an epoch.
   *
   * @param config With a mirror.
   * @param clock  Gateway clock, whole seconds.
   */
  constructor(controller: GatewayController, config: ValidatedConfig, clock: () => number, log: Logger) {
    if (config.mirror === null) throw new RangeError('a configuration without a mirror');
    this.source = new EngineSource(controller.engine, controller.rows, clock, DEFAULT_SHARDS);
    this.writer = openMirrorWriter({
      redis: redisConnector(config.mirror.redis),
      group: config.ha?.group ?? config.name,
      writerId: `${config.name} ${randomUUID()}`,
      configHash: mirrorConfigHash(config),
      about: JSON.stringify(sharedDocument(config)),
      source: this.source,
      shards: DEFAULT_SHARDS,
      mode: config.mirror.mode,
      expectsStandby: config.ha !== null,
      log,
    });
    const { mode } = config.mirror;
    if (mode !== 'async') new Deferral(controller.gateSessions(clock), mode, false).begin(this.writer);
  }

  /** The engine follows another configuration, as of now. */
  reconfigured(config: ValidatedConfig): void {
    this.source.reconfigured();
    this.writer.reconfigure(mirrorConfigHash(config), JSON.stringify(sharedDocument(config)));
  }

  /** Tells Redis what it does not know yet, unless that takes long. */
  async close(): Promise<void> {
    const late = new Promise((resolve) => setTimeout(resolve, FAREWELL_MS).unref());
    await Promise.race([this.writer.drained().catch(() => undefined), late]);
    this.writer.close();
  }
}
