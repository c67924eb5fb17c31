import { createHash } from 'node:crypto';
import { HIGHEST_EPOCH } from './epoch.js';
import type { RedisConnection } from './types.js';

/**
 * A server-side script. Scripts and not a Redis Function library: they are named by their content, so that two versions
 * of Sluice can share a Redis during an upgrade, and an emptied Redis needs nothing but the next call.
 */
export interface Script {
  readonly text: string;
  readonly sha: string;
  /** Whether Redis shall let it write nothing. */
  readonly isReadOnly: boolean;
}

export function script(text: string, isReadOnly = false): Script {
  return { text, sha: createHash('sha1').update(text).digest('hex'), isReadOnly };
}

/** What a script says: one of Reply, and what belongs to it. */
export type Answer = readonly (Buffer | number)[];

/** First element of every answer. */
export const Reply = {
  ok: 'OK',
  duplicate: 'DUP',
  fenced: 'FENCED',
  gap: 'GAP',
  wrongDataset: 'WRONG_DATASET',
  failed: 'FAILED',
} as const;

/**
 * Redis is shared, and whoever writes into these keys by mistake must end nothing: a value of another kind, and a field
 * that is no number or an epoch that nobody can have had, count as lost. `numberOf(field)`, `epochOf(field)`: 0 then;
 * `clear(key, kind)`: removes what is of another kind, and tells whether it has.
 */
const FIELDS = `
local function numberOf(field)
  local n = tonumber(field or '0')
  if not n or n ~= math.floor(n) or n < 0 or n > 2^53 then return 0 end
  return n
end
local function epochOf(field)
  local n = numberOf(field)
  return n > ${HIGHEST_EPOCH} and 0 or n
end
local function clear(key, kind)
  local is = redis.call('TYPE', key).ok
  if is == kind or is == 'none' then return false end
  redis.call('DEL', key)
  return true
end
`;

/** `owner(key, epoch, writer)`: claims a key's hash for an epoch; returns the higher epoch that has it, or nil. */
const OWNER = `${FIELDS}
local function owner(key, epoch, writer)
  clear(key, 'hash')
  local f = redis.call('HMGET', key, 'epoch', 'writer')
  local has = epochOf(f[1])
  if has > epoch or (has == epoch and f[2] and f[2] ~= writer) then return has end
  return nil
end
`;

/**
 * Fences a shard, or the group's own keys: lower epochs may write nothing from now on. Log, dataset and position stay.
 * KEYS fence. ARGV epoch, writer. → OK, epoch of the log's position, position | FENCED, epoch.
 */
export const FENCE = script(`${OWNER}
local has = owner(KEYS[1], tonumber(ARGV[1]), ARGV[2])
if has then return {'FENCED', has} end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'writer', ARGV[2])
local f = redis.call('HMGET', KEYS[1], 'logEpoch', 'lastSeq')
return {'OK', epochOf(f[1]), numberOf(f[2])}
`);

/**
 * Begins a dataset. Its first sequence lies above everything that the stream ever had in this epoch, also when the fence
 * was lost and the stream was not.
 * KEYS fence, log. ARGV epoch, writer, dataset, first sequence, config, format, shards, rows.
 * → OK, first sequence | FENCED, epoch.
 */
export const BEGIN = script(`${OWNER}
local epoch = tonumber(ARGV[1])
local has = owner(KEYS[1], epoch, ARGV[2])
if has then return {'FENCED', has} end
local first = tonumber(ARGV[4])
clear(KEYS[2], 'stream')
if redis.call('EXISTS', KEYS[2]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[2])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      local e, s = string.match(info[i + 1], '^(%d+)-(%d+)$')
      e = tonumber(e)
      if e > ${HIGHEST_EPOCH} then
        redis.call('DEL', KEYS[2])
        break
      end
      if e > epoch then return {'FENCED', e} end
      if e == epoch and tonumber(s) >= first then first = tonumber(s) + 1 end
    end
  end
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'writer', ARGV[2], 'dataset', ARGV[3], 'logEpoch', ARGV[1],
  'lastSeq', first - 1, 'config', ARGV[5], 'format', ARGV[6], 'shards', ARGV[7], 'rows', ARGV[8])
return {'OK', first}
`);

