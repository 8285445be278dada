-- One worker's queue. Each operation is one atomic step, and after each a job is in exactly one of: waiting, scheduled,
-- one in-flight list, dead, or gone because it was acknowledged.
--
-- KEYS[1] forge:{<worker>}            prefix of the keys below, itself never written
--   :waiting               list    Jobs as JSON, the next one at the left. Urgent ones are put there.
--   :scheduled             zset    Jobs that wait for their time; the score is that time in unix seconds.
--   :inflight:<claim>      list    What the process with this claim has reserved: one job, two after a lost reply.
--   :alive:<claim>         string  Its heartbeat: expires when the process is silent for its TTL.
--   :claims                hash    claim -> facts of the process as JSON. Who is in here may reserve; a process that was
--                                  taken for dead is not, and everything it still says is refused.
--   :keys                  hash    key -> id of the one job with this key that waits or runs.
--   :deaths                hash    id -> how many processes died with this job in flight; 0 of one that was put back,
--                                  whose bytes are no longer those that its producer may ask about.
--   :dead                  list    Buried jobs as JSON records, newest at the left, at most <most_dead>.
--   :done                  list    What became of the newest jobs as JSON records, newest at the left, bounded.
--   :counts                hash    done, retried, snoozed, buried, reclaimed, forgotten (dead letters over the bound).
--   :looks                 hash    at: when somebody last looked for expired heartbeats; till: none counts as expired until
--                                  then. Unix seconds of this server.
-- KEYS[2] forge:events     stream  What workers tell Dagster; bounded. Fields: event (JSON).
-- KEYS[3] forge:{slack_notifier}:waiting  list  Where a notice goes in the same step as the outcome it tells of.
--
-- ARGV[1] operation, then
--   enqueue  job id key due head sure     -> {what, id}: queued, scheduled, or duplicate with the id that is there
--                                            head: 1 puts it first; sure: 1 looks everywhere for this very job first
--   register claim ttl_ms facts           -> 1
--   beat     claim ttl_ms facts           -> 1, or 0 when the claim was taken back
--   fetch    claim now                    -> {job or false, unix seconds of the next scheduled one or false}
--   finish   claim now job id key how value most event notice next
--            how: done with value the record; bury with value the dead letter; retried or snoozed with value
--            "<due> <job>" to schedule. Buried bytes may be no job: id and key are then read from them. most bounds what value is put into; next: 1 fetches in the same step
--                                         -> {1 or 0 when the claim was taken back, job or false, next due or false}
--   return   claim                        -> jobs put back first in line; the claim ends
--   reclaim  now most_deaths most_dead wait_s -> {job, back or buried, ...}; nothing within wait_s of the server's start, or of a
--                                                time in which nobody looked for that long; 0 never waits
--   retire   now most_deaths most_dead claim  -> the same for one claim, heartbeat or not: only with proof from the
--                                                kernel that its process is gone
--   requeue  letter job id key            -> 1 moved from dead to waiting, 0 not there, -1 another job has its key
--   drop     letter                       -> 1 removed from dead, 0 not there
-- Every operation may be repeated after a lost reply.

local prefix, events, notices = KEYS[1], KEYS[2], KEYS[3]
local waiting, scheduled, claims = prefix .. ':waiting', prefix .. ':scheduled', prefix .. ':claims'
local keys, deaths, dead = prefix .. ':keys', prefix .. ':deaths', prefix .. ':dead'
local done, counts, looks = prefix .. ':done', prefix .. ':counts', prefix .. ':looks'
local operation, claim = ARGV[1], ARGV[2]

local function inflight(of) return prefix .. ':inflight:' .. of end
local function alive(of) return prefix .. ':alive:' .. of end
local function count(what) redis.call('HINCRBY', counts, what, 1) end

local function release_key(key, id)
  if redis.call('HGET', keys, key) == id then redis.call('HDEL', keys, key) end
end

-- The id and key of what may be no job at all; as job.identity_of in Python.
local function identity(job)
  local readable, found = pcall(cjson.decode, job)
  if readable and type(found) == 'table' and type(found.id) == 'string' then
    return found.id, type(found.key) == 'string' and found.key or ''
  end
  return redis.sha1hex(job), ''
end

