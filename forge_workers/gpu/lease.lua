-- The GPU lease: who may use one device, who waits, and who is next. Each operation is one atomic step.
--
-- KEYS[1] lease   string  Token of the holder. Expires with the lease; nobody but the holder extends or deletes it.
-- KEYS[2] holder  hash    Facts of the holder, and its term. Expires with the lease.
-- KEYS[3] term    string  Number of the newest grant. Stays, and never falls.
-- KEYS[4] queue   list    Tokens of those who wait, first come first. Expires when none of them asks any more.
-- KEYS[5] model   string  Model of the newest holder, which its server may still have loaded. Stays until the next grant.
--
-- Two more per waiter, named after the lease:
--   <lease>:waiter:<token>  hash  Facts of the waiter. Expires unless it keeps asking: its sign of life.
--   <lease>:wake:<token>    list  One element pushed here wakes the waiter out of BLPOP: the term it was granted, or 0
--                                 to ask again. Expires with the hand-over.
--
-- Facts: class (0 interactive, 1 night, 2 backfill, 3 training), purpose, pid, host, model (empty for none), overtaken
-- (how often one who came later went first for its model), since (unix seconds by this server's clock: of asking, then of being
-- granted), term.
--
-- Next is, of those who still give a sign of life, the lowest class, which falls by one for each ageing_ms waited;
-- among equals the first whose model is the newest holder's, unless it would overtake somebody for the k+1st time;
-- else the first come.
--
-- For quiet_ms after its start this server grants nothing: it may have lost a holder in the crash. The exception is an
-- asker with proof, who holds the device's kernel lock: nobody uses the device then.
--
-- ARGV[1] operation, ARGV[2] token, ARGV[3..8] ttl_ms alive_ms hand_ms quiet_ms ageing_ms k, then
--   ask      proof class purpose pid host model   -> {term, 0, 0} holder; {0, ms until it may be free, 0} waiter;
--                                                    {0, ms, 1} waiter while nothing is granted after a start
--   renew                                         -> 1 extended, 0 not the token's
--   lift     floor                                -> term above floor, 0 not the token's
--   release                                       -> 1 was the token's, 0 was not
--   status                                        -> {ms left, newest term, {holder's facts}, {facts of each waiter}}
-- Every operation may be repeated: a lost reply is cured by asking again with the same token.

local lease, holder, term, queue, model = unpack(KEYS)
local operation, token = ARGV[1], ARGV[2]
local ttl_ms, alive_ms, hand_ms, quiet_ms, ageing_ms, k = unpack(ARGV, 3, 8)

local function waiter(of) return lease .. ':waiter:' .. of end
local function wake(of) return lease .. ':wake:' .. of end

local function now()
  local time = redis.call('TIME')
  return string.format('%d.%06d', time[1], time[2])
end

local function is_mine() return redis.call('GET', lease) == token end

-- How long nothing may be granted yet. The seconds are cut, not rounded, so one more is waited.
local function held_back_ms()
  local up = string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)')
  return math.max(0, quiet_ms + 1000 - 1000 * up)
end

-- Those who still live, in order of coming, and the lowest class among them.
local function living()
  local at, line, lowest = tonumber(now()), {}, nil
  for _, of in ipairs(redis.call('LRANGE', queue, 0, -1)) do
    local facts = redis.call('HMGET', waiter(of), 'since', 'class', 'model', 'overtaken')
    if facts[1] then
      local fallen = math.floor(math.max(0, at - facts[1]) * 1000 / ageing_ms)
      local class = math.max(0, facts[2] - fallen)
      line[#line + 1] = {token = of, class = class, model = facts[3], overtaken = tonumber(facts[4])}
      lowest = math.min(class, lowest or class)
    else
      redis.call('LREM', queue, 0, of)
    end
  end
  return line, lowest
end

-- Who is next, and whom it overtakes for its model; nil when nobody waits.
local function choose()
  local line, lowest = living()
  local loaded, first, overtaken = redis.call('GET', model), nil, {}
  for _, one in ipairs(line) do
    if one.class == lowest then
      first = first or one.token
      if not loaded or one.model == loaded then return one.token, overtaken end
      if one.overtaken >= tonumber(k) then break end
      overtaken[#overtaken + 1] = one.token
    end
  end
  return first, {}
end

local function push_wake(of, element)
  redis.call('RPUSH', wake(of), element)
  redis.call('PEXPIRE', wake(of), hand_ms)
end

-- Grant the free lease to ``chosen``. It is theirs for good once they ask or renew within hand_ms; one who died or
-- sleeps loses its turn instead of blocking the others for a whole lease.
local function hand_over(chosen, overtaken)
  for _, of in ipairs(overtaken) do redis.call('HINCRBY', waiter(of), 'overtaken', 1) end
  redis.call('LREM', queue, 0, chosen)
  redis.call('SET', lease, chosen, 'NX', 'PX', hand_ms)
  redis.call('RENAME', waiter(chosen), holder)
  local granted = redis.call('INCR', term)
  redis.call('HSET', holder, 'term', granted, 'since', now())
  redis.call('PEXPIRE', holder, hand_ms)
  local loads = redis.call('HGET', holder, 'model')
  if loads == '' then redis.call('DEL', model) else redis.call('SET', model, loads) end
  push_wake(chosen, granted)
end

local function extend()
  redis.call('PEXPIRE', lease, ttl_ms)
  redis.call('PEXPIRE', holder, ttl_ms)
end

local function join(class, purpose, pid, host, loads)
  local me = waiter(token)
  if redis.call('EXISTS', me) == 0 then
    redis.call('HSET', me, 'class', class, 'purpose', purpose, 'pid', pid, 'host', host, 'model', loads,
      'overtaken', 0, 'since', now())
  end
  redis.call('PEXPIRE', me, alive_ms)
  if not redis.call('LPOS', queue, token) then redis.call('RPUSH', queue, token) end
  redis.call('PEXPIRE', queue, alive_ms)
end

if operation == 'ask' then
  local proof, back_ms = ARGV[9] == '1', 0
  redis.call('DEL', wake(token))
  if not is_mine() then
    join(unpack(ARGV, 10, 14))
    if redis.call('EXISTS', lease) == 0 then
      back_ms = proof and 0 or held_back_ms()
      if back_ms == 0 then hand_over(choose()) end
    end
  end
  if is_mine() then
    redis.call('DEL', wake(token))
    extend()
    return {tonumber(redis.call('HGET', holder, 'term')), 0, 0}
  end
  if back_ms > 0 then return {0, back_ms, 1} end
  return {0, redis.call('PTTL', lease), 0}
end

if operation == 'renew' then
  if not is_mine() then return 0 end
  extend()
  return 1
end

if operation == 'lift' then
  if not is_mine() then return 0 end
  local newest = math.max(tonumber(redis.call('GET', term)), tonumber(ARGV[9])) + 1
  redis.call('SET', term, string.format('%.0f', newest))
  redis.call('HSET', holder, 'term', string.format('%.0f', newest))
  return newest
end

if operation == 'release' then
  redis.call('LREM', queue, 0, token)
  redis.call('DEL', waiter(token), wake(token))
  if not is_mine() then return 0 end
  redis.call('DEL', lease, holder)
  local chosen, overtaken = choose()
  if not chosen then return 1 end
  if held_back_ms() == 0 then hand_over(chosen, overtaken) else push_wake(chosen, 0) end
  return 1
end

if operation == 'status' then
  local waiters = {}
  for _, of in ipairs(redis.call('LRANGE', queue, 0, -1)) do
    local facts = redis.call('HGETALL', waiter(of))
    if #facts > 0 then waiters[#waiters + 1] = facts end
  end
  return {redis.call('PTTL', lease), tonumber(redis.call('GET', term) or 0), redis.call('HGETALL', holder), waiters}
end

return redis.error_reply('ERR the lease knows no operation ' .. operation)
