import { performance } from 'node:perf_hooks';
import { Appender } from './appender.js';
import { BlockLedger } from './block-ledger.js';
import { faultOf, isReady, onReady } from './connect.js';
import { readEpoch } from './epoch.js';
import { readGroup } from './group-state.js';
import { GROUPS_KEY, type GroupKeys, groupKeys } from './keys.js';
import { type Judgement, judgeProtection } from './protection.js';
import { MOST_RECORDS } from './records.js';
import { FENCE, Reply, readOr, run, type Script, verdictOf } from './scripts.js';
import type { WriterState } from './shard-log.js';
import { type ShardContext, ShardWriter } from './shard-writer.js';
import { StandbyWatch } from './standby-watch.js';
import {
  ClosedError,
  FencedError,
  type ForeignBlock,
  type MirrorLimits,
  type MirrorStatus,
  type MirrorWriter,
  type MirrorWriterOptions,
  type PortBlock,
  type Protection,
  type ProtectionReason,
  type RedisConnection,
  type RememberedBlocks,
  type ShardPosition,
} from './types.js';

export const DEFAULT_SHARDS = 8;
const DEFAULT_LIMITS: MirrorLimits = {
  inFlightBatches: 4,
  inFlightBytes: 16 * 2 ** 20,
  batchRecords: MOST_RECORDS,
  flushMs: 1,
  lagLimitMs: 1000,
  logBytes: 2 ** 20,
};
/** How often protection is judged and Redis asked for the standby's position, ms. */
const WATCH_MS = 50;
const WATCH_DEFER_MS = 2;
const RETRY_MS = 50;

/** @throws RangeError for shards that are no power of two up to 64 */
export function openMirrorWriter(options: MirrorWriterOptions): MirrorWriter {
  return new RedisMirrorWriter(options);
}

class RedisMirrorWriter implements MirrorWriter {
  onFenced: ((by: FencedError) => void) | null = null;
  onProtection: ((protection: Protection, reasons: readonly ProtectionReason[]) => void) | null = null;
  onApplied: ((shard: number, sequence: number) => void) | null = null;

  private readonly state: WriterState & { connection: RedisConnection };
  private readonly watchConnection: RedisConnection;
  /** Whether one server has all keys. */
  private readonly together: boolean;
  private readonly writers: readonly ShardWriter[];
  private readonly standby: StandbyWatch;
  private readonly ledger: BlockLedger;
  private readonly keys: GroupKeys;
  private readonly watchTimer: NodeJS.Timeout;
  private flushTimer: NodeJS.Timeout | null = null;
  private begun = false;
  private fencedBy: FencedError | null = null;
  private closed = false;
  private configHash: string;
  private about: string;
  /** Why the last attempt to connect failed; null: it has not. */
  private connectionFault: string | null = null;
  private watching = false;
  private lastFlush = 0;
  private judgement: Judgement = { protection: 'UNPROTECTED', reasons: [] };
  /** Told again when something happens: promises of seeded() and drained() look anew. */
  private readonly waiting = new Set<() => void>();
  private readonly onFirstDirty = () => this.armFlush();

