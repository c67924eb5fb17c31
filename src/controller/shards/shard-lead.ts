import type { ValidatedConfig } from '../../config/types.js';
import type { ReviewReport } from '../../nat/session-review.js';
import type { LeftOver, ShardChange, ShardHoldings } from '../../nat/shards/following.js';
import type { Steering } from '../../native/binding.js';
import type { ShardThread } from './shard-thread.js';
import type { SharedConfig } from './shared-config.js';

/**
 * Leads the engines of a gateway from one configuration to another. It is in force when all have it: from `stand-still` to
 * `go-on` none decides anything, and packets that nobody knows wait where they are.
 */
export class ShardLead {
  /** One change, or look at what is left of earlier ones, after the other. */
  private last: Promise<unknown> = Promise.resolve();

  /** @param steer Has packets looked up elsewhere from now on. */
  constructor(
    private readonly threads: readonly ShardThread[],
    private readonly shared: SharedConfig,
    private readonly steer: (steering: Steering) => void,
  ) {}

  /** @returns What became of the sessions; null when the gateway ended meanwhile. @throws RangeError, and the old configuration stays */
  reconfigure(config: ValidatedConfig): Promise<ReviewReport | null> {
    return this.inTurn(() => this.change(config));
  }

  /** Packets of sessions that have ended meanwhile need no second look any more. */
  lookAtLeftOver(): Promise<void> {
    const { leftOver } = this.shared;
    if (leftOver.addresses.length + leftOver.peering.length === 0) return Promise.resolve();
    return this.inTurn(async () => {
      const before = JSON.stringify(this.shared.leftOver);
      const left = this.shared.keep(await this.all((thread) => thread.lead<LeftOver>({ step: 'left-over' })));
      if (JSON.stringify(left) === before) return;
      this.steer(this.shared.steering);
      await this.all((thread) => thread.lead<null>({ step: 'know', leftOver: left }));
    });
  }

  private async change(config: ValidatedConfig): Promise<ReviewReport | null> {
    const holdings = await this.all((thread) => thread.lead<ShardHoldings>({ step: 'stand-still' }));
    let changes: readonly ShardChange[];
    try {
      changes = this.shared.change(config, holdings);
    } catch (error) {
      await this.all((thread) => thread.lead({ step: 'go-on', leftOver: null }));
      throw error;
    }
    const left = await this.all((thread, shard) => thread.lead<LeftOver>({ step: 'follow', change: changes[shard] }));
    const leftOver = this.shared.keep(left);
    this.steer(this.shared.steering);
    const reports = await this.all((thread) => thread.lead<ReviewReport | null>({ step: 'go-on', leftOver }));
    return reports.reduce((sum, one) => {
      if (sum === null || one === null) return null;
      return { kept: sum.kept + one.kept, updated: sum.updated + one.updated, ended: sum.ended + one.ended };
    });
  }

  private all<T>(what: (thread: ShardThread, shard: number) => Promise<T>): Promise<T[]> {
    return Promise.all(this.threads.map(what));
  }

  private inTurn<T>(what: () => Promise<T>): Promise<T> {
    const done = this.last.then(what);
    this.last = done.catch(() => undefined);
    return done;
  }
}
