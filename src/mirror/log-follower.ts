import { isReady } from './connect.js';
import type { ReplayShard } from './replay-shard.js';
import { isOfOtherKind } from './scripts.js';
import type { RedisConnection, RedisConnector, ReplicaSink, ShardPosition } from './types.js';

/** Entries of a shard asked for at once: 512 KiB at most. */
const ENTRIES = 32;
/** A read that finds nothing waits so long in the server: finite, for one that waits for ever may never settle. */
const BLOCK_MS = 100;
/** Where reads cannot wait in the server. */
const POLL_MS = 2;
const PAUSE_MS = 20;

type Entry = readonly [Buffer, readonly Buffer[]];
type Stream = readonly [Buffer, readonly Entry[]];

/**
 * Reads the logs of all shards that follow, on a connection of its own. One server: one blocking read over all logs, so
 * that an entry is here within a round trip. Cluster: each log on its own server, asked for in turn without blocking,
 * since a read that blocks would hold up the others on the same connection.
 */
export class LogFollower {
  private connection: RedisConnection | null = null;
  private running = false;
  private wakeUp: (() => void) | null = null;

  constructor(
    private readonly redis: RedisConnector,
    private readonly parts: readonly ReplayShard[],
    private readonly sink: ReplicaSink,
    private readonly onProgress: () => void,
    private readonly onError: (error: Error) => void,
  ) {}

  start(): void {
    this.running = true;
    this.connection = this.redis.connect('read', this.onError);
    void this.follow(this.connection);
  }

  /** A shard has begun to follow. */
  wake(): void {
    this.wakeUp?.();
  }

  stop(): void {
    this.running = false;
    this.connection?.disconnect();
    this.wake();
  }

  private async follow(connection: RedisConnection): Promise<void> {
    const read = this.redis.kind === 'cluster' ? this.readEach : this.readAll;
    while (this.running) {
      const following = this.parts.filter((part) => part.isFollowing);
      if (following.length === 0 || !isReady(connection)) {
        await this.pause(PAUSE_MS);
        continue;
      }
      try {
        const applied = await read.call(this, connection, following);
        if (applied > 0) this.onProgress();
        else if (this.redis.kind === 'cluster') await this.pause(POLL_MS);
      } catch (error) {
        if (!this.running) return;
        this.onError(error as Error);
        // One log is none: the others are read all the same.
        if (isOfOtherKind(error)) await this.readEach(connection, following);
        await this.pause(PAUSE_MS);
      }
    }
  }

  private async readAll(connection: RedisConnection, following: readonly ReplayShard[]): Promise<number> {
    const keys = following.map((part) => part.keys.log);
    const ids = following.map((part) => part.readFrom);
    const heads = following.map((part) => part.head);
    const reply = (await connection.callBuffer(
      'XREAD',
      'COUNT',
      ENTRIES,
      'BLOCK',
      BLOCK_MS,
      'STREAMS',
      ...keys,
      ...ids,
    )) as readonly Stream[] | null;
    const entriesOf = new Map((reply ?? []).map(([key, entries]) => [key.toString(), entries]));
    let applied = 0;
    for (const [i, part] of following.entries()) {
      applied += await this.takeAll(part, entriesOf.get(keys[i]) ?? [], heads[i]);
    }
    return applied;
  }

  private async readEach(connection: RedisConnection, following: readonly ReplayShard[]): Promise<number> {
    const counts = await Promise.all(
      following.map(async (part) => {
        try {
          const from = part.readFrom;
          const { head } = part;
          const reply = (await connection.callBuffer('XREAD', 'COUNT', ENTRIES, 'STREAMS', part.keys.log, from)) as
            | readonly Stream[]
            | null;
          return await this.takeAll(part, reply?.[0]?.[1] ?? [], head);
        } catch (error) {
          // One server of the cluster; the others' shards go on.
          this.onError(error as Error);
          if (isOfOtherKind(error)) part.break('corrupt');
          return 0;
        }
      }),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** @param head Of the part's log, as it was known before it was read. */
  private async takeAll(part: ReplayShard, entries: readonly Entry[], head: ShardPosition): Promise<number> {
    if (entries.length === 0) part.readNothing(head);
    let taken = 0;
    for (const [id, fields] of entries) {
      while (!this.sink.hasRoom && this.running) await this.pause(1);
      if (!this.running || !part.isFollowing || !part.take(id.toString(), fields[1])) break;
      taken++;
    }
    return taken;
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wakeUp = () => {
        clearTimeout(timer);
        this.wakeUp = null;
        resolve();
      };
    });
  }
}