  constructor(private readonly options: MirrorWriterOptions) {
    const shards = options.shards ?? DEFAULT_SHARDS;
    if (!(shards >= 1 && shards <= 64) || (shards & (shards - 1)) !== 0) throw new RangeError(`${shards} shards`);
    this.keys = groupKeys(options.group);
    this.configHash = options.configHash;
    this.about = options.about;
    const onError = (error: Error) => this.notConnected(error);
    const connection = options.redis.connect('append', onError);
    this.watchConnection = options.redis.connect('status', onError);
    const gathers = (options.mode ?? 'async') === 'async';
    this.together = options.redis.kind !== 'cluster';
    this.state = {
      connection,
      appender: new Appender(connection, this.together, !gathers),
      gathers,
      source: options.source,
      limits: { ...DEFAULT_LIMITS, ...options.limits },
      counters: {
        records: 0,
        batches: 0,
        bytes: 0,
        resent: 0,
        duplicates: 0,
        reseeds: 0,
        snapshots: 0,
        errors: 0,
        cancelled: 0,
      },
      refusal: null,
      inFlightBytes: 0,
      epoch: 0,
      version: 0,
      now: () => performance.now(),
      onAcknowledged: null,
    };
    const context: ShardContext = {
      state: this.state,
      group: options.group,
      shards,
      writerId: options.writerId,
      configHash: () => this.configHash,
      onFenced: (epoch, shard) => this.stepDown(epoch, shard),
      onSeeded: () => this.look(),
      onReseed: (shard, cause) => options.log?.warn({ shard, cause }, 'mirror: filled anew'),
    };
    this.writers = Array.from({ length: shards }, (_, shard) => new ShardWriter(context, shard));
    this.standby = new StandbyWatch(
      options.expectsStandby ?? false,
      this.writers,
      () => this.configHash,
      (shard, sequence) => this.onApplied?.(shard, sequence),
    );
    this.ledger = new BlockLedger({
      epoch: () => this.state.epoch,
      insist: (script, args) =>
        this.insist(script, [this.keys.owner, this.keys.blocks], [this.state.epoch, options.writerId, ...args]),
      read: () => this.readBlocks(),
    });
    onReady(connection, () => {
      this.connectionFault = null;
      for (const writer of this.writers) writer.reconnected();
      this.tellAbout();
      this.flush();
    });
    options.source.dirty.onFirst = this.onFirstDirty;
    const period = options.mode === 'defer-closed' ? WATCH_DEFER_MS : WATCH_MS;
    this.watchTimer = setInterval(() => void this.watch(), period);
    this.watchTimer.unref();
    this.look();
  }

  get onAcknowledged(): MirrorWriter['onAcknowledged'] {
    return this.state.onAcknowledged;
  }

  set onAcknowledged(then: MirrorWriter['onAcknowledged']) {
    this.state.onAcknowledged = then;
  }

  get protection(): Protection {
    return this.judgement.protection;
  }

  get epoch(): number {
    return this.state.epoch;
  }

  async fence(epoch: number): Promise<readonly ShardPosition[]> {
    this.requireOpen();
    this.state.epoch = epoch;
    await this.insist(FENCE, [this.keys.owner], [epoch, this.options.writerId]);
    const positions = await Promise.all(this.writers.map((writer) => writer.fence(epoch)));
    this.requireOpen();
    return positions.map((position) => position ?? { epoch: 0, sequence: 0 });
  }

  async begin(epoch: number | null): Promise<number> {
    await this.fence(epoch ?? (await this.highestEpoch()) + 1);
    await Promise.all(this.writers.map((writer) => writer.begin()));
    this.requireOpen();
    this.begun = true;
    this.tellAbout();
    this.options.log?.info({ epoch: this.state.epoch, redis: this.options.redis.name }, 'mirror: epoch begun');
    this.look();
    return this.state.epoch;
  }

  seeded(): Promise<void> {
    return this.until(() => this.begun && this.writers.every((writer) => writer.seeded));
  }

  async drained(): Promise<readonly ShardPosition[]> {
    const { dirty } = this.state.source;
    const heads: (number | null)[] = this.writers.map(() => null);
    await this.until(() => {
      this.flush();
      for (const { shard, local } of this.writers) if (dirty.countOf(shard) === 0) heads[shard] ??= local;
      return this.writers.every(({ shard, acknowledged }) => {
        const head = heads[shard];
        return head !== null && acknowledged.sequence >= head;
      });
    });
    return this.writers.map(({ acknowledged }) => acknowledged);
  }

  reconfigure(configHash: string, about: string): void {
    this.configHash = configHash;
    this.about = about;
    if (!this.begun || this.fencedBy !== null || this.closed) return;
    for (const writer of this.writers) void writer.begin();
    this.tellAbout();
  }