local function put_dead(letter, most)
  redis.call('LPUSH', dead, letter)
  count('buried')
  if redis.call('LLEN', dead) > most then
    redis.call('LTRIM', dead, 0, most - 1)
    count('forgotten')
  end
end

-- What a reply lost on the way had reserved comes first, then what is due, then the next in line.
local function fetch(now)
  local mine = inflight(claim)
  local job = redis.call('LINDEX', mine, 0)
  if not job then
    local due = redis.call('ZRANGE', scheduled, '-inf', now, 'BYSCORE', 'LIMIT', 0, 100)
    for _, ready in ipairs(due) do
      redis.call('RPUSH', waiting, ready)
      redis.call('ZREM', scheduled, ready)
    end
    job = redis.call('LMOVE', waiting, mine, 'LEFT', 'RIGHT')
  end
  local first = not job and redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')
  return job, first and first[2] or false
end

local function is_here(job, id)
  if redis.call('HEXISTS', deaths, id) == 1 then return true end
  if redis.call('LPOS', waiting, job) or redis.call('ZSCORE', scheduled, job) then return true end
  -- Not only of the claims that stand: a wait under way may be given a job after its claim was taken back.
  for _, list in ipairs(redis.call('KEYS', inflight('*'))) do
    if redis.call('LPOS', list, job) then return true end
  end
  for _, list in ipairs({done, dead}) do
    for _, record in ipairs(redis.call('LRANGE', list, 0, -1)) do
      if string.find(record, id, 1, true) then return true end
    end
  end
  return false
end

if operation == 'finish' then
  local now, job, id, key, how, value = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
  local most, event, notice = tonumber(ARGV[9]), ARGV[10], ARGV[11]
  local mine = inflight(claim)
  if how == 'done' then
    if redis.call('LREM', mine, 1, job) == 0 then return {0, false, false} end
    if key ~= '' then release_key(key, id) end
    redis.call('HDEL', deaths, id)
    count('done')
    redis.call('LPUSH', done, value)
    redis.call('LTRIM', done, 0, most - 1)
  else
    redis.call('HDEL', keys, '')  -- a write that frees comes first, so that a full Redis lets the others through
    if not redis.call('LPOS', mine, job) then return {0, false, false} end
    if how == 'bury' then
      id, key = identity(job)
      put_dead(value, most)
      release_key(key, id)
      redis.call('HDEL', deaths, id)
    else
      local due, again = string.match(value, '^(%S+) (.*)$')
      redis.call('ZADD', scheduled, due, again)
      redis.call('HINCRBY', deaths, id, 0)
      count(how)
    end
    redis.call('LREM', mine, 1, job)  -- last: nothing is undone when a step before it fails
  end
  if event ~= '' then redis.call('XADD', events, 'MAXLEN', '~', 10000, '*', 'event', event) end
  if notice ~= '' then redis.call('RPUSH', notices, notice) end
  if ARGV[12] == '0' then return {1, false, false} end
  local following, due = fetch(now)
  return {1, following, due}
end

if operation == 'fetch' then
  redis.call('HDEL', keys, '')  -- a write that frees comes first, so that a full Redis lets the moves below through
  if redis.call('HEXISTS', claims, claim) == 0 then return {false, false} end
  local job, due = fetch(ARGV[3])
  return {job, due}
end

if operation == 'beat' then
  if redis.call('HEXISTS', claims, claim) == 0 then return 0 end
  if redis.call('PEXPIRE', alive(claim), ARGV[3]) == 0 then redis.call('SET', alive(claim), 1, 'PX', ARGV[3]) end
  redis.call('HSET', claims, claim, ARGV[4])
  return 1
end

if operation == 'enqueue' then
  local job, id, key, due, head, sure = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
  if sure == '1' and is_here(job, id) then return {'duplicate', id} end
  if key ~= '' and redis.call('HSETNX', keys, key, id) == 0 then
    local there = redis.call('HGET', keys, key)
    if there ~= id or sure == '0' then return {'duplicate', there} end
  end
  if due ~= '' then
    redis.call('ZADD', scheduled, due, job)
    return {'scheduled', id}
  end
  redis.call(head == '1' and 'LPUSH' or 'RPUSH', waiting, job)
  return {'queued', id}
end

