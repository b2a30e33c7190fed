"""The limits' part of the gate's script, the keys it works on, and how its reply reads.

One sorted set a subject and policy: a member is a request's id, its score when it was charged, in
microseconds of Redis' clock. This is the exact sliding log: at most `quota` requests in any window, wherever
it begins.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from stakehold.limits.headers import LimitState
from stakehold.limits.policies import Policy

LUA = """
-- Limits. Uses now_us and whole().

-- A charge leaves exactly one window after it was made: only later ones count.
local function in_window(window_us) return '(' .. whole(now_us - window_us) end

-- What a log says: how many charges are in the window, the time of the oldest of them (nil if not yet
-- known), whether there are older ones to sweep, and whether the limit refuses this request. A request that
-- is in the log already was charged before: it is a retry, and needs no room. Nothing is written. Where the
-- oldest charge of all is in the window every other is too, and need not be counted one by one.
local function weigh(key, quota, window_us, request_id)
  local log = {count = 0, oldest_us = nil, has_old = false, refuses = false}
  local oldest = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if not oldest[2] then return log end
  if tonumber(oldest[2]) > now_us - window_us then
    log.oldest_us = tonumber(oldest[2])
    log.count = redis.call('ZCARD', key)
  else
    log.has_old = true
    log.count = redis.call('ZCOUNT', key, in_window(window_us), '+inf')
  end
  if log.count >= quota then
    local charged_us = redis.call('ZSCORE', key, request_id)
    log.refuses = not (charged_us and tonumber(charged_us) > now_us - window_us)
  end
  return log
end

-- Charge the request, unless it was. The first write adds: a Redis that is full refuses that, but not what
-- follows a write in a script.
local function charge(key, log, window_us, request_id)
  local added = redis.call('ZADD', key, 'NX', whole(now_us), request_id)
  if log.has_old then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', whole(now_us - window_us))
    -- One that was there, but too old to count, was swept with the others.
    if added == 0 then added = redis.call('ZADD', key, 'NX', whole(now_us), request_id) end
  end
  -- Looking is cheaper than writing, which replicas and append-only files hear of.
  if redis.call('PTTL', key) <= window_us / 1000 then redis.call('PEXPIRE', key, whole(window_us / 500)) end
  if log.count == 0 then log.oldest_us = now_us end
  log.count = log.count + added
end

-- Milliseconds until there is room for one more than now. A log may hold more than its quota when that was
-- lowered; then the oldest charge leaving makes no room yet.
local function wait_ms(key, log, quota, window_us)
  local leaving_us = log.oldest_us
  if log.count > quota or not leaving_us then
    local found = redis.call('ZRANGEBYSCORE', key, in_window(window_us), '+inf', 'WITHSCORES',
      'LIMIT', math.max(0, log.count - quota), 1)
    if not found[2] then return 0 end
    leaving_us = tonumber(found[2])
  end
  -- Never more than the window, even when the clock was set back.
  return math.ceil(math.min(window_us, leaving_us + window_us - now_us) / 1000)
end
"""


def log_key(subject_prefix: str, policy: Policy) -> str:
    """The key of the log of `policy`; `subject_prefix` is the start of all keys of the subject."""
    return subject_prefix + policy.key_part


def limit_states(policies: Sequence[Policy], numbers: Sequence[Any]) -> tuple[LimitState, ...]:
    """The states of `policies` from the reply's numbers: what remains, and milliseconds, for each."""
    return tuple(
        [
            LimitState(policy, max(0, numbers[2 * index]), -(-numbers[2 * index + 1] // 1000))
            for index, policy in enumerate(policies)
        ]
    )


def violated_states(states: Iterable[LimitState], numbers: Sequence[Any]) -> tuple[LimitState, ...]:
    """Those of `states` that refused the request: the reply has -1 for them."""
    return tuple(state for index, state in enumerate(states) if numbers[2 * index] < 0)