  flush(): void {
    const { dirty } = this.state.source;
    if (dirty.count === 0 && this.state.inFlightBytes === 0) return;
    if (this.closed || this.fencedBy !== null || !isReady(this.state.connection)) return;
    const now = this.state.now();
    // Between two flushes changes gather, so that a batch carries more than one; a full one need not wait.
    const waits = now - this.lastFlush < this.state.limits.flushMs;
    if (waits && dirty.count < this.state.limits.batchRecords * this.writers.length) return this.armFlush();
    this.lastFlush = now;
    for (const writer of this.writers) writer.pump(now);
    if (dirty.count > 0) this.armFlush();
  }

  reserveBlocks(blocks: readonly PortBlock[]): Promise<number | null> {
    return this.ledger.reserve(blocks);
  }

  releaseBlocks(blocks: readonly PortBlock[]): Promise<void> {
    return this.ledger.release(blocks);
  }

  takeBlocks(blocks: readonly PortBlock[]): Promise<void> {
    return this.ledger.take(blocks);
  }

  foreignBlocks(remembered: RememberedBlocks | null): Promise<readonly ForeignBlock[]> {
    return this.ledger.foreign(remembered);
  }

  status(): MirrorStatus {
    const now = this.state.now();
    const shards = this.writers.map((writer) => writer.status(now, this.standby.appliedOf(writer)));
    const isSeeded = this.writers.every((writer) => writer.seeded);
    return {
      ...this.judgement,
      epoch: this.state.epoch,
      shards,
      dirty: this.state.source.dirty.count,
      inFlightBytes: this.state.inFlightBytes,
      lagMs: Math.max(...shards.map(({ lagMs }) => lagMs)),
      snapshotAgeMs: isSeeded ? now - Math.min(...this.writers.map(({ committedAtMs }) => committedAtMs)) : null,
      snapshotRecords: this.writers.reduce((sum, { snapshotRecords }) => sum + snapshotRecords, 0),
      counters: { ...this.state.counters },
    };
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    clearInterval(this.watchTimer);
    if (this.flushTimer !== null) clearTimeout(this.flushTimer);
    const { dirty } = this.options.source;
    if (dirty.onFirst === this.onFirstDirty) dirty.onFirst = null;
    for (const writer of this.writers) writer.end();
    this.state.connection.disconnect();
    this.watchConnection.disconnect();
    this.look();
  }

  private notConnected(error: Error): void {
    const why = faultOf(error);
    const isNew = why !== this.connectionFault;
    this.connectionFault = why;
    this.options.log?.[isNew ? 'warn' : 'debug']({ error: why }, 'mirror: connection');
  }

  private armFlush(): void {
    if (this.flushTimer !== null || this.closed) return;
    this.flushTimer = setTimeout(() => {
      this.flushTimer = null;
      this.flush();
    }, this.state.limits.flushMs);
  }

  private stepDown(higherEpoch: number, shard: number): void {
    if (this.fencedBy !== null || this.closed) return;
    const error = new FencedError(this.state.epoch, higherEpoch, shard);
    this.fencedBy = error;
    for (const writer of this.writers) writer.end();
    this.options.log?.error({ epoch: this.state.epoch, higherEpoch }, 'mirror: fenced');
    this.onFenced?.(error);
    this.look();
  }

  /** Names the group and its configuration for readers that have nothing but the URL. */
  private tellAbout(): void {
    if (!this.begun || this.fencedBy !== null) return;
    const { connection } = this.state;
    const quiet = (written: Promise<unknown>) => written.catch(() => this.state.counters.errors++);
    quiet(connection.sadd(GROUPS_KEY, this.options.group));
    quiet(
      connection.hset(this.keys.about, 'config', this.about, 'hash', this.configHash, 'shards', this.writers.length),
    );
  }

  private async highestEpoch(): Promise<number> {
    for (;;) {
      this.requireOpen();
      try {
        const { connection } = this.state;
        const keys = [this.keys.owner, ...this.writers.map((writer) => writer.keys.fence)];
        const found = await Promise.all(keys.map((key) => readOr(connection.hget(key, 'epoch'), null)));
        return Math.max(...found.map(readEpoch));
      } catch {
        this.state.counters.errors++;
        await pause();
      }
    }
  }

