"""The cache's part of the gate's scripts, and the keys it works on.

A user's resource ("stakes", "account") is one hash: the field `generation`, entries as `e:<name>`, and leases
to renew a stale entry as `l:<name>`. Beside it is a sorted set of marks, one for each write under way: its
nonce, and when it expires. The protocol and why each part of it is there: docs/adr/0002.
"""

LUA = """
-- Cache. Uses now_us, now_ms and whole().

-- A generation outlives the reading it was made for, so that its fill finds it.
local GENERATION_LIFE_MS = 30000
-- A lease outlives the reading it was granted for; then another reader may try.
local LEASE_LIFE_MS = 10000

local function is_fenced(marks)
  -- Mostly there are none at all, which costs less to ask.
  return redis.call('EXISTS', marks) == 1 and redis.call('ZCOUNT', marks, '(' .. whole(now_ms), '+inf') > 0
end

local function open_fence(hash, marks, nonce, life_ms)
  -- The first write adds: a Redis that is full refuses that, but not what follows a write in a script.
  redis.call('ZADD', marks, whole(now_ms + life_ms), nonce)
  redis.call('ZREMRANGEBYSCORE', marks, '-inf', whole(now_ms))
  if redis.call('PTTL', marks) < life_ms then redis.call('PEXPIRE', marks, whole(life_ms)) end
  redis.call('DEL', hash)
end

local function close_fence(hash, marks, nonce)
  redis.call('DEL', hash)
  redis.call('ZREM', marks, nonce)
end

-- A generation is <incarnation>.<when it was made, us>.<request id>. It is void when Redis has forgotten
-- since, and when it was made before the moment from which the asking process trusts Redis.
local function is_void(generation, incarnation, trusted_since_us)
  local start = #incarnation + 1
  if string.sub(generation, 1, start) ~= incarnation .. '.' then return true end
  local born_us = string.match(generation, '^(%d+)%.', start + 1)
  return not born_us or tonumber(born_us) < trusted_since_us
end

-- What a reader finds: a kind (fresh, stale, miss, bypass), the entry, and the generation to fill under.
local function look(hash, marks, name, request_id, incarnation, trusted_since_us)
  if is_fenced(marks) then return 'bypass', '', '' end
  local found = redis.call('HMGET', hash, 'generation', 'e:' .. name)
  local generation, entry = found[1], found[2]
  if generation and is_void(generation, incarnation, trusted_since_us) then
    redis.call('DEL', hash)
    generation, entry = false, false
  end
  if not generation then
    -- The time is part of the nonce because a retried request runs this twice: a generation never comes back.
    generation = incarnation .. '.' .. whole(now_us) .. '.' .. request_id
    redis.call('HSET', hash, 'generation', generation)
    redis.call('PEXPIRE', hash, GENERATION_LIFE_MS)
    return 'miss', '', generation
  end
  if not entry then return 'miss', '', generation end
  local created, fresh_until, stale_until = string.match(entry, '^(%d+) (%d+) (%d+) ')
  -- An entry from the future shows that the clock was set back; its age cannot be told.
  if not created or tonumber(created) > now_ms or now_ms >= tonumber(stale_until) then
    return 'miss', '', generation
  end
  if now_ms < tonumber(fresh_until) then return 'fresh', entry, generation end
  return 'stale', entry, generation
end

-- One reader at a time renews a stale entry.
local function lease(hash, name)
  local until_ms = redis.call('HGET', hash, 'l:' .. name)
  if until_ms and tonumber(until_ms) > now_ms then return 'stale' end
  redis.call('HSET', hash, 'l:' .. name, whole(now_ms + LEASE_LIFE_MS))
  return 'renew'
end

-- Store an entry if nobody has written, or begun to, since its reader entered. 1: stored.
local function fill(hash, marks, incarnation, generation, name, entry, stale_until_ms, entries_max)
  if redis.call('HGET', hash, 'generation') ~= generation then return 0 end
  if not incarnation or is_void(generation, incarnation, 0) then return 0 end
  if is_fenced(marks) then return 0 end
  local life_ms = stale_until_ms - now_ms
  if life_ms <= 0 then return 0 end
  if redis.call('HEXISTS', hash, 'e:' .. name) == 0 then
    local entries = 0
    for _, field in ipairs(redis.call('HKEYS', hash)) do
      if string.sub(field, 1, 2) == 'e:' then entries = entries + 1 end
    end
    if entries >= entries_max then
      redis.call('DEL', hash)
      redis.call('HSET', hash, 'generation', generation)
    end
  end
  redis.call('HSET', hash, 'e:' .. name, entry)
  redis.call('HDEL', hash, 'l:' .. name)
  if redis.call('PTTL', hash) < life_ms then redis.call('PEXPIRE', hash, whole(life_ms)) end
  return 1
end
"""


def hash_key(subject_prefix: str, resource: str) -> str:
    """The key of a resource; `subject_prefix` is the start of all keys of the user."""
    return subject_prefix + resource


def marks_key(subject_prefix: str, resource: str) -> str:
    """The key of a resource's marks."""
    return f"{subject_prefix}{resource}:marks"
