import { validateConfig } from '../config/load.js';
import type { ValidatedConfig } from '../config/types.js';
import { type FlowEntry, flowIdentity } from '../controller/flow-dump.js';
import { NativeRows, sessionDeadline } from '../nat/session-timers.js';
import { Topology } from '../nat/topology.js';
import { SessionClass, SessionRow } from '../native/records.js';
import { R, RECORD_WORDS } from './batch.js';
import { type ConfigRanks, configRanks } from './config-ranks.js';
import { isReady } from './connect.js';
import { GROUPS_KEY, groupKeys } from './keys.js';
import { emptyAdopted, readSession } from './record-reader.js';
import { MirrorBatch } from './records.js';
import { openMirrorReplay } from './replay.js';
import type { MirrorReplay, RedisConnection, RedisConnector, ReplicaSink } from './types.js';

const PATIENCE_MS = 3000;
/** Rows that a mirror is read for at most: 2^28, as the configuration allows. */
const MOST_SESSIONS = 2 ** 24;

/** What keeps a mirror from being shown. */
export class MirrorFault extends Error {
  override readonly name = 'MirrorFault';
  readonly code = 'MIRROR';
  constructor(
    message: string,
    readonly hint = '',
  ) {
    super(message);
  }
}

/** Keeps each session's last record, with when it was written. */
class RecordStore implements ReplicaSink {
  readonly mostExpected = 256;
  readonly capacity = MOST_SESSIONS;
  readonly hasRoom = true;
  readonly records = new Map<number, Int32Array>();
  private readonly free: number[] = [];
  private next = 0;

  get count(): number {
    return this.records.size;
  }

  rows(): Iterable<number> {
    return this.records.keys();
  }

  expect(): void {}

  adopt(words: Int32Array, at: number): number {
    const row = this.free.pop() ?? this.next++;
    this.keep(row, words, at);
    return row;
  }

  refresh(row: number, words: Int32Array, at: number): boolean {
    this.keep(row, words, at);
    return true;
  }

  end(row: number): void {
    this.records.delete(row);
    this.free.push(row);
  }

  /** A reader starts empty: nothing is to be found again, and nothing stands in the way. */
  find(): number {
    return -1;
  }

  conflict(): number {
    return -1;
  }

  private keep(row: number, words: Int32Array, at: number): void {
    const kept = new Int32Array(RECORD_WORDS + 1);
    kept.set(words.subarray(at, at + RECORD_WORDS));
    kept[RECORD_WORDS] = words[MirrorBatch.writtenSeconds / 4];
    this.records.set(row, kept);
  }
}

/**
 * Sessions as the mirror alone has them, whatever became of the gateway that wrote them. Paths, packets and bytes are
 * its NIC's and not mirrored.
 */
export class MirrorFlows {
  private readonly ranks: ConfigRanks;
  private readonly topology: Topology;
  private readonly session = emptyAdopted();
  private readonly times = new Uint32Array(SessionRow.size / 4);
  private readonly rows = new NativeRows(this.times.buffer);

  private constructor(
    private readonly config: ValidatedConfig,
    private readonly store: RecordStore,
    private readonly replay: MirrorReplay,
  ) {
    this.topology = new Topology(config);
    this.ranks = configRanks(config);
  }

  /** @param group Null: the only one there is. @throws MirrorFault */
  static async open(redis: RedisConnector, group: string | null): Promise<MirrorFlows> {
    const connection = redis.connect('status');
    try {
      await ready(connection, redis.name);
      const name = group ?? (await onlyGroup(connection, redis.name));
      const about = await connection.hgetall(groupKeys(name).about);
      if (about.config === undefined) throw new MirrorFault(`${redis.name} holds no mirror of group "${name}"`);
      const config = validateConfig(JSON.parse(about.config), null);
      if (!config.ok) throw new MirrorFault(`the configuration of group "${name}" is not one of this version`);
      const store = new RecordStore();
      const replay = openMirrorReplay({
        redis,
        group: name,
        nodeId: null,
        configHash: about.hash,
        sink: store,
        shards: Number(about.shards),
      });
      replay.start();
      const flows = new MirrorFlows(config.config, store, replay);
      await flows.loaded();
      return flows;
    } finally {
      connection.disconnect();
    }
  }

  close(): void {
    this.replay.close();
  }

  /** As the gateway's own dump, in the order in which the mirror was read. */
  entries(): FlowEntry[] {
    const flows: FlowEntry[] = [];
    const now = Date.now();
    for (const record of this.store.records.values()) {
      const entry = this.entry(record, now);
      if (entry !== null) flows.push(entry);
    }
    return flows;
  }

  private async loaded(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), PATIENCE_MS);
    });
    const done = await Promise.race([this.replay.synced().then(() => true), late]);
    clearTimeout(timer);
    if (done) return;
    const [first] = this.replay.eligibility().reasons;
    this.close();
    throw new MirrorFault(`the mirror cannot be read: ${first?.detail ?? 'it is being written anew'}`);
  }

  private entry(record: Int32Array, nowMs: number): FlowEntry | null {
    const { session, times, topology } = this;
    const writtenSeconds = record[RECORD_WORDS] >>> 0;
    if (!readSession(record, 0, this.ranks, topology, writtenSeconds, session)) return null;
    const { facts, tcpState } = session;
    const { createdSeconds, lastForwardSeconds, lastReverseSeconds, stateSinceSeconds } = session.times;
    times[SessionRow.createdSeconds / 4] = createdSeconds;
    times[SessionRow.lastForwardSeconds / 4] = lastForwardSeconds;
    times[SessionRow.lastReverseSeconds / 4] = lastReverseSeconds;
    times[SessionRow.stateSinceSeconds / 4] = stateSinceSeconds;
    this.rows.bytes[SessionRow.tcpState] = tcpState;
    const outboundIsForward = facts.sessionClass !== SessionClass.externalToVpc || facts.insideInitiated;
    const { timeouts } = this.config.nat;
    const deadline = sessionDeadline(this.rows, 0, facts.protocol, outboundIsForward, timeouts);
    const unknown = { path: 'pending', reason: 'mirrored', packets: 0, bytes: 0 } as const;
    return {
      id: `${record[R.row] >>> 0}.${record[R.generation] >>> 0}`,
      ...flowIdentity(facts, tcpState, topology),
      forward: unknown,
      reverse: unknown,
      ageMs: Math.max(0, nowMs - createdSeconds * 1000),
      idleMs: Math.max(0, nowMs - Math.max(lastForwardSeconds, lastReverseSeconds) * 1000),
      expiresInMs: Math.max(0, deadline * 1000 - nowMs),
    };
  }
}

async function ready(connection: RedisConnection, name: string): Promise<void> {
  const end = Date.now() + PATIENCE_MS;
  while (!isReady(connection)) {
    if (Date.now() > end) throw new MirrorFault(`no Redis answers at ${name}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function onlyGroup(connection: RedisConnection, name: string): Promise<string> {
  const groups = await connection.smembers(GROUPS_KEY);
  if (groups.length === 1) return groups[0];
  if (groups.length === 0) throw new MirrorFault(`${name} holds no mirror`);
  throw new MirrorFault(`${name} holds several mirrors: ${groups.sort().join(', ')}`, 'name one with --group');
}