  /** Runs a fenced script of the group's own keys until there is an answer. @throws FencedError, ClosedError */
  private async insist(script: Script, keys: readonly string[], args: readonly (string | number)[]) {
    for (;;) {
      this.requireOpen();
      try {
        const reply = await run(this.state.connection, script, keys, args);
        if (verdictOf(reply) === Reply.fenced) this.stepDown(Number(reply[1]), 0);
        this.requireOpen();
        return reply;
      } catch (error) {
        if (error instanceof FencedError || error instanceof ClosedError) throw error;
        this.state.counters.errors++;
        await pause();
      }
    }
  }

  /** Reads until there is an answer. @throws ClosedError, FencedError */
  private async readBlocks(): Promise<{ revision: string; blocks: Readonly<Record<string, string>> }> {
    for (;;) {
      this.requireOpen();
      try {
        const { connection } = this.state;
        const [revision, blocks] = await Promise.all([
          readOr(connection.hget(this.keys.owner, 'blocks'), null),
          readOr<Record<string, string>>(connection.hgetall(this.keys.blocks), {}),
        ]);
        return { revision: revision ?? '', blocks };
      } catch {
        this.state.counters.errors++;
        await pause();
      }
    }
  }

  private requireOpen(): void {
    if (this.fencedBy !== null) throw this.fencedBy;
    if (this.closed) throw new ClosedError('the mirror is closed');
  }

  private until(isDone: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const fault = this.fencedBy ?? (this.closed ? new ClosedError('the mirror is closed') : null);
        if (fault === null && !isDone()) return;
        this.waiting.delete(look);
        clearInterval(timer);
        if (fault === null) resolve();
        else reject(fault);
      };
      const timer = setInterval(look, 1);
      this.waiting.add(look);
      look();
    });
  }

  /** Asks Redis who owns the shards, whether they are whole, and where the standby is. */
  private async watch(): Promise<void> {
    if (!this.watching && !this.closed && isReady(this.watchConnection)) {
      this.watching = true;
      try {
        await this.ask();
      } catch {
        this.state.counters.errors++;
      } finally {
        this.watching = false;
      }
    }
    this.look();
  }

  private async ask(): Promise<void> {
    const expected = this.writers.map((writer) => writer.expectation());
    const expectedBlocks = this.ledger.expectation();
    const shardKeys = this.writers.map(({ keys }) => keys);
    const { applied, blocks, shards } = await readGroup(this.watchConnection, this.together, this.keys, shardKeys);
    if (this.closed || this.fencedBy !== null) return;
    this.standby.update(applied, this.state.now());
    this.ledger.compare(expectedBlocks, blocks).catch(() => undefined); // Fenced or closed: told elsewhere.
    if (!this.begun) return;
    for (const writer of this.writers) {
      writer.judge(expected[writer.shard], shards[writer.shard]);
      if (this.standby.isBroken(writer)) writer.renewSnapshot();
    }
  }

  /** Judges protection anew, and tells whoever waits for something. */
  private look(): void {
    const now = this.state.now();
    const { limits } = this.state;
    const before = this.judgement;
    this.judgement = judgeProtection({
      epoch: this.state.epoch,
      begun: this.begun,
      fencedBy: this.fencedBy?.higherEpoch ?? null,
      connected: !this.closed && isReady(this.state.connection),
      connectionFault: this.connectionFault,
      refusal: this.state.refusal,
      shards: this.writers.map((writer) => writer.status(now, null)),
      atCapacity: this.state.inFlightBytes + limits.batchRecords * 64 > limits.inFlightBytes,
      lagLimitMs: limits.lagLimitMs,
      standby: this.standby.facts(now, limits.lagLimitMs),
    });
    const { protection, reasons } = this.judgement;
    if (before.protection !== protection || codesOf(before.reasons) !== codesOf(reasons)) {
      this.options.log?.info({ protection, reasons }, 'mirror: protection');
      this.onProtection?.(protection, reasons);
    }
    for (const look of [...this.waiting]) look();
    this.flush();
  }
}

function codesOf(reasons: readonly ProtectionReason[]): string {
  return reasons.map(({ code }) => code).join();
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, RETRY_MS));
}
