"""How many commands one client has in flight, also when those who sent them are gone without a word."""

import asyncio
from typing import Any

import pytest

from stakehold.redis.port import RedisUnavailableError
from stakehold.redis.upstash import UpstashRedis
from tests.support.fakes import CountingCounters, ManualClock, SeededEntropy

TIMEOUT_S = 1.0


class SilentSender:
    """Never answers by itself."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self.posts = 0

    async def post(self, url: str, **options: Any) -> tuple[int, bytes]:
        self.posts += 1
        return await asyncio.shield(self.answer)

    async def close(self) -> None:
        pass


async def test_commands_of_killed_requests_do_not_fill_the_client_for_good(
    clock: ManualClock, entropy: SeededEntropy, counters: CountingCounters
) -> None:
    """Who never comes back holds a place for the command's timeout and a little; then others are served."""
    sender = SilentSender()
    redis = UpstashRedis(
        "https://one.upstash.io",
        "token",
        sender=sender,
        clock=clock,
        entropy=entropy,
        counters=counters,
        max_in_flight=3,
    )
    # A request that is killed is never resumed: neither its `except` nor its `finally` runs.
    killed = [asyncio.create_task(_ping(redis)) for _ in range(3)]
    while sender.posts < 3:
        await asyncio.sleep(0)
    with pytest.raises(RedisUnavailableError, match="too many") as refused:
        await _ping(redis)
    assert not refused.value.outcome_unknown
    assert counters.counts["redis_refused"] == 1
    clock.advance(TIMEOUT_S)
    with pytest.raises(RedisUnavailableError, match="too many"):
        await _ping(redis)
    clock.advance(10)
    sender.answer.set_result((200, b'{"result":"PONG"}'))
    assert await _ping(redis) == b"PONG"
    assert await asyncio.gather(*killed) == [b"PONG"] * 3


async def _ping(redis: UpstashRedis) -> Any:
    return await redis.command("PING", timeout_s=TIMEOUT_S)
