import type { Logger } from 'pino';
import {
  DrainError,
  type FencedError,
  type MirrorReplay,
  type MirrorWriter,
  type RememberedBlocks,
  type ShardPosition,
} from '../mirror/types.js';
import { monotonicMs } from './clock.js';
import type { PortBlockCounts, PortReserve } from './port-reserve.js';

/** Makes the two sides of the mirror, each for one turn of a role. */
export interface MirrorSides {
  writer(): MirrorWriter;
  /** From now on sessions are as the mirror says, and the NAT engine decides nothing. */
  replay(): MirrorReplay;
  /** From now on the NAT engine decides. */
  decide(): void;
  readonly ports: PortReserve;
}

/** The sessions of a pair here: followed while standing by, written while active. */
export class PairSessions {
  private following: MirrorReplay | null = null;
  private writing: MirrorWriter;
  /** Port blocks as they were known here at the takeover, and the epoch all of whose sessions are. */
  private inherited: { readonly blocks: RememberedBlocks | null; readonly complete: number } = {
    blocks: null,
    complete: 0,
  };
  /** Another gateway owns the mirror: the lease is not worth anything any more. */
  onFenced: ((error: FencedError) => void) | null = null;
  onChange: (() => void) | null = null;

  constructor(
    private readonly sides: MirrorSides,
    private readonly log: Logger,
  ) {
    this.writing = this.newWriter();
  }

  /** While standing by; null while active. */
  get replay(): MirrorReplay | null {
    return this.following;
  }

  get writer(): MirrorWriter {
    return this.writing;
  }

  get portBlocks(): PortBlockCounts {
    return this.sides.ports.counts();
  }

  /** Follows the active gateway. */
  follow(): void {
    this.following?.close();
    this.sides.ports.standBy();
    this.following = this.sides.replay();
    this.following.onEligibility = () => this.onChange?.();
    this.following.start();
  }

  /**
   * Makes the mirror this gateway's in an epoch, and applies what is left of the last one.
   *
   * @param isHandedOver The mirror has all of the last one's sessions.
   * @returns Shards whose last moments could not be applied. @throws FencedError
   */
  async takeOver(epoch: number, isHandedOver: boolean): Promise<readonly number[]> {
    const beganMs = monotonicMs();
    const heads: readonly ShardPosition[] = await this.writing.fence(epoch);
    this.log.debug({ fencedMs: monotonicMs() - beganMs }, 'the mirror is fenced');
    const replay = this.following;
    if (replay === null) throw new Error('a gateway takes over from standing by');
    const complete = isHandedOver ? Math.max(...heads.map((head) => head.epoch)) : 0;
    this.inherited = { blocks: replay.blocks, complete };
    try {
      return await this.drain(replay, heads);
    } finally {
      replay.close();
      this.following = null;
      this.sides.decide();
    }
  }

  /**
   * After takeOver(): from then on new sessions have ports. Those that there are need not wait for it.
   *
   * @param endedMs When an earlier epoch ended at the latest. @throws FencedError
   */
  async reservePorts(endedMs: (epoch: number) => number): Promise<void> {
    const { blocks, complete } = this.inherited;
    await this.sides.ports.begin(this.writing, blocks, complete, endedMs);
  }

  private async drain(replay: MirrorReplay, heads: readonly ShardPosition[]): Promise<readonly number[]> {
    try {
      await replay.drain(heads);
      return [];
    } catch (error) {
      if (!(error instanceof DrainError)) throw error;
      this.log.warn({ shards: error.shards, cause: error.message }, 'the mirror could not be applied to its end');
      return error.shards;
    }
  }

  /** From now on sessions are written. @throws FencedError */
  async lead(epoch: number): Promise<void> {
    await this.writing.begin(epoch);
  }

  /** Stops writing and follows again. */
  stepDown(): void {
    this.sides.ports.end();
    this.writing.close();
    this.writing = this.newWriter();
    this.follow();
  }

  close(): void {
    this.sides.ports.end();
    this.following?.close();
    this.writing.close();
  }

  private newWriter(): MirrorWriter {
    const writer = this.sides.writer();
    writer.onFenced = (error) => this.onFenced?.(error);
    writer.onProtection = () => this.onChange?.();
    return writer;
  }
}
