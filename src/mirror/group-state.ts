import { readEpoch } from './epoch.js';
import type { GroupKeys, ShardKeys } from './keys.js';
import { run, script } from './scripts.js';
import { INDEX_FIELDS, readIndex } from './shard-fields.js';
import type { RedisConnection } from './types.js';

/** Of a shard's fence and index; 0 and '' for what is not there, and for an index that nobody can read. */
export interface ShardFound {
  readonly epoch: number;
  readonly dataset: string;
  readonly lastSequence: number;
  readonly indexDataset: string;
}

/** What a writer asks Redis now and again. */
export interface GroupFound {
  /** `{G}:applied`. */
  readonly applied: Readonly<Record<string, string>>;
  /** Revision of the port blocks. */
  readonly blocks: string;
  readonly shards: readonly ShardFound[];
}

/** Of a hash, some fields, or all. */
type HashToRead = readonly [key: string, fields: readonly string[] | '*'];
/** Null for a field that is not there; empty for a key of another kind. Of all fields, each is followed by its value. */
type Values = readonly (string | null)[];

/**
 * Reads hashes, many in one command: the writer's question would be eighteen commands each 50 ms, each with a promise and
 * a write of its own, 0.7 ms of the thread that first packets wait for.
 * KEYS hash, … ARGV for each its fields, with commas between, or * for all of them with their values.
 * → for each the values; nothing for a key of another kind.
 */
const READ = script(
  `
local replies = {}
for i = 1, #KEYS do
  local reply
  if ARGV[i] == '*' then
    reply = redis.pcall('HGETALL', KEYS[i])
  else
    local fields = {}
    for field in string.gmatch(ARGV[i], '[^,]+') do fields[#fields + 1] = field end
    reply = redis.pcall('HMGET', KEYS[i], unpack(fields))
  end
  replies[i] = reply.err and {} or reply
end
return replies
`,
  true,
);

/** @param together Whether one server has all keys: then one command does. */
export async function readGroup(
  connection: RedisConnection,
  together: boolean,
  group: GroupKeys,
  shards: readonly ShardKeys[],
): Promise<GroupFound> {
  const ofGroup: HashToRead[] = [
    [group.applied, '*'],
    [group.owner, ['blocks']],
  ];
  const ofShards = shards.map((keys): HashToRead[] => [
    [keys.fence, ['epoch', 'dataset', 'lastSeq']],
    [keys.index, INDEX_FIELDS],
  ]);
  const lists = together ? [[ofGroup, ...ofShards].flat()] : [ofGroup, ...ofShards];
  const [applied, owner, ...rest] = (await Promise.all(lists.map((list) => readHashes(connection, list)))).flat();
  return {
    applied: record(applied),
    blocks: owner[0] ?? '',
    shards: shards.map((_, i) => found(rest[2 * i], rest[2 * i + 1])),
  };
}

async function readHashes(connection: RedisConnection, hashes: readonly HashToRead[]): Promise<readonly Values[]> {
  const keys = hashes.map(([key]) => key);
  const fields = hashes.map(([, fields]) => (fields === '*' ? fields : fields.join()));
  const replies = await run<readonly (readonly (Buffer | null)[])[]>(connection, READ, keys, fields);
  return replies.map((values) => values.map((value) => value?.toString() ?? null));
}

function found([epoch, dataset, lastSequence]: Values, index: Values): ShardFound {
  const fields: Record<string, string> = {};
  for (const [i, value] of index.entries()) if (value !== null) fields[INDEX_FIELDS[i]] = value;
  return {
    epoch: readEpoch(epoch),
    dataset: dataset ?? '',
    lastSequence: Number(lastSequence ?? 0),
    indexDataset: readIndex(fields)?.dataset ?? '',
  };
}

function record(values: Values): Record<string, string> {
  const fields: Record<string, string> = {};
  for (let i = 0; i + 1 < values.length; i += 2) fields[values[i] ?? ''] = values[i + 1] ?? '';
  return fields;
}
