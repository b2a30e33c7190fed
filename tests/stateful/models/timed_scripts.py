"""The service's own scripts on a real Valkey, under a clock that moves when a test says so.

A script is sent as it is, below a few lines that stand between it and Redis: they answer TIME from a key,
and keep lives of keys (PEXPIRE, PTTL) by the same clock. So a window's last microsecond, a mark that runs out
and a key that expires are reached without waiting. The clock belongs to a key prefix (`sh<ring epoch>:`),
which is also all that a wipe empties: many worlds share one Valkey and know nothing of each other.
"""

from collections.abc import Callable, Sequence
from functools import cache

from stakehold.redis.port import Argument, Redis, Reply, Script

START_US = 1_700_000_000_000_001
"""16 digits: Lua's own conversion to text would lose some of them."""

ANSWER_S = 60.0
"""How long a test waits for Redis. The gate's own timeouts are tested elsewhere."""

Change = Callable[[Script], Script]

_BELOW_THE_CLOCK = """
local server, prefix = redis, string.match(KEYS[1], '^sh%%d+:')
local clock_key, lives_key = prefix .. 'test:clock', prefix .. 'test:lives'
local test_us = server.call('INCRBY', clock_key, '%(tick_us)d')
if test_us < %(start_us)d then test_us = server.call('INCRBY', clock_key, '%(start_us)d') end
local test_ms, only_looks = math.floor(test_us / 1000), %(only_looks)s
local function forget_life_of_the_dead(key)
  if server.call('EXISTS', key) == 0 then server.call('HDEL', lives_key, key) end
end
for _, key in ipairs(KEYS) do
  local until_ms = server.call('HGET', lives_key, key)
  if until_ms then
    if test_ms > tonumber(until_ms) then server.call('DEL', key) end
    forget_life_of_the_dead(key)
  end
end
local looks = {GET = 1, EXISTS = 1, PTTL = 1, HGET = 1, HMGET = 1, HEXISTS = 1, HKEYS = 1,
  ZCOUNT = 1, ZCARD = 1, ZSCORE = 1, ZRANGE = 1, ZRANGEBYSCORE = 1}
local removes = {DEL = 1, HDEL = 1, ZREM = 1, ZREMRANGEBYSCORE = 1}
local adds = {SET = 1, HSET = 1, ZADD = 1}
local redis = {call = function(command, key, ...)
  if command == 'TIME' then
    return {string.format('%%.0f', math.floor(test_us / 1000000)), string.format('%%.0f', test_us %% 1000000)}
  end
  if command == 'PTTL' then
    if server.call('EXISTS', key) == 0 then return -2 end
    local until_ms = server.call('HGET', lives_key, key)
    return until_ms and tonumber(until_ms) - test_ms or -1
  end
  if looks[command] then return server.call(command, key, ...) end
  if command ~= 'PEXPIRE' and not removes[command] and not adds[command] then
    error('the clock of the tests does not know ' .. command)
  end
  if only_looks then return 0 end
  if command == 'PEXPIRE' then
    server.call('HSET', lives_key, key, string.format('%%.0f', test_ms + tonumber((...))))
    return 1
  end
  local reply = server.call(command, key, ...)
  if removes[command] then forget_life_of_the_dead(key) end
  return reply
end}
"""


@cache
def _timed(script: Script, tick_us: int, only_looks: bool) -> Script:
    values = {"tick_us": tick_us, "start_us": START_US, "only_looks": str(only_looks).lower()}
    return Script(_BELOW_THE_CLOCK % values + script.source)


class TimedScripts:
    """Redis with a clock for each ring epoch. `change` may plant a bug in the scripts on their way."""

    def __init__(self, redis: Redis, *, tick_us: int = 0, change: Change | None = None) -> None:
        """Every script moves its clock by `tick_us` first: 1 tells every two of them apart."""
        self._redis = redis
        self._tick_us = tick_us
        self._change = change

    async def run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], *, only_looks: bool = False
    ) -> Reply:
        """Run a script of the service; if it `only_looks`, it replies as ever and changes nothing."""
        changed = self._change(script) if self._change else script
        timed = _timed(changed, 0 if only_looks else self._tick_us, only_looks)
        return await self._redis.script(timed, keys, arguments, ANSWER_S)

    async def command(self, *arguments: Argument) -> Reply:
        """Run one command, by the real clock."""
        return await self._redis.command(*arguments, timeout_s=ANSWER_S)

    async def advance(self, epoch: int, us: int) -> None:
        """Let time pass for the keys of one ring epoch."""
        await self.command("INCRBY", f"sh{epoch}:test:clock", us)

    async def wipe(self, epoch: int, keys: Sequence[str]) -> None:
        """Forget these keys of one ring epoch, and its incarnation; time goes on."""
        prefix = f"sh{epoch}:"
        gone = [f"{prefix}incarnation", *(prefix + key for key in keys)]
        await self.command("DEL", f"{prefix}test:lives", *gone)
