import { performance } from 'node:perf_hooks';
import { writeApplied } from './applied.js';
import { BatchReader } from './batch.js';
import { BlockMemory } from './block-memory.js';
import { isReady } from './connect.js';
import { judgeEligibility } from './eligibility.js';
import { type GroupKeys, groupKeys } from './keys.js';
import { LogFollower } from './log-follower.js';
import { ReplayShard, type ReplayTally } from './replay-shard.js';
import { ReplicaTable } from './replica-table.js';
import { isOfOtherKind, readOr } from './scripts.js';
import { readFence, readIndex } from './shard-fields.js';
import {
  ClosedError,
  DrainError,
  type Eligibility,
  type MirrorReplay,
  type MirrorReplayOptions,
  type RedisConnection,
  type RememberedBlocks,
  type ReplayCounters,
  type ReplayShardStatus,
  type ShardPosition,
} from './types.js';
import { DEFAULT_SHARDS } from './writer.js';

const HEARTBEAT_MS = 50;
const DEFAULT_PUBLISH_MS = 10;
const DEFAULT_LAG_BATCHES = 64;
/** A report that says nothing new is published all the same: it tells that the standby lives. */
const BEAT_MS = 200;

export function openMirrorReplay(options: MirrorReplayOptions): MirrorReplay {
  return new RedisMirrorReplay(options);
}

class RedisMirrorReplay implements MirrorReplay {
  onEligibility: ((eligibility: Eligibility) => void) | null = null;
  highestEpoch = 0;

  private readonly parts: readonly ReplayShard[];
  private readonly table: ReplicaTable;
  private readonly keys: GroupKeys;
  private readonly tally: ReplayTally = {
    records: 0,
    batches: 0,
    stale: 0,
    duplicates: 0,
    reloads: 0,
    breaks: { gap: 0, corrupt: 0, dataset: 0, format: 0, 'chunk-missing': 0, regressed: 0 },
    refused: 0,
  };
  private readonly blockMemory = new BlockMemory();
  private configHash: string;
  private status: RedisConnection | null = null;
  private loader: RedisConnection | null = null;
  private follower: LogFollower | null = null;
  private readonly timers: NodeJS.Timeout[] = [];
  private closed = false;
  private final = false;
  private heartbeating = false;
  private lastHeardMs = Number.NEGATIVE_INFINITY;
  private beat = 0;
  private published = '';
  private publishedMs = 0;
  private publishing = false;
  private judged: Eligibility = { eligible: false, reasons: [] };
  private readonly waiting = new Set<() => void>();

  constructor(private readonly options: MirrorReplayOptions) {
    const shards = options.shards ?? DEFAULT_SHARDS;
    this.configHash = options.configHash;
    this.keys = groupKeys(options.group);
    this.table = new ReplicaTable(options.sink, shards);
    const reader = new BatchReader(shards);
    this.parts = Array.from(
      { length: shards },
      (_, shard) =>
        new ReplayShard(
          options.group,
          shard,
          shards,
          reader,
          this.table,
          options.sink,
          this.tally,
          () => performance.now(),
          () => this.look(),
        ),
    );
  }

  start(): void {
    if (this.status !== null || this.closed) return;
    const { redis, log } = this.options;
    const onError = (error: Error) => log?.debug({ error: error.message }, 'mirror: connection');
    this.status = redis.connect('status', onError);
    this.loader = redis.connect('snapshot', onError);
    this.follower = new LogFollower(redis, this.parts, this.options.sink, () => this.look(), onError);
    const { nodeId, publishMs } = this.options;
    this.timers.push(setInterval(() => void this.heartbeat(), HEARTBEAT_MS));
    if (nodeId !== null) {
      this.timers.push(setInterval(() => void this.publish(nodeId), publishMs ?? DEFAULT_PUBLISH_MS));
    }
    this.follower.start();
  }

  synced(): Promise<void> {
    return this.until(
      () => this.isHeard && this.parts.every((part) => part.isFollowing && isAt(part.position, part.head)),
      () => null,
    );
  }

  async drain(heads: readonly ShardPosition[]): Promise<void> {
    this.final = true;
    for (const part of this.parts) part.finish(heads[part.shard]);
    const isOver = (part: ReplayShard) => !part.isFollowing || isAt(part.position, heads[part.shard]);
    await this.until(
      () => this.parts.every(isOver),
      () => null,
    );
    this.follower?.stop();
    const broken = this.parts.filter((part) => !part.isFollowing && heads[part.shard].sequence > 0);
    this.look();
    if (broken.length > 0) {
      const causes = Object.entries(this.tally.breaks).filter(([, count]) => count > 0);
      throw new DrainError(
        broken.map(({ shard }) => shard),
        causes.map(([cause]) => cause).join(', ') || broken[0].state,
      );
    }
    this.table.sweep();
  }

