import { randomInt } from 'node:crypto';
import type { ValidatedConfig } from '../../config/types.js';
import { alignConfig } from '../../nat/alignment.js';
import type { BlockDealer } from '../../nat/shards/block-dealer.js';
import {
  type LeftOver,
  mergeLeftOvers,
  NOTHING_LEFT,
  type ShardChange,
  type ShardHoldings,
} from '../../nat/shards/following.js';
import { type LimitsMemory, nextLimits } from '../../nat/shards/shared-limits.js';
import { steeringOf } from '../../nat/shards/steering.js';
import type { Steering } from '../../native/binding.js';

/** The configuration that the engines of a gateway have together, and what lives of older ones. Whoever asks them leads them. */
export class SharedConfig {
  private left: LeftOver = NOTHING_LEFT;

  /** @param config VPCs and peer gateways that left it stand in it as retired ones. */
  constructor(
    private current: ValidatedConfig,
    private limits: LimitsMemory,
    private readonly dealer: BlockDealer,
  ) {}

  get config(): ValidatedConfig {
    return this.current;
  }

  get leftOver(): LeftOver {
    return this.left;
  }

  /**
   * All engines stand still and have said what they have.
   *
   * @returns By shard, what it is to follow. @throws RangeError, and nothing has changed
   */
  change(next: ValidatedConfig, holdings: readonly ShardHoldings[]): ShardChange[] {
    const vpcs = new Set(holdings.flatMap((one) => one.vpcs));
    const peers = new Set(holdings.flatMap((one) => one.peers));
    const before = this.current.vpcs;
    const config = alignConfig(
      this.current,
      next,
      (vpc) => !vpcs.has(vpc),
      (peer) => !peers.has(peer),
    );
    const dealt = this.dealer.follow(
      config,
      holdings.map(({ ports }) => ports),
    );
    this.limits = nextLimits(this.limits, before, config.vpcs, config.nat.maxSessions, randomInt(2 ** 32));
    this.current = config;
    return dealt.map((own) => ({ config, limits: this.limits, dealt: own }));
  }

  /** Engines have said what their sessions have that the configuration looks up elsewhere. @returns All of it. */
  keep(all: readonly LeftOver[]): LeftOver {
    this.left = mergeLeftOvers(all);
    this.dealer.keepOnly(this.left.addresses);
    return this.left;
  }

  /** Where packets are looked up, while that is so. */
  get steering(): Steering {
    return steeringOf(this.current, this.left);
  }
}