/**
 * Appends batches to logs, one a shard or several, each if the writer still owns the shard and the batch is the next one.
 * Entries that somebody else has put there count as another dataset. What is refused keeps none of the others back.
 * Redis runs it a thousand times a second beside first packets: what is as it should be takes the shortest way.
 * KEYS fence, log, for each batch. ARGV epoch, then for each batch dataset, sequence, blob.
 * → OK where all are taken, else for each batch OK | DUP | FENCED, epoch | GAP, last sequence | WRONG_DATASET | FAILED, error.
 */
export const APPEND = script(`${FIELDS}
local mine, number, ok = ARGV[1], tonumber(ARGV[1]), {'OK'}
local function append(fence, log, dataset, sequence, blob)
  local f = redis.pcall('HMGET', fence, 'epoch', 'dataset', 'lastSeq')
  if f.err then return {'WRONG_DATASET'} end
  if f[1] ~= mine then
    local epoch = epochOf(f[1])
    if epoch > number then return {'FENCED', epoch} end
  end
  if f[2] ~= dataset then return {'WRONG_DATASET'} end
  local last, seq = numberOf(f[3]), tonumber(sequence)
  if seq <= last then return {'DUP'} end
  if seq ~= last + 1 then return {'GAP', last} end
  local added = redis.pcall('XADD', log, mine .. '-' .. sequence, 'b', blob)
  if added.err then
    if string.find(added.err, 'equal or smaller') or string.find(added.err, 'WRONGTYPE') then return {'WRONG_DATASET'} end
    return {'FAILED', added.err}
  end
  redis.call('HSET', fence, 'lastSeq', sequence)
  return ok
end
local replies, all = {}, true
for i = 1, #KEYS / 2 do
  local reply = append(KEYS[2 * i - 1], KEYS[2 * i], ARGV[3 * i - 1], ARGV[3 * i], ARGV[3 * i + 1])
  replies[i] = reply
  all = all and reply == ok
end
return all and 'OK' or replies
`);

/**
 * Begins a snapshot: says which one is committed, and removes what an unfinished one left behind.
 * KEYS fence, index, key of the unfinished one or of any that is not there. ARGV epoch, dataset, key of the new one.
 * → OK, key of the committed snapshot or '', key of an unfinished one or '' | FENCED, epoch | WRONG_DATASET.
 */
export const SNAPSHOT_BEGIN = script(`${FIELDS}
if clear(KEYS[1], 'hash') then return {'WRONG_DATASET'} end
clear(KEYS[2], 'hash')
local f = redis.call('HMGET', KEYS[1], 'epoch', 'dataset', 'unfinished')
local epoch = epochOf(f[1])
if epoch > tonumber(ARGV[1]) then return {'FENCED', epoch} end
if f[2] ~= ARGV[2] then return {'WRONG_DATASET'} end
local committed = redis.call('HGET', KEYS[2], 'key') or ''
if f[3] and f[3] ~= KEYS[3] and f[3] ~= committed then return {'OK', committed, f[3]} end
if KEYS[3] ~= committed then redis.call('UNLINK', KEYS[3]) end
redis.call('HSET', KEYS[1], 'unfinished', ARGV[3])
return {'OK', committed, ''}
`);

/**
 * Commits a snapshot: its index is written last of all, then the log is cut below its start and the old one goes.
 * KEYS fence, index, log, key of the new snapshot, key of the old one (the new one's, when there is none).
 * ARGV epoch, dataset, chunks, then the fields of the index. → OK | FENCED, epoch | WRONG_DATASET | GAP, chunks there are.
 */
export const SNAPSHOT_COMMIT = script(`${FIELDS}
if clear(KEYS[1], 'hash') or clear(KEYS[3], 'stream') then return {'WRONG_DATASET'} end
clear(KEYS[2], 'hash')
local f = redis.call('HMGET', KEYS[1], 'epoch', 'dataset')
local epoch = epochOf(f[1])
if epoch > tonumber(ARGV[1]) then return {'FENCED', epoch} end
if f[2] ~= ARGV[2] then return {'WRONG_DATASET'} end
local chunks = redis.call('HLEN', KEYS[4])
if chunks ~= tonumber(ARGV[3]) then return {'GAP', chunks} end
local fields = {}
for i = 4, #ARGV do fields[#fields + 1] = ARGV[i] end
redis.call('HSET', KEYS[2], 'key', KEYS[4], unpack(fields))
redis.call('HDEL', KEYS[1], 'unfinished')
if KEYS[5] ~= KEYS[4] then redis.call('UNLINK', KEYS[5]) end
redis.call('XTRIM', KEYS[3], 'MINID', ARGV[1] .. '-' .. redis.call('HGET', KEYS[2], 'startSeq'))
return {'OK'}
`);

