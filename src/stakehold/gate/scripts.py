"""The gate's scripts, put together from the parts of limits and cache.

They run on Redis 6.2 and later, Valkey and Upstash: plain Lua 5.1, every key declared, time by TIME. Numbers
above 10^14 lose digits in Lua's own conversion to text; whole() keeps them.
"""

from stakehold.cache import script as cache
from stakehold.limits import script as limits
from stakehold.redis.port import Script

_TIME = """
local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now_ms = math.floor(now_us / 1000)
local function whole(number) return string.format('%.0f', number) end
"""

# Whoever finds it missing names the incarnation: Redis is new, or has forgotten everything. The time is in
# the name because a retried request runs this twice.
_INCARNATION = """
local function incarnation_of(key, nonce)
  local incarnation = redis.call('GET', key)
  if incarnation then return incarnation end
  incarnation = whole(now_us) .. '-' .. nonce
  redis.call('SET', key, incarnation)
  return incarnation
end
"""

ENTER = Script(
    _TIME
    + _INCARNATION
    + limits.LUA
    + cache.LUA
    + """
-- Enter: session, limits, then page or fence.
--   KEYS  incarnation; each limit's log; for a caller: account, its marks, stakes, its marks
--   ARGV  request id; incarnation the caller knows ('' for none); trusted since, us;
--         session id ('' for nobody); epoch; page ('' for none);
--         life of the fence on account, ms (0 for none); the same on stakes;
--         for each limit: quota, window in ms
-- Replies, all flat:
--   ok       now ms, incarnation, account kind, entry, generation, page kind, entry, generation,
--            for each limit: remaining, ms until one more
--   denied   now ms, incarnation, for each limit the same, with -1 for one that refused
--   refused  now ms, incarnation: the user entry says that the session has ended
--   forgot   now ms, incarnation: it is not the one the caller knows, and nothing was done
local request_id, trusted_since_us = ARGV[1], tonumber(ARGV[3])
local limits_count = (#ARGV - 8) / 2
local incarnation = incarnation_of(KEYS[1], request_id)
if ARGV[2] ~= '' and ARGV[2] ~= incarnation then return {'forgot', now_ms, incarnation} end

local signed_in = ARGV[4] ~= ''
local account, account_marks, stakes, stakes_marks
local account_kind, account_entry, account_generation = 'none', '', ''
if signed_in then
  local last = 1 + limits_count
  account, account_marks = KEYS[last + 1], KEYS[last + 2]
  stakes, stakes_marks = KEYS[last + 3], KEYS[last + 4]
  account_kind, account_entry, account_generation =
    look(account, account_marks, 'state', request_id, incarnation, trusted_since_us)
  if account_entry ~= '' then
    local status, epoch, revoked = string.match(account_entry, '\\n(%a+) (%d+) (.*)$')
    if not status or tonumber(epoch) < tonumber(ARGV[5]) then
      -- The token is newer than the entry, so the entry is older than the row: the database decides.
      redis.call('HDEL', account, 'e:state')
      account_kind, account_entry = 'miss', ''
    elseif status ~= 'active' or tonumber(epoch) > tonumber(ARGV[5])
        or string.find(revoked, ',' .. ARGV[4] .. ',', 1, true) then
      return {'refused', now_ms, incarnation}
    end
  end
end

local limits, refused = {}, false
for index = 1, limits_count do
  local quota, window_us = tonumber(ARGV[7 + 2 * index]), tonumber(ARGV[8 + 2 * index]) * 1000
  local key = KEYS[1 + index]
  local log = weigh(key, quota, window_us, request_id)
  limits[index] = {key = key, quota = quota, window_us = window_us, log = log}
  refused = refused or log.refuses
end
local reply
if refused then
  reply = {'denied', now_ms, incarnation}
else
  if account_kind == 'stale' then account_kind = lease(account, 'state') end
  local page_kind, page_entry, page_generation = 'none', '', ''
  if signed_in and ARGV[6] ~= '' then
    page_kind, page_entry, page_generation =
      look(stakes, stakes_marks, ARGV[6], request_id, incarnation, trusted_since_us)
    if page_kind == 'stale' then page_kind = lease(stakes, ARGV[6]) end
  end
  if ARGV[7] ~= '0' then open_fence(account, account_marks, request_id, tonumber(ARGV[7])) end
  if ARGV[8] ~= '0' then open_fence(stakes, stakes_marks, request_id, tonumber(ARGV[8])) end
  reply = {'ok', now_ms, incarnation, account_kind, account_entry, account_generation,
    page_kind, page_entry, page_generation}
end
for _, limit in ipairs(limits) do
  local log = limit.log
  if not refused then charge(limit.key, log, limit.window_us, request_id) end
  reply[#reply + 1] = log.refuses and -1 or math.max(0, limit.quota - log.count)
  reply[#reply + 1] = wait_ms(limit.key, log, limit.quota, limit.window_us)
end
return reply
"""
)

LEAVE = Script(
    _TIME
    + cache.LUA
    + """
-- Leave: close a fence.
--   KEYS  for each resource: hash, marks
--   ARGV  nonce
for index = 1, #KEYS, 2 do close_fence(KEYS[index], KEYS[index + 1], ARGV[1]) end
return 1
"""
)

FILL = Script(
    _TIME
    + cache.LUA
    + """
-- Fill: store what a reader has read. Replies 1 if it was stored.
--   KEYS  incarnation, hash, marks
--   ARGV  generation, name, entry, stale until (ms), entries kept at most
return fill(KEYS[2], KEYS[3], redis.call('GET', KEYS[1]), ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]),
  tonumber(ARGV[5]))
"""
)

OPEN_FENCES = Script(
    _TIME
    + cache.LUA
    + """
-- Open fences for many users at once, or only drop what is cached of them.
--   KEYS  for each: hash, marks
--   ARGV  for each: nonce, life of the mark in ms (0 for no mark)
for index = 1, #KEYS, 2 do
  local life_ms = tonumber(ARGV[index + 1])
  if life_ms > 0 then
    open_fence(KEYS[index], KEYS[index + 1], ARGV[index], life_ms)
  else
    redis.call('DEL', KEYS[index])
  end
end
return 1
"""
)

RETURN = Script(
    _TIME
    + _INCARNATION
    + """
-- Return: what a process needs when it finds Redis again. Replies the time in us, and the incarnation.
--   KEYS  incarnation
--   ARGV  nonce; '1' for a new incarnation, which voids every generation
if ARGV[2] == '1' then redis.call('DEL', KEYS[1]) end
local incarnation = incarnation_of(KEYS[1], ARGV[1])
-- Written again, because a Redis that is full, or a replica, would serve a script that only reads.
redis.call('SET', KEYS[1], incarnation)
return {whole(now_us), incarnation}
"""
)
