import { HIGHEST_EPOCH } from '../mirror/epoch.js';

/**
 * The lease in Redis: one script, so that reading the clock, judging and writing are one step.
 *
 * KEYS: `{g}:lease`, a hash of holder, node, epoch, beat, deadline (ms of Redis TIME), successor; `{g}:members`, a hash
 * from a node's name to `TIME-IN-MS STATUS`.
 *
 * ARGV: operation, holder, node, epoch, lease in ms, beat, status; then for `acquire` the record that the caller has
 * seen (holder, epoch, beat) and `waited` or nothing, for `release` the successor's node or nothing, and the channel on
 * which changes of owner are told.
 *
 * A successor `*` is whoever comes first.
 *
 * Reply: code, holder, node, epoch, beat, ms until the deadline, successor, TIME in ms, then names and states of members.
 * Codes: OK; FENCED (another holder of this epoch, or a higher epoch); TAKEN (acquire: it is not free); CHANGED (acquire:
 * not the record that was seen); STALE (acquire: the epoch is not higher than the last); RESTORED (renew: as OK, but Redis
 * had lost the record or had an older one).
 *
 * `beat` is anew with each renewal, so that a watcher can tell by his own clock how long the holder has been silent. That,
 * and not the deadline by Redis TIME alone, is what makes a lease free: Redis' clock may jump. `allow-oom`: a Redis that is
 * full must not end leases.
 *
 * A key of another kind, and a record whose epoch or deadline is none, count as lost: the holder writes it again.
 */
export const LEASE_SCRIPT = `#!lua flags=allow-oom
-- What this script has not written is as good as lost: nothing may hang on a key that somebody else has used.
for i = 1, 2 do
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', KEYS[i]) end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local op, me, node, epoch, lease, beat = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
if node ~= '' then redis.call('HSET', KEYS[2], node, string.format('%.0f', now) .. ' ' .. ARGV[7]) end
local code = 'OK'
local function read()
  local l = redis.call('HMGET', KEYS[1], 'holder', 'node', 'epoch', 'beat', 'deadline', 'successor')
  local has, deadline = tonumber(l[3] or '0'), tonumber(l[5] or '0')
  if not has or has ~= math.floor(has) or has < 0 or has > ${HIGHEST_EPOCH} or not deadline or deadline ~= deadline then
    return { holder = '', node = '', epoch = 0, beat = '', deadline = 0, successor = '' }
  end
  return { holder = l[1] or '', node = l[2] or '', epoch = has, beat = l[4] or '', deadline = deadline,
           successor = l[6] or '' }
end
local function hold()
  redis.call('HSET', KEYS[1], 'holder', me, 'node', node, 'epoch', epoch, 'beat', beat,
             'deadline', string.format('%.0f', now + lease), 'successor', '')
end
local now_held = read()
if op == 'renew' then
  if now_held.epoch > epoch or (now_held.epoch == epoch and now_held.holder ~= me) then
    code = 'FENCED'
  else
    if now_held.epoch < epoch then code = 'RESTORED' end
    hold()
  end
elseif op == 'acquire' then
  local seen_holder, seen_epoch, seen_beat, waited = ARGV[8], tonumber(ARGV[9]), ARGV[10], ARGV[11] == 'waited'
  if now_held.holder ~= seen_holder or now_held.epoch ~= seen_epoch or now_held.beat ~= seen_beat then
    code = 'CHANGED'
  elseif epoch <= now_held.epoch then
    code = 'STALE'
  elseif waited or now_held.successor == node or now_held.successor == '*' then
    hold()
    redis.call('PUBLISH', ARGV[12], 'acquired')
  else
    code = 'TAKEN'
  end
elseif op == 'release' then
  if now_held.epoch ~= epoch or now_held.holder ~= me then
    code = 'FENCED'
  else
    redis.call('HSET', KEYS[1], 'successor', ARGV[8])
    redis.call('PUBLISH', ARGV[9], 'released')
  end
end
local l = read()
local reply = { code, l.holder, l.node, l.epoch, l.beat, l.deadline - now, l.successor, now }
for _, word in ipairs(redis.call('HGETALL', KEYS[2])) do reply[#reply + 1] = word end
return reply
`;
