-- The GPU lease: who may use one device, who waits, and in which order. Each operation is one atomic step.
--
-- KEYS[1] lease   string  Token of the holder. Expires with the lease; nobody but the holder extends or deletes it.
-- KEYS[2] holder  hash    Facts of the holder, and its term. Expires with the lease.
-- KEYS[3] term    string  Number of the newest grant. The only key that stays; it never falls.
-- KEYS[4] queue   list    Tokens of those who wait, first come first. Expires when none of them asks any more.
--
-- Two more per waiter, named after the lease:
--   <lease>:waiter:<token>  hash  Facts of the waiter. Expires unless it keeps asking: its sign of life.
--   <lease>:wake:<token>    list  One element pushed here wakes the waiter out of BLPOP. Expires with the hand-over.
--
-- Facts: purpose, pid, host, since (unix seconds by this server's clock: of asking, then of being granted), term.
--
-- ARGV[1] operation, ARGV[2] token of the caller, then
--   ask      ttl_ms alive_ms hand_ms purpose pid host   -> {term, 0} holder, {0, ms until the lease may be free} waiter
--   renew    ttl_ms                                     -> 1 extended, 0 not the caller's
--   lift     floor                                      -> term above floor, 0 not the caller's
--   release  hand_ms                                    -> 1 was the caller's, 0 was not
--   status                                              -> {ms left, newest term, {holder's facts}, {facts of each waiter}}
-- Every operation may be repeated: a lost reply is cured by asking again with the same token.

local lease, holder, term, queue = unpack(KEYS)
local operation, token = ARGV[1], ARGV[2]

local function waiter(of) return lease .. ':waiter:' .. of end
local function wake(of) return lease .. ':wake:' .. of end

local function now()
  local time = redis.call('TIME')
  return string.format('%d.%06d', time[1], time[2])
end

local function is_mine() return redis.call('GET', lease) == token end

-- Grant the free lease to the first waiter that still lives. It is theirs for good once they ask again within hand_ms;
-- one who died or sleeps loses its turn instead of blocking the others for a whole lease.
local function hand_over(hand_ms)
  while true do
    local next_token = redis.call('LPOP', queue)
    if not next_token then return end
    if redis.call('EXISTS', waiter(next_token)) == 1 then
      redis.call('SET', lease, next_token, 'NX', 'PX', hand_ms)
      redis.call('RENAME', waiter(next_token), holder)
      redis.call('HSET', holder, 'term', redis.call('INCR', term), 'since', now())
      redis.call('PEXPIRE', holder, hand_ms)
      redis.call('RPUSH', wake(next_token), 1)
      redis.call('PEXPIRE', wake(next_token), hand_ms)
      return
    end
  end
end

local function extend(ttl_ms)
  redis.call('PEXPIRE', lease, ttl_ms)
  redis.call('PEXPIRE', holder, ttl_ms)
end

local function join(alive_ms, purpose, pid, host)
  local me = waiter(token)
  if redis.call('EXISTS', me) == 0 then
    redis.call('HSET', me, 'purpose', purpose, 'pid', pid, 'host', host, 'since', now())
  end
  redis.call('PEXPIRE', me, alive_ms)
  if not redis.call('LPOS', queue, token) then redis.call('RPUSH', queue, token) end
  redis.call('PEXPIRE', queue, alive_ms)
end

if operation == 'ask' then
  local ttl_ms, alive_ms, hand_ms = ARGV[3], ARGV[4], ARGV[5]
  if not is_mine() then
    join(alive_ms, ARGV[6], ARGV[7], ARGV[8])
    if redis.call('EXISTS', lease) == 0 then hand_over(hand_ms) end
  end
  if not is_mine() then return {0, redis.call('PTTL', lease)} end
  redis.call('DEL', wake(token))
  extend(ttl_ms)
  return {tonumber(redis.call('HGET', holder, 'term')), 0}
end

if operation == 'renew' then
  if not is_mine() then return 0 end
  extend(ARGV[3])
  return 1
end

if operation == 'lift' then
  if not is_mine() then return 0 end
  local newest = math.max(tonumber(redis.call('GET', term)), tonumber(ARGV[3])) + 1
  redis.call('SET', term, string.format('%.0f', newest))
  redis.call('HSET', holder, 'term', string.format('%.0f', newest))
  return newest
end

if operation == 'release' then
  redis.call('LREM', queue, 0, token)
  redis.call('DEL', waiter(token), wake(token))
  if not is_mine() then return 0 end
  redis.call('DEL', lease, holder)
  hand_over(ARGV[3])
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