  position(): readonly ShardPosition[] {
    return this.parts.map((part) => part.position);
  }

  eligibility(): Eligibility {
    return this.judged;
  }

  shards(): readonly ReplayShardStatus[] {
    return this.parts.map(({ state, position, head, shard }) => ({
      state,
      position,
      head,
      sessions: this.table.sessions[shard],
    }));
  }

  get counters(): ReplayCounters {
    return { ...this.tally, breaks: { ...this.tally.breaks } };
  }

  get blocks(): RememberedBlocks | null {
    return this.blockMemory.last;
  }

  reconfigure(configHash: string): void {
    this.configHash = configHash;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const timer of this.timers) clearInterval(timer);
    for (const part of this.parts) part.close();
    this.follower?.stop();
    this.status?.disconnect();
    this.loader?.disconnect();
    this.look();
  }

  /** Whether Redis has answered lately. */
  private get isHeard(): boolean {
    return performance.now() - this.lastHeardMs < 20 * HEARTBEAT_MS;
  }

  /** Reads every shard's fence and index; loads what is to be loaded. */
  private async heartbeat(): Promise<void> {
    const { status, loader } = this;
    if (status !== null && loader !== null && !this.heartbeating && isReady(status)) {
      this.heartbeating = true;
      try {
        const asked = this.parts.map(({ keys }) =>
          Promise.all([readOr(status.hgetall(keys.fence), {}), readOr(status.hgetall(keys.index), {})]),
        );
        const revision = readOr(status.hget(this.keys.owner, 'blocks'), null);
        const [found, blocks] = await Promise.all([Promise.all(asked), revision]);
        this.lastHeardMs = performance.now();
        for (const part of this.parts) {
          const [fence, index] = found[part.shard];
          const fields = readFence(fence);
          this.highestEpoch = Math.max(this.highestEpoch, fields.epoch);
          const committed = readIndex(index);
          if (part.observe(fields, committed, this.configHash) && committed !== null && !this.closed) {
            void part.load(loader, committed).then(() => this.follower?.wake());
          }
        }
        if (!this.final) await this.blockMemory.see(blocks ?? '', () => readOr(status.hgetall(this.keys.blocks), {}));
        const isWhole = this.parts.every((part) => part.isFollowing && part.dataset === part.fence?.dataset);
        if (isWhole && !this.final) this.table.sweep();
      } catch {
        // The connection: eligibility tells when it stays away.
      } finally {
        this.heartbeating = false;
      }
    }
    this.look();
  }

  private async publish(nodeId: string): Promise<void> {
    const { status } = this;
    if (status === null || this.publishing || this.closed || !isReady(status)) return;
    const positions = this.position();
    const broken = this.parts.flatMap((part) =>
      (part.state === 'unsynced' && part.hasIndex) || part.needsSnapshot ? [part.shard] : [],
    );
    const state = `${positions.map(({ epoch, sequence }) => `${epoch}-${sequence}`)} ${this.judged.eligible} ${broken}`;
    const now = performance.now();
    if (state === this.published && now - this.publishedMs < BEAT_MS) return;
    this.publishing = true;
    try {
      const report = writeApplied({
        beat: ++this.beat,
        config: this.configHash,
        eligible: this.judged.eligible,
        datasets: this.parts.map((part) => part.dataset),
        positions,
        broken,
      });
      await status.hset(this.keys.applied, nodeId, report);
      this.published = state;
      this.publishedMs = now;
    } catch (error) {
      // Published again at the next turn.
      if (isOfOtherKind(error)) await status.del(this.keys.applied).catch(() => undefined);
    } finally {
      this.publishing = false;
    }
  }

  private look(): void {
    const before = this.judged;
    this.judged = judgeEligibility({
      isHeard: this.isHeard,
      configHash: this.configHash,
      parts: this.parts,
      refused: this.table.refused,
      lagBatches: this.options.lagBatches ?? DEFAULT_LAG_BATCHES,
    });
    const codes = (eligibility: Eligibility) => eligibility.reasons.map(({ code }) => code).join();
    if (before.eligible !== this.judged.eligible || codes(before) !== codes(this.judged)) {
      this.options.log?.info(this.judged, 'mirror: eligibility');
      this.onEligibility?.(this.judged);
    }
    for (const look of [...this.waiting]) look();
  }

  private until(isDone: () => boolean, fault: () => Error | null): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const error = fault() ?? (this.closed ? new ClosedError('the mirror is closed') : null);
        if (error === null && !isDone()) return;
        this.waiting.delete(look);
        if (error === null) resolve();
        else reject(error);
      };
      this.waiting.add(look);
      look();
    });
  }
}

/** Whether all of a shard's log is applied. */
function isAt(position: ShardPosition, head: ShardPosition): boolean {
  if (position.epoch !== head.epoch) return head.sequence === 0 || position.epoch > head.epoch;
  return position.sequence >= head.sequence;
}
