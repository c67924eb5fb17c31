import { readValidated, validateConfig } from '../config/load.js';
import type { ValidatedConfig } from '../config/types.js';
import { type FlowEntry, flowIdentity } from '../controller/flow-dump.js';
import { NativeRows, sessionDeadline } from '../nat/session-timers.js';
import { Topology } from '../nat/topology.js';
import { SessionClass, SessionRow } from '../native/records.js';
import { BatchReader, R } from './batch.js';
import { type ConfigRanks, configRanks, mirrorConfigHash } from './config-ranks.js';
import { faultOf, onReady } from './connect.js';
import { GROUPS_KEY, groupKeys } from './keys.js';
import { MirrorFault } from './mirror-fault.js';
import { emptyAdopted, readSession } from './record-reader.js';
import { ShardWalk } from './shard-walk.js';
import type { RedisConnection, RedisConnector } from './types.js';

const NOT_THIS_USER = /^(?:NOAUTH|WRONGPASS|NOPERM|ERR.* AUTH)/;
/** What a writer may have; see openMirrorWriter. */
const MOST_SHARDS = 64;
/** For a Redis that is just restarting; longer than an attempt to connect takes, so that its reason is heard. */
const PATIENCE_MS = 1200;

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
    private readonly connection: RedisConnection,
    private readonly group: string,
    private readonly about: { readonly hash: string; readonly shards: number },
  ) {
    this.topology = new Topology(config);
    this.ranks = configRanks(config);
  }

  /** @param group Null: the only one there is. @throws MirrorFault */
  static async open(redis: RedisConnector, group: string | null): Promise<MirrorFlows> {
    const connection = redis.connect('snapshot');
    try {
      await ready(connection, redis.name);
      const name = group ?? (await onlyGroup(connection, redis.name));
      const about = await connection.hgetall(groupKeys(name).about);
      if (about.config === undefined) throw new MirrorFault(`${redis.name} holds no mirror of group "${name}"`);
      const config = configOf(about.config, about.hash);
      const shards = Number(about.shards);
      if (config === null || !(Number.isInteger(shards) && shards >= 1 && shards <= MOST_SHARDS)) {
        throw new MirrorFault(
          `the configuration of group "${name}" is not one of this version`,
          'is another one writing?',
        );
      }
      return new MirrorFlows(config, connection, name, { hash: about.hash, shards });
    } catch (error) {
      connection.disconnect();
      throw refusedBy(redis.name, error);
    }
  }

  close(): void {
    this.connection.disconnect();
  }

  /**
   * As the gateway's own dump, shard by shard, some at a time: what is held is a slice, and of one shard which rows
   * were met.
   *
   * @throws MirrorFault
   */
  async *slices(): AsyncGenerator<readonly FlowEntry[]> {
    const { hash, shards } = this.about;
    const reader = new BatchReader(shards);
    for (let shard = 0; shard < shards; shard++) {
      const walk = new ShardWalk(this.connection, this.group, shard, shards, hash, reader);
      for await (const { words, at, writtenSeconds } of walk.slices()) {
        const nowMs = Date.now();
        const flows: FlowEntry[] = [];
        for (const word of at) {
          const entry = this.entry(words, word, writtenSeconds, nowMs);
          if (entry !== null) flows.push(entry);
        }
        yield flows;
      }
    }
  }

  private entry(words: Int32Array, at: number, writtenSeconds: number, nowMs: number): FlowEntry | null {
    const { session, times, topology } = this;
    if (!readSession(words, at, this.ranks, topology, writtenSeconds, session)) return null;
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
      id: `${words[at + R.row] >>> 0}.${words[at + R.generation] >>> 0}`,
      ...flowIdentity(facts, tcpState, topology),
      forward: unknown,
      reverse: unknown,
      ageMs: Math.max(0, nowMs - createdSeconds * 1000),
      idleMs: Math.max(0, nowMs - Math.max(lastForwardSeconds, lastReverseSeconds) * 1000),
      expiresInMs: Math.max(0, deadline * 1000 - nowMs),
    };
  }
}

/** What the writer's hash says is what it wrote has been validated by it. */
function configOf(text: string, hash: string): ValidatedConfig | null {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return null;
  }
  const config = readValidated(document);
  if (config !== null && mirrorConfigHash(config) === hash) return config;
  const result = validateConfig(document, null);
  return result.ok ? result.config : null;
}

/** @throws MirrorFault at once where Redis does not know the user, and after a while where nobody answers */
function ready(connection: RedisConnection, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let why = '';
    const fault = () => {
      reject(new MirrorFault(`no Redis answers at ${name}${why}`, 'mirror.redis of the gateway names it'));
    };
    const patience = setTimeout(fault, PATIENCE_MS);
    connection.on('error', (error: Error) => {
      why = `: ${faultOf(error)}`;
      if (!NOT_THIS_USER.test(error.message)) return;
      clearTimeout(patience);
      reject(refusedBy(name, error));
    });
    onReady(connection, () => {
      clearTimeout(patience);
      resolve();
    });
  });
}

/** What Redis says no with (WRONGTYPE, NOAUTH, …) is the answer; whatever else went wrong stays as it is. */
function refusedBy(name: string, error: unknown): unknown {
  if (!(error instanceof Error) || error.name !== 'ReplyError') return error;
  const hint = NOT_THIS_USER.test(error.message)
    ? 'redis://USER:PASSWORD@HOST:PORT'
    : 'somebody else may have written there';
  return new MirrorFault(`${name} answers: ${error.message}`, hint);
}

async function onlyGroup(connection: RedisConnection, name: string): Promise<string> {
  const groups = await connection.smembers(GROUPS_KEY);
  if (groups.length === 1) return groups[0];
  if (groups.length === 0) throw new MirrorFault(`${name} holds no mirror`);
  throw new MirrorFault(`${name} holds several mirrors: ${groups.sort().join(', ')}`, 'name one with --group');
}