if operation == 'register' then
  redis.call('HDEL', keys, '')
  redis.call('SET', alive(claim), 1, 'PX', ARGV[3])
  redis.call('HSET', claims, claim, ARGV[4])
  return 1
end

if operation == 'return' then
  local back = 0
  redis.call('HDEL', claims, claim)
  redis.call('DEL', alive(claim))
  while redis.call('LMOVE', inflight(claim), waiting, 'RIGHT', 'LEFT') do back = back + 1 end
  return back
end

-- Nobody but the server can tell of a job whose process died: the event and the notice are made here.
local function tell_buried(id, why, now)
  local name = string.match(prefix, '{(.-)}')
  local event = {id = id, worker = name, kind = 'buried', at = now, by = 'queue_janitor', reason = why}
  redis.call('XADD', events, 'MAXLEN', '~', 10000, '*', 'event', cjson.encode(event))
  if name == 'slack_notifier' then return end
  local title = name .. ' gave up a job: ' .. why
  local args = {kind = 'buried', title = title, worker = name, reason = title, urgent = false}
  args.detail = 'forge jobs show ' .. string.sub(id, 1, 8) .. ' tells more'
  redis.call('RPUSH', notices, cjson.encode({v = 1, id = string.sub(redis.sha1hex(id .. ' buried ' .. now), 1, 32),
    worker = 'slack_notifier', args = args, key = '', by = name, attempt = 1, queued_at = now}))
end

local function take_back(of, now, most_deaths, most_dead, moved)
  redis.call('HDEL', claims, of)
  redis.call('DEL', alive(of))
  while true do
    local job = redis.call('RPOP', inflight(of))
    if not job then return end
    local id, key = identity(job)
    local died = redis.call('HINCRBY', deaths, id, 1)
    count('reclaimed')
    if died >= most_deaths then
      local why = 'its process died ' .. died .. ' times while doing it'
      put_dead(cjson.encode({id = id, at = now, reason = why, traceback = '', job = job}), most_dead)
      redis.call('HDEL', deaths, id)
      release_key(key, id)
      tell_buried(id, why, now)
    else
      redis.call('LPUSH', waiting, job)
    end
    moved[#moved + 1] = job
    moved[#moved + 1] = died >= most_deaths and 'buried' or 'back'
  end
end

-- Heartbeats also expire while nobody could beat: while the server is down, the machine sleeps or its clock jumps. Then
-- nobody looked here either; their owners get time to beat again.
local function must_settle(wait_s)
  local at, up = tonumber(redis.call('TIME')[1]), redis.call('INFO', 'server')
  local last, till = unpack(redis.call('HMGET', looks, 'at', 'till'))
  redis.call('HSET', looks, 'at', at)
  if tonumber(string.match(up, 'uptime_in_seconds:(%d+)')) < wait_s then return true end
  if last and math.abs(at - last) > wait_s then
    till = at + wait_s
    redis.call('HSET', looks, 'till', till)
  end
  return till and at < tonumber(till)
end

-- An expired heartbeat and the claim that reserved the job: both, in one step, and never the age of the job.
if operation == 'reclaim' then
  local now, most_deaths, most_dead, wait_s = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
  local moved = {}
  redis.call('HDEL', keys, '')
  if wait_s > 0 and must_settle(wait_s) then return moved end
  for _, of in ipairs(redis.call('HKEYS', claims)) do
    if redis.call('EXISTS', alive(of)) == 0 then take_back(of, now, most_deaths, most_dead, moved) end
  end
  return moved
end

if operation == 'retire' then
  local moved = {}
  take_back(ARGV[5], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), moved)
  return moved
end

if operation == 'requeue' then
  local letter, job, id, key = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
  if not redis.call('LPOS', dead, letter) then return 0 end
  if key ~= '' and redis.call('HSETNX', keys, key, id) == 0 and redis.call('HGET', keys, key) ~= id then return -1 end
  redis.call('RPUSH', waiting, job)
  redis.call('HINCRBY', deaths, id, 0)
  redis.call('LREM', dead, 1, letter)
  return 1
end

if operation == 'drop' then return redis.call('LREM', dead, 1, ARGV[2]) end

return redis.error_reply('ERR the queue knows no operation ' .. operation)