/** `isWhole(key, before, now)`: whether the blocks are those of the change before, or this change came a second time. */
const IS_WHOLE = `
local function isWhole(key, before, now)
  local is = redis.call('HGET', key, 'blocks') or ''
  return is == before or is == now
end
`;

/**
 * Reserves port blocks for an epoch, all or none. Revisions tell whether Redis still has what it took.
 * KEYS owner, blocks. ARGV epoch, writer, revision, revision before, block…
 * → OK | FENCED, epoch | GAP: blocks have been lost | DUP, epoch that has one of them.
 */
export const RESERVE_BLOCKS = script(`${OWNER}${IS_WHOLE}
local has = owner(KEYS[1], tonumber(ARGV[1]), ARGV[2])
if has then return {'FENCED', has} end
if clear(KEYS[2], 'hash') or not isWhole(KEYS[1], ARGV[4], ARGV[3]) then return {'GAP'} end
for i = 5, #ARGV do
  local by = redis.call('HGET', KEYS[2], ARGV[i])
  if by and by ~= ARGV[1] then return {'DUP', epochOf(by)} end
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'writer', ARGV[2], 'blocks', ARGV[3])
for i = 5, #ARGV do redis.call('HSET', KEYS[2], ARGV[i], ARGV[1]) end
return {'OK'}
`);

/** Gives blocks back. KEYS owner, blocks. ARGV epoch, writer, revision, revision before, block… → OK | FENCED, epoch | GAP. */
export const RELEASE_BLOCKS = script(`${OWNER}${IS_WHOLE}
local has = owner(KEYS[1], tonumber(ARGV[1]), ARGV[2])
if has then return {'FENCED', has} end
if clear(KEYS[2], 'hash') or not isWhole(KEYS[1], ARGV[4], ARGV[3]) then return {'GAP'} end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'writer', ARGV[2], 'blocks', ARGV[3])
for i = 5, #ARGV do redis.call('HDEL', KEYS[2], ARGV[i]) end
return {'OK'}
`);

/**
 * Writes all blocks anew, where Redis has lost some or a block changes its epoch.
 * KEYS owner, blocks. ARGV epoch, writer, revision, revision before, then block, epoch of it… → OK | FENCED, epoch.
 */
export const WRITE_BLOCKS = script(`${OWNER}
local has = owner(KEYS[1], tonumber(ARGV[1]), ARGV[2])
if has then return {'FENCED', has} end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'writer', ARGV[2], 'blocks', ARGV[3])
redis.call('DEL', KEYS[2])
for i = 5, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
return {'OK'}
`);

/**
 * Runs a script by its hash, and by its text where the server does not know it yet.
 *
 * @returns The reply: texts as Buffers, numbers.
 */
export async function run<Reply = Answer>(
  connection: RedisConnection,
  script: Script,
  keys: readonly string[],
  args: readonly (string | number | Buffer)[],
): Promise<Reply> {
  const operands = [keys.length, ...keys, ...args];
  const suffix = script.isReadOnly ? '_RO' : '';
  try {
    return (await connection.callBuffer(`EVALSHA${suffix}`, script.sha, ...operands)) as Reply;
  } catch (error) {
    if (!missesScript(error)) throw error;
    return (await connection.callBuffer(`EVAL${suffix}`, script.text, ...operands)) as Reply;
  }
}

/** Whether the server does not know a script yet, or no longer. */
export function missesScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT');
}

/** First element of a reply. */
export function verdictOf(reply: Answer): string {
  return String(reply[0]);
}

/** Whether Redis refused since the key holds a value of another kind: somebody else's, by mistake. */
export function isOfOtherKind(error: unknown): boolean {
  return error instanceof Error && error.message.includes('WRONGTYPE');
}

/** @returns What is read, or `none` where the key holds a value of another kind. Rejects for any other reason. */
export async function readOr<T>(reading: Promise<T>, none: T): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (isOfOtherKind(error)) return none;
    throw error;
  }
}
